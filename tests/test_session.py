import os
import random
import shutil
import subprocess
import sys

import keras
import nbclient
import nbformat
import numpy as np
import pytest
import tensorflow as tf

from utils.course import session
from utils.course.records import written
from utils.course.session import COURSE, scaled, setup, show_source


def run_python(code, folder=COURSE, **environment):
    # Without what importing utils has set in this process.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TF_CPP", "KERAS_"))}
    command, pipes = [sys.executable, "-c", code], {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(command, cwd=folder, env=inherited | environment, timeout=120, **pipes)


def test_setup_prints_what_it_found(capsys):
    setup(seed=3, mode="quick")
    rows = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert rows["TensorFlow"] == tf.__version__ and rows["Keras"] == keras.__version__
    assert rows["Python"] == ".".join(map(str, sys.version_info[:3]))
    assert rows["mode"].startswith("quick: ") and rows["seed"] == "3" and rows["precision"] == "float32"
    assert rows["device"].startswith(("CPU, ", "GPU: "))


def test_half_precision_that_was_left_on_is_switched_off():
    keras.config.set_dtype_policy("mixed_float16")
    setup()
    assert keras.config.dtype_policy().name == "float32"


TRAINING = """
import keras, numpy as np
from utils.autoencoders import Autoencoder
from utils.course.training import fit_or_load
from utils.networks import dense_decoder, dense_encoder
model = Autoencoder(dense_encoder(2, (4,)), dense_decoder(2, (4,)))
model.compile("adam")
mine = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print("mine", epoch))
fit_or_load(model, np.zeros((8, 28, 28, 1)), epochs=2, name=NAME, callbacks=[mine])
"""


def test_what_a_notebook_shows(tmp_path, monkeypatch):
    """Native log lines go to a file, Python's warnings do not, and a learner's own lines stay beside a training's."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("COURSE_MODE", "standard")
    monkeypatch.delenv("PYTEST_CURRENT_TEST")  # with it, ipykernel does not watch file descriptor 2
    cells = [
        "from utils.course.session import setup; setup()",
        TRAINING.replace("NAME", "None"),
        "import os, warnings; os.write(2, b'a native line')\nwarnings.warn('a warning of Python')\n1 / 0",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    folder = {"metadata": {"path": str(COURSE)}}
    nbclient.NotebookClient(notebook, allow_errors=True, kernel_name="python3", resources=folder).execute()
    first, trained, last = [cell.outputs for cell in notebook.cells]
    assert [output.name for output in first] == ["stdout"]
    printed = "".join(output.text for output in trained if output.output_type == "stream")
    shown = [output.data["text/plain"] for output in trained if output.output_type == "display_data"]
    assert printed == "mine 0\nmine 1\n"
    assert len(shown) == 1 and shown[0].startswith("autoencoder: trained for 2 epochs in ")
    assert "a warning of Python" in last[0].text and "a native line" not in last[0].text
    assert last[-1].ename == "ZeroDivisionError"
    (log,) = tmp_path.glob("tensorflow-*.log")
    assert "a native line" in log.read_text()


CONSOLE = """
from utils.course.session import setup
setup(seed=1)
from utils.course import results
from utils.course.judge import load_judge
load_judge()
results.table("01", {"x": (1.0, "Fréchet − ẑ", "lower")}, headline="x")
"""


def test_a_folder_with_spaces_and_korean_letters_and_a_korean_console(tmp_path):
    """On a Korean Windows, Python prints in cp949, which has no é."""
    course = tmp_path / "a folder, 폴더"
    shutil.copytree(COURSE / "utils", course / "utils")
    (course / "data" / "pretrained").mkdir(parents=True)
    for name in ("results.json", "pretrained/judge.json", "pretrained/judge.npz"):
        shutil.copy(COURSE / "data" / name, course / "data" / name)
    code = CONSOLE + TRAINING.replace("NAME", "'tiny'")
    run = run_python(code, course, PYTHONIOENCODING="cp949", PYTHONUTF8="0", COURSE_MODE="retrain")
    assert run.returncode == 0, run.stderr.decode("cp949")
    assert run.stderr == b"", "log lines of TensorFlow"
    printed = run.stdout.decode("cp949")
    assert "judge: 99." in printed and "mine 1" in printed and "tiny: trained for 2 epochs" in printed
    assert sorted(path.name for path in (course / "data" / "pretrained").glob("tiny.*")) == ["tiny.json", "tiny.npz"]
    assert '"01"' in (course / "data" / "results.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("module", ["utils.vae", "utils.course.session"])
def test_where_keras_is_set_up_for_another_backend_the_course_takes_tensorflow(module):
    code = f"import {module}, keras; print(keras.backend.backend())"
    assert run_python(code, KERAS_BACKEND="jax").stdout.decode().split() == ["tensorflow"]


def test_mode_comes_from_argument_then_environment_then_default(monkeypatch):
    for environment, argument, expected in (
        ("quick", None, "quick"),
        ("quick", "retrain", "retrain"),
        ("", None, "standard"),
    ):
        monkeypatch.setenv("COURSE_MODE", environment)
        setup(mode=argument)
        assert session.session.mode == expected


def test_the_same_seed_draws_the_same_numbers():
    draws = []
    for seed in (5, 5, 6):
        setup(seed=seed)
        numpy, tensorflow = np.random.rand(), float(tf.random.normal(()))  # noqa: NPY002
        weight = float(keras.initializers.RandomNormal()((1,))[0])
        draws.append((random.random(), numpy, tensorflow, weight))
    assert draws[0] == draws[1]
    assert not set(draws[0]) & set(draws[2])


def test_scaled_picks_by_mode():
    found = {}
    for mode in session.MODES:
        setup(mode=mode)
        found[mode] = scaled(10, 1)
    assert found == {"standard": 10, "retrain": 10, "quick": 1}


def test_files_are_written_whole_or_not_at_all(tmp_path, monkeypatch, capsys):
    path = tmp_path / "folder" / "file"
    assert written(path, b"old", "it is lost") and not capsys.readouterr().out

    def fail(self, target):
        raise OSError(28, "disk full")

    monkeypatch.setattr(type(path), "replace", fail)
    assert not written(path, b"new", "it is lost")
    assert capsys.readouterr().out == "folder/file cannot be written (disk full): it is lost.\n"
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]

    def interrupt(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(path), "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        written(path, b"new", "it is lost")
    assert list(path.parent.iterdir()) == [path]


def test_show_source_shows_the_code():
    shown = show_source(scaled).data
    assert shown.startswith("```python\ndef scaled(") and shown.endswith("\n```")
