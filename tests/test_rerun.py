"""The plugin that runs cells a second time notices one that goes on from where it was, and nothing else."""

import re
import subprocess
import sys

import nbformat

from utils.course.session import COURSE

CELLS = [
    "count, seconds, layers = 0, 7, 0",
    "count += 1\nprint(count)",
    "total = 1 + 1\nprint(f'{total} in {seconds} s')\nseconds += 1",
    "%%writefile note.txt\nwritten",
    "layers += 1\nprint(f'dense_{layers}  Param #')",  # as in model.summary()
    "if count > 1:\n    raise ValueError('run the cell that makes count again')",
]


def test_cells_that_go_on_are_reported(tmp_path):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    cells = [nbformat.v4.new_code_cell(cell) for cell in CELLS]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "00_counts.ipynb")
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "tests.rerun"]
    command += ["-p", "no:cacheprovider", "-c", COURSE / "pyproject.toml", "--rootdir", tmp_path, folder, "-rfp"]
    printed = subprocess.run(command, cwd=COURSE, capture_output=True, text=True).stdout
    outcomes = {
        name: outcome for outcome, name in re.findall(r"^(PASSED|FAILED) .*::(Cell \d(?: again)?)", printed, re.M)
    }
    assert outcomes.pop("Cell 1 again") == "FAILED"
    assert len(outcomes) == 10 and set(outcomes.values()) == {"PASSED"}, printed
