import os
import random
import subprocess
import sys

import keras
import nbclient
import nbformat
import numpy as np
import pytest

from utils import runtime


def run_python(code, **environment):
    # Without what importing utils has set in this process.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "KERAS_"))}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=runtime.COURSE,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_setup_prints_what_it_found(capsys):
    runtime.setup(seed=3, mode="quick")
    printed = capsys.readouterr().out
    for word in ("Python", "TensorFlow", "Keras", "device", "precision", "mode", "quick", "seed", "3"):
        assert word in printed


def test_a_notebook_sees_no_log_lines_of_tensorflow():
    run = run_python("from utils.runtime import setup; setup(); import tensorflow as tf; tf.random.normal((3,))")
    assert run.returncode == 0
    assert run.stderr == ""


def test_in_a_notebook_native_log_lines_go_to_a_file_and_those_of_python_do_not(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with it, ipykernel does not watch file descriptor 2
    cells = [
        "from utils.runtime import setup; setup()",
        "import os, warnings; os.write(2, b'a native line')\nwarnings.warn('a warning of Python')\n1 / 0",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = {"metadata": {"path": str(runtime.COURSE)}}
    nbclient.NotebookClient(notebook, allow_errors=True, kernel_name="python3", resources=folder).execute()
    first, second = [cell.outputs for cell in notebook.cells]
    assert [output.name for output in first] == ["stdout"]
    assert "a warning of Python" in second[0].text and "a native line" not in second[0].text
    assert second[-1].ename == "ZeroDivisionError"
    (log,) = tmp_path.glob("tensorflow-*.log")
    assert "a native line" in log.read_text()


def test_another_backend_is_refused():
    run = run_python("import utils", KERAS_BACKEND="jax")
    assert "KERAS_BACKEND is 'jax'" in run.stderr and "unset KERAS_BACKEND" in run.stderr


def test_mode_comes_from_argument_then_environment_then_default(monkeypatch):
    monkeypatch.setenv("COURSE_MODE", "quick")
    runtime.setup()
    assert runtime.session.mode == "quick"
    runtime.setup(mode="retrain")
    assert runtime.session.mode == "retrain"
    monkeypatch.setenv("COURSE_MODE", "")
    runtime.setup()
    assert runtime.session.mode == "standard"


def test_the_same_seed_draws_the_same_numbers():
    draws = []
    for seed in (5, 5, 6):
        runtime.setup(seed=seed)
        numpy, tensorflow = np.random.rand(), float(runtime.tf.random.normal(()))  # noqa: NPY002
        weight = float(keras.initializers.RandomNormal()((1,))[0])
        draws.append((random.random(), numpy, tensorflow, weight))
    assert draws[0] == draws[1] != draws[2]


def test_scaled_picks_by_mode():
    runtime.setup(mode="standard")
    assert runtime.scaled(10, 1) == 10
    runtime.setup(mode="quick")
    assert runtime.scaled(10, 1) == 1


def test_a_gpu_is_used_when_there_is_one_and_computes_in_float32(monkeypatch, capsys):
    grown = []
    config = runtime.tf.config
    monkeypatch.setattr(config, "list_physical_devices", lambda kind=None: ["gpu0"])
    details = {"device_name": "Tesla T4", "compute_capability": (7, 5)}
    monkeypatch.setattr(config.experimental, "get_device_details", lambda gpu: details)
    monkeypatch.setattr(config.experimental, "set_memory_growth", lambda gpu, on: grown.append((gpu, on)))
    keras.config.set_dtype_policy("mixed_float16")
    runtime.setup()
    assert keras.config.dtype_policy().name == "float32"
    assert grown == [("gpu0", True)]
    printed = capsys.readouterr().out
    assert "GPU: Tesla T4" in printed and "precision   float32" in printed


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "file"
    runtime.write_atomically(path, b"old")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(type(path), "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        runtime.write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_show_source_shows_the_code():
    shown = runtime.show_source(runtime.scaled).data
    assert shown.startswith("```python\ndef scaled(") and shown.endswith("\n```")
