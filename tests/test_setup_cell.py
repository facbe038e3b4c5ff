"""The first code cell of all notebooks: what it asks pip to do, and what it says when pip fails."""

import subprocess
import sys

import nbformat
import pytest

from tools import colab, notebooks

ADDRESS = "https://example.org/someone/course"


def setup_cell(path):
    return next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")


@pytest.fixture
def run(tmp_path):
    """Run the cell, but for its last two lines, with a stub in the place of Python; return what it prints and asks."""

    def run(installed, can_install, stamped=True):
        path = tmp_path / "notebook.ipynb"
        path.write_text(notebooks()[0].read_text(encoding="utf-8"), encoding="utf-8")
        if stamped:
            colab.stamp(path, ADDRESS, "v1", None)
        python, asked = tmp_path / "a python, 파이썬", tmp_path / "asked"
        asked.touch()
        python.write_text(
            f'#!/bin/sh\necho "$@" >> "{asked}"\n'
            f'case "$*" in *show*) exit {int(not installed)};; *) exit {int(not can_install)};; esac\n',
            encoding="utf-8",
        )
        python.chmod(0o755)
        cell, _ = setup_cell(path).split("from utils.course")
        script = tmp_path / "cell.ipy"
        script.write_text(f"import sys\nsys.executable = {str(python)!r}\n{cell}", encoding="utf-8")
        command = [sys.executable, "-m", "IPython", "--no-banner", str(script)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip(), asked.read_text(encoding="utf-8").splitlines()

    return run


def test_it_is_the_same_in_all_notebooks_and_short():
    cells = {setup_cell(path) for path in notebooks()}
    assert len(cells) == 1
    assert len([line for line in cells.pop().splitlines() if line]) <= 6


def test_where_the_course_is_installed_nothing_is_fetched(run):
    printed, asked = run(installed=True, can_install=False)
    assert printed == "" and asked == ["-m pip -qqq show generative-models"]


def test_pip_installs_what_is_stamped_and_no_other_package(run):
    printed, asked = run(installed=False, can_install=True)
    assert printed == "" and asked[1:] == [f"-m pip -qqq install --no-deps git+{ADDRESS}@v1"]


@pytest.mark.parametrize(
    ("stamped", "expected"),
    [(True, f"pip cannot install the course from git+{ADDRESS}@v1: check"), (False, "make lab")],
)
def test_if_pip_fails_one_sentence_says_what_to_do(stamped, expected, run):
    printed, _ = run(installed=False, can_install=False, stamped=stamped)
    assert expected in printed and len(printed.splitlines()) == 1
