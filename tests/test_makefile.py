"""The set-up in the Makefile: which Python it takes, and when it makes the environment anew."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from utils.course.session import COURSE

if not shutil.which("make"):
    pytest.skip("needs make", allow_module_level=True)


def interpreter(path, release):
    """A program that says it is another release of Python, whatever code it is given with -c."""
    path.parent.mkdir(parents=True, exist_ok=True)
    code = f"import sys; sys.version_info = {(*release, 0)}; exec(sys.argv[1])"
    path.write_text(f"#!/bin/sh\nexec '{sys.executable}' -c '{code}' \"$2\"\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def make(tmp_path):
    folder = tmp_path / "a folder, 폴더"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "requirements.txt"):
        shutil.copy(COURSE / name, folder)

    # Not as a part of the make that runs these tests: with its level and its flags, this one would print more.
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTHON", "REQUIREMENTS"))
    }

    def make(*arguments):
        command = ["make", *map(str, arguments)]
        run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        return run.returncode, run.stdout, run.stderr

    return folder, make


@pytest.mark.parametrize("release", [(3, 8), (3, 9), (3, 14)])
def test_a_python_without_tensorflow_is_refused_in_one_sentence(release, make, tmp_path):
    folder, run = make
    status, printed, errors = run("run", f"PYTHON={interpreter(tmp_path / 'python', release)}")
    assert status != 0 and printed == ""
    sentence, *rest = errors.splitlines()
    assert re.match(rf"Python {release[0]}\.{release[1]} does not work: TensorFlow needs 3.10 to 3.13", sentence)
    assert "make run PYTHON=" in sentence and all(line.startswith("make: ") for line in rest)
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize(("wanted", "anew"), [((3, 12), False), ((3, 13), True)])
def test_the_environment_is_made_anew_for_another_python(wanted, anew, make, tmp_path):
    folder, run = make
    interpreter(folder / ".venv" / "bin" / "python", (3, 12))
    (folder / ".venv" / "ready").touch()
    status, printed, _ = run("--dry-run", ".venv/ready", f"PYTHON={interpreter(tmp_path / 'python', wanted)}")
    assert status == 0
    assert ("-m venv .venv" in printed) == anew


def test_without_a_word_about_python_the_environment_stays_as_it_is(make):
    folder, run = make
    interpreter(folder / ".venv" / "bin" / "python", (3, 12))
    (folder / ".venv" / "ready").touch()
    status, printed, _ = run("--dry-run", ".venv/ready")
    assert status == 0 and "-m venv .venv" not in printed


def test_pip_gives_no_advice_and_somebody_who_waits_knows_why(make, tmp_path):
    _, run = make
    status, printed, _ = run("--dry-run", ".venv/ready", f"PYTHON={interpreter(tmp_path / 'python', (3, 12))}")
    assert status == 0
    assert printed.index("take some minutes") < printed.index("-m venv .venv")
    calls = re.findall(r"bin/pip (.*)", printed)
    assert len(calls) == 2
    for call in calls:
        assert call.startswith("--disable-pip-version-check install --quiet --quiet ")


@pytest.mark.parametrize(("only", "expected"), [("", ""), ("ONLY=06", " 06"), ("ONLY=06 07", " 06 07")])
def test_one_chapter_can_be_run_alone(only, expected, make):
    folder, run = make
    interpreter(folder / ".venv" / "bin" / "python", (3, 12))
    (folder / ".venv" / "ready").touch()
    status, printed, _ = run("--dry-run", "run", *filter(None, [only]))
    assert status == 0 and f"-m tools.execute{expected}\n" in printed.replace(" \n", "\n")
