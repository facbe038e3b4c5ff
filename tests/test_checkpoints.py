import inspect
import io
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo

from utils.base import state_of
from utils.course import checkpoints
from utils.course.replicas import fit_replicated
from utils.course.session import session
from utils.course.training import batches, fit_or_load, recipe_of

ZOO = [sys.executable, zoo.__file__]
# Pairs and labels, noise of the model and of the data, a snapshot, dropout, and averages of weights.
NAMES = ("denoising", "vae", "gan", "cgan", "judge")
EPOCHS = 3
RECIPE = recipe_of(zoo.build("vae"), zoo.digits()[0], None, EPOCHS, 32)
NEW = [np.asarray(variable) for variable in state_of(zoo.build("vae"))]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Where every model was trained by one process."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    subprocess.run([*ZOO, "train", folder, str(EPOCHS), *NAMES], check=True, capture_output=True)
    return folder


def state(folder, name):
    with np.load(folder / f"{name}.state.npz") as file:
        return dict(file)


def assert_same(folder, other, name):
    one, two = state(folder, name), state(other, name)
    assert one.keys() == two.keys()
    assert [key for key in one if one[key].tobytes() != two[key].tobytes()] == []


def killed(folder, name, epoch, pause):
    """Train until some time after the line of this epoch, and kill the process."""
    process = subprocess.Popen([*ZOO, "train", folder, str(EPOCHS), name], stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.strip().endswith(f"epoch {epoch}"):
            time.sleep(pause)
            process.kill()
            break
    process.stdout.read()
    assert process.wait() == -9


def finished(folder, name):
    """Train to the end; what the process has printed."""
    command = [*ZOO, "train", folder, str(EPOCHS), name]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_another_process_that_is_cut_off_and_continued_ends_in_the_same_bits(uninterrupted, tmp_path):
    subprocess.run([*ZOO, "parts", tmp_path, str(EPOCHS), *NAMES], check=True, capture_output=True)
    for name in NAMES:
        assert_same(uninterrupted, tmp_path, name)


def test_a_killed_training_continues_and_ends_in_the_same_bits(uninterrupted, tmp_path):
    killed(tmp_path, "gan", 2, 0.01)  # the line of an epoch comes just before its checkpoint is written
    assert "continues after epoch" in finished(tmp_path, "gan")
    assert_same(uninterrupted, tmp_path, "gan")
    assert not list(tmp_path.glob("gan.npz*"))


def train(name="vae", epochs=EPOCHS, callbacks=()):
    model = zoo.build(name)
    return model, fit_or_load(model, **zoo.lessons(name), name="cut", epochs=epochs, callbacks=callbacks)


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """Of the checkpoint of a training that was cut off after two epochs."""
    folder = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "CHECKPOINTS", folder)
        with pytest.raises(KeyboardInterrupt):
            train(callbacks=[zoo.CutOff()])
    (path,) = folder.iterdir()
    return path.read_bytes()


@pytest.fixture
def cut_off(content):
    """The checkpoint, where a training looks for it."""
    path = checkpoints.CHECKPOINTS / "cut.npz"
    path.parent.mkdir()
    path.write_bytes(content)
    return path


def resumed(model=None, recipe=None, **options):
    """The history in a checkpoint, and the state of the model after it."""
    model = model or zoo.build("vae")
    history, _, _ = checkpoints.Checkpoint("cut", model, recipe or RECIPE, **options).resume()
    return history, [np.asarray(variable) for variable in state_of(model)]


def test_a_checkpoint_of_the_same_training_is_resumed(cut_off, capsys):
    history, state = resumed()
    assert len(history["loss"]) == len(history["kl_loss"]) == 2
    assert not all(map(np.array_equal, state, NEW))
    assert "cut: continues after epoch 2" in capsys.readouterr().out


