"""The same training on one device, on two, and by two workers, each in processes of their own."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import zoo

# Without batch normalization, which sees only its own replica's part of a batch, and without dropout.
NAMES = ("autoencoder", "convolutional", "vae", "vae_gaussian", "gan")
EPOCHS = 2


def start(program, folder, *names, **environment):
    folder.mkdir()
    command = [sys.executable, zoo.__file__, program, folder, str(EPOCHS), *names]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env={**os.environ, **environment}, **pipes)


def finish(*processes):
    for process in processes:
        printed, _ = process.communicate(timeout=300)
        assert process.returncode == 0, printed


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicas") / "alone"
    finish(start("train", folder, *NAMES))
    return folder


def state(folder, name):
    with np.load(folder / f"{name}.state.npz") as file:
        return {key: array.astype(float) for key, array in file.items() if key != "snapshots"}  # of `alone` only


def assert_close(folder, other, name, tolerance=1e-5):
    one, two = state(folder, name), state(other, name)
    assert one.keys() == two.keys()
    for key in one:
        assert two[key] == pytest.approx(one[key], rel=tolerance, abs=tolerance), (name, key)


def test_two_devices_train_as_one_does(alone, tmp_path):
    finish(start("devices", tmp_path / "two", *NAMES))
    for name in NAMES:
        assert_close(alone, tmp_path / "two", name)


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_two_workers_train_as_one_does(alone, tmp_path):
    cluster = {"worker": [f"localhost:{free_port()}" for _ in range(2)]}
    names, workers = ("autoencoder", "vae", "gan"), []
    for index in range(2):
        config = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
        workers.append(start("worker", tmp_path / str(index), *names, TF_CONFIG=config))
    finish(*workers)
    for name in names:
        assert_close(tmp_path / "0", tmp_path / "1", name, tolerance=0)
        assert_close(alone, tmp_path / "0", name)
