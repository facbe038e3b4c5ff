import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo

from utils import runtime, training
from utils.checkpoints import shuffled_epochs

ZOO = [sys.executable, zoo.__file__]
EPOCHS = 4


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Where every model of the course was trained by one process."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    subprocess.run([*ZOO, "train", folder, str(EPOCHS), *zoo.BUILDERS], check=True, capture_output=True)
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


def test_two_processes_train_every_model_to_the_same_bits(uninterrupted, tmp_path):
    subprocess.run([*ZOO, "train", tmp_path, str(EPOCHS), *zoo.BUILDERS], check=True, capture_output=True)
    for name in zoo.BUILDERS:
        assert_same(uninterrupted, tmp_path, name)


# The line of an epoch comes just before its checkpoint is written.
@pytest.mark.parametrize(
    ("name", "moments"),
    [("gan", [(1, 0.0), (2, 0.01), (3, 0.03)]), ("vae_binarized", [(2, 0.002)]), ("cgan", [(3, 0.0)])],
)
def test_a_killed_training_goes_on_and_ends_in_the_same_bits(name, moments, uninterrupted, tmp_path):
    for epoch, pause in moments:
        killed(tmp_path, name, epoch, pause)
    assert "goes on after epoch" in finished(tmp_path, name)
    assert_same(uninterrupted, tmp_path, name)
    assert not (tmp_path / name).exists()


def test_a_kill_before_the_checkpoint_is_named_loses_one_epoch_and_nothing_else(uninterrupted, tmp_path):
    """The data of the second checkpoint are on disk, the note that it is the latest is not."""
    code = (
        "import os, sys, zoo; from pathlib import Path\n"
        "from tensorflow.python.checkpoint import checkpoint_management as management\n"
        "note, written = management.update_checkpoint_state_internal, []\n"
        "def die_at_the_second(*args, **kwargs):\n"
        "    written.append(1)\n"
        "    os.kill(os.getpid(), 9) if len(written) == 2 else note(*args, **kwargs)\n"
        "management.update_checkpoint_state_internal = die_at_the_second\n"
        f"zoo.train(Path({str(tmp_path)!r}), {EPOCHS}, 'gan')\n"
    )
    died = subprocess.run([sys.executable, "-c", code], cwd=Path(zoo.__file__).parent, capture_output=True)
    assert died.returncode == -9
    assert "goes on after epoch 1," in finished(tmp_path, "gan")
    assert_same(uninterrupted, tmp_path, "gan")


class CutOff(keras.callbacks.Callback):
    """Stops a training at the start of its third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def train(name="vae", epochs=EPOCHS, callbacks=()):
    model = zoo.build(name)
    return model, training.fit_or_load(model, **zoo.lessons(name), name="cut", epochs=epochs, callbacks=callbacks)


@pytest.fixture
def cut_off():
    """The folder with the checkpoint of a training that was cut off after two epochs."""
    with pytest.raises(KeyboardInterrupt):
        train(callbacks=[CutOff()])
    return training.CHECKPOINTS / "cut"


class CutOffInTheEnd(keras.callbacks.Callback):
    def on_train_end(self, logs=None):
        raise KeyboardInterrupt


@pytest.mark.parametrize("strategy", [None, tf.distribute.MirroredStrategy(["CPU:0"])])
def test_a_training_that_was_cut_off_when_all_epochs_were_done_is_brought_to_its_end(strategy):
    """The judge's optimizer puts the averages of the weights in their place at the very end."""
    whole, _ = train("judge")
    with pytest.raises(KeyboardInterrupt):
        train("judge", callbacks=[CutOffInTheEnd()])
    model = zoo.build("judge")
    options = {"name": "cut", "epochs": EPOCHS, "strategy": strategy}
    found = training.fit_or_load(model, **zoo.lessons("judge"), **options)
    assert len(found.history["loss"]) == EPOCHS
    assert all(map(np.array_equal, model.get_weights(), whole.get_weights()))


def test_only_the_latest_checkpoint_is_kept(cut_off):
    assert len(list(cut_off.glob("*.index"))) == 1


def halved(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def scratched(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize("pattern", ["checkpoint", "*.index", "*.data*"])
@pytest.mark.parametrize("damage", [halved, scratched, Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_damaged_checkpoint_changes_nothing_and_is_set_aside(pattern, damage, cut_off, capsys):
    cut_off.rename(cut_off.with_name("kept"))
    whole, _ = train()
    cut_off.with_name("kept").rename(cut_off)
    (damaged,) = cut_off.glob(pattern)
    damage(damaged)
    files = sorted(path.name for path in cut_off.iterdir())
    capsys.readouterr()
    model, found = train()
    assert len(found.history["loss"]) == EPOCHS
    assert all(map(np.array_equal, model.get_weights(), whole.get_weights()))
    if (pattern, damage) != ("checkpoint", Path.unlink):  # without the note, there is no checkpoint
        assert "of no use" in capsys.readouterr().out
        assert sorted(path.name for path in cut_off.with_name("cut.aside-1").iterdir()) == files


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": EPOCHS + 1}, "other recipe"),
        ({"name": "vae_gaussian"}, "other recipe"),
        ({"name": "convolutional"}, "other recipe"),
        ({"name": "cgan"}, "other recipe"),
        ({"seed": 1}, "other seed"),
        ({"data": "abc"}, "other data"),
    ],
)
def test_a_checkpoint_of_another_training_is_set_aside(change, words, cut_off, capsys):
    runtime.session.seed = change.pop("seed", 0)
    runtime.session.dataset_checksum = change.pop("data", None)
    _, found = train(**change)
    assert all(len(values) == change.get("epochs", EPOCHS) for values in found.history.values())
    printed = capsys.readouterr().out
    assert words in printed and "set aside as cut.aside-1" in printed
    assert cut_off.with_name("cut.aside-1").is_dir() and not cut_off.exists()


def test_a_checkpoint_of_other_code_is_set_aside(cut_off, monkeypatch, capsys):
    monkeypatch.setattr(training, "COURSE", cut_off)  # where there is no code
    train()
    assert "other code" in capsys.readouterr().out


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    def epoch(first, last, seed=0, **options):
        batches = shuffled_epochs([np.arange(10), -np.arange(10)], 4, seed, first, last, **options)
        return [pair[0].numpy().tolist() for pair in batches if (pair[0] == -pair[1]).numpy().all()]

    both = epoch(0, 2)
    assert [len(batch) for batch in both] == [4, 4, 2] * 2
    assert sorted(np.concatenate(both[:3])) == list(range(10))
    assert epoch(1, 2) == both[3:] != both[:3]
    assert epoch(0, 1, seed=1) != both[:3]
    assert [len(batch) for batch in epoch(0, 1, whole_batches=True)] == [4, 4]