class CutOffInTheEnd(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        raise KeyboardInterrupt


def test_a_training_that_was_cut_off_when_all_epochs_were_done_is_brought_to_its_end():
    """The judge's optimizer puts the averages of the weights in their place at the very end."""
    whole, _ = train("judge", epochs=1)
    with pytest.raises(KeyboardInterrupt):
        train("judge", epochs=1, callbacks=[CutOffInTheEnd()])
    model, found = train("judge", epochs=1)
    assert len(found.history["loss"]) == 1
    assert all(map(np.array_equal, model.get_weights(), whole.get_weights()))


@pytest.mark.parametrize("name", ["autoencoder", "vae", "gan", "flow"])
def test_a_model_that_checks_its_data_is_brought_to_its_end_as_well(name):
    whole, _ = train(name, epochs=1)
    with pytest.raises(KeyboardInterrupt):
        train(name, epochs=1, callbacks=[CutOffInTheEnd()])
    model, found = train(name, epochs=1)
    assert {len(values) for values in found.history.values()} == {1}
    assert all(map(np.array_equal, model.get_weights(), whole.get_weights()))


def test_a_replicated_training_continues_too(capsys):
    def replicated(name=None, callbacks=()):
        model = zoo.build("vae")
        options = {"epochs": EPOCHS, "batch_size": 32, "name": name, "callbacks": callbacks}
        return model, fit_replicated(model, zoo.digits()[0], tf.distribute.OneDeviceStrategy("CPU:0"), **options)

    whole, _ = replicated()
    with pytest.raises(KeyboardInterrupt):
        replicated("cut", [zoo.CutOff()])
    model, found = replicated("cut")
    assert "continues after epoch 2" in capsys.readouterr().out
    assert len(found.history["loss"]) == EPOCHS
    for one, two in zip(model.get_weights(), whole.get_weights(), strict=True):
        assert one == pytest.approx(two, abs=1e-6)


def archive(array) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, array)
    return buffer.getvalue()


def flipped(content, place) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES = {
    "half of it": lambda content: content[: len(content) // 2],
    "nothing": lambda content: b"",
    "text": lambda content: b"{}",
    "another archive": lambda content: archive(np.zeros(3)),
    "a flipped bit": lambda content: flipped(content, len(content) // 2),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_changes_nothing_and_is_set_aside(damage, content, cut_off, capsys):
    damaged = DAMAGES[damage](content)
    for turn in (1, 2):
        cut_off.write_bytes(damaged)
        history, state = resumed()
        assert history == {} and all(map(np.array_equal, state, NEW))
        printed = capsys.readouterr().out
        assert "cannot be used: it is damaged" in printed
        aside = list(cut_off.parent.iterdir())
        assert len(aside) == turn and all(path.read_bytes() == damaged for path in aside)
        assert any(f"set aside as {path.name}" in printed for path in aside)


def test_a_worker_that_does_not_write_only_reads(cut_off, content):
    training = checkpoints.Checkpoint("cut", zoo.build("vae"), RECIPE, writes=False)
    history, seconds, snapshots = training.resume()
    assert len(history["loss"]) == 2 and training.save(history, seconds, snapshots)
    training.remove()
    assert cut_off.read_bytes() == content


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": EPOCHS + 1}, "epochs 3 there, 4 here"),
        ({"name": "vae_gaussian"}, "network"),
        ({"name": "convolutional"}, "network"),
        ({"x": 1 - zoo.digits()[0]}, "examples"),
        ({"batch_size": 16}, "batch_size 32 there, 16 here"),
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"data": "abc"}, "data"),
        ({"snapshots": True}, "snapshots"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_checkpoint_of_another_training_is_set_aside(change, words, cut_off, capsys):
    session.seed = change.get("seed", 0)
    session.dataset_checksum = change.get("data")
    name = change.get("name", "vae")
    model, lessons = (
        zoo.build(name),
        zoo.lessons(name) | {key: change[key] for key in change if key in ("x", "batch_size")},
    )
    recipe = recipe_of(model, lessons["x"], None, change.get("epochs", EPOCHS), lessons["batch_size"])
    assert resumed(model, recipe, snapshots=change.get("snapshots", False))[0] == {}
    printed = capsys.readouterr().out
    assert "it belongs to another training (" in printed and words in printed
    assert "set aside as cut.aside-" in printed and not cut_off.exists()


def test_a_checkpoint_of_other_code_is_set_aside(cut_off, monkeypatch, capsys):
    source = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda kind: f"{source(kind)}        self\n")
    resumed()
    assert "code of the model" in capsys.readouterr().out


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    def epoch(first, last, seed=0, **options):
        session.seed = seed
        stream = batches(np.arange(10), -np.arange(10), 4, first, last, **options)["x"]
        return [pair[0].numpy().tolist() for pair in stream if (pair[0] == -pair[1]).numpy().all()]

    both = epoch(0, 2)
    assert [len(batch) for batch in both] == [4, 4, 2] * 2
    assert sorted(np.concatenate(both[:3])) == list(range(10))
    assert epoch(1, 2) == both[3:] != both[:3]
    assert epoch(0, 1, seed=1) != both[:3]
    assert [len(batch) for batch in epoch(0, 1, whole_batches=True)] == [4, 4]
