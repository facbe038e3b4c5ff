"""The zip for students: no solutions, a cell to fill for each exercise, and its check."""

import json
import re
import subprocess
import zipfile

import nbclient
import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import chapters, student

EXERCISES = """## Exercises

1. Change a number.

   <details><summary>What to expect</summary>

   Another one.

   </details>
2. Write `double(x)`. It should pass `assert double(2) ==
   4` and this:

   ```python
   x = 3
   assert double(x) == 6
   ```

3. See how `assert` works.

Try them first; then compare
with [the solutions](solutions/01_a.ipynb).

## Sources

- A book.
"""


def chapter():
    first = new_code_cell("x = 1")
    return student.student(new_notebook(cells=[first, new_markdown_cell(EXERCISES)]), "chapter 01")


def test_each_exercise_is_followed_by_a_cell_to_fill_and_its_check():
    made = chapter()
    nbformat.validate(made)
    assert [cell.id for cell in made.cells[2:]] == [
        *("exercise-1", "your-turn-1", "exercise-2", "your-turn-2", "check-2", "exercise-3", "your-turn-3", "sources"),
    ]
    texts = [cell.source for cell in made.cells]
    assert texts[1] == "## Exercises" and texts[2].endswith("</details>") and texts[-1].startswith("## Sources")
    assert texts[6].splitlines()[2:] == ["x = 3", "assert double(x) == 6", "assert double(2) == 4"]
    assert not any("solutions" in text or "compare" in text for text in texts)


@pytest.mark.parametrize(
    ("filled", "error"),
    [(None, "NotImplementedError"), ("double = lambda x: x + 2", "AssertionError"), ("double = lambda x: 2 * x", None)],
)
def test_a_cell_says_your_turn_until_it_is_filled_and_the_check_says_whether_it_is_right(filled, error, tmp_path):
    made = chapter()
    turn, check = made.cells[5], made.cells[6]
    turn.source = filled or turn.source
    before, after = new_code_cell("double = lambda x: 2 * x  # the chapter's own"), new_code_cell("print('goes on')")
    made.cells = [before, turn, check, after]
    nbclient.NotebookClient(made, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    errors = [output for cell in made.cells for output in cell.outputs if output.output_type == "error"]
    assert [output.ename for output in errors][:1] == ([error] if error else [])
    if not filled:
        assert errors[1].evalue == "Your turn: the cell above is to be filled."
        assert errors[0].evalue == "Your turn: replace this line by your code for exercise 2 of chapter 01."
    assert made.cells[-1].outputs[0].text == "goes on\n"


def test_a_check_that_a_chapter_has_as_a_cell_stays_behind_its_exercise():
    cells = [new_markdown_cell("## Exercises\n\n1. One."), new_code_cell("check(one)"), new_markdown_cell("2. Two.")]
    made = student.student(new_notebook(cells=cells), "chapter 01")
    assert [cell.source.split("(")[0] for cell in made.cells] == [
        *("## Exercises", "1. One.", "raise NotImplementedError", "check", "2. Two.", "raise NotImplementedError"),
    ]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    target = tmp_path_factory.mktemp("zip") / "student.zip"
    student.write(target)
    with zipfile.ZipFile(target) as archive:
        yield archive


def test_the_zip_has_all_chapters_and_what_they_need_and_no_solution(archive):
    names = {name.removeprefix("generative-models/") for name in archive.namelist()}
    assert {f"notebooks/{path.name}" for path in chapters()} <= names
    assert {
        "Makefile",
        "requirements.txt",
        "LICENSE",
        "README.md",
        "utils/vae.py",
        "data/pretrained/judge.npz",
    } <= names
    assert not [name for name in names if "solution" in name or "_exercise_" in name or name.startswith("tests/")]
    readme = archive.read("generative-models/README.md").decode()
    targets = re.findall(r"^([a-z-]+):", archive.read("generative-models/Makefile").decode(), re.MULTILINE)
    assert set(re.findall(r"^make (\w+)", readme, re.MULTILINE)) <= set(targets)


def test_every_exercise_of_every_chapter_has_its_cell(archive):
    for path in chapters():
        text = archive.read(f"generative-models/notebooks/{path.name}").decode()
        made = nbformat.reads(text, as_version=4)
        nbformat.validate(made)
        assert "](solutions/" not in text
        original = nbformat.read(path, as_version=4)
        exercises = original.cells[-1].source.split("## Exercises")[1].split("## Sources")[0]
        numbers = re.findall(r"^(\d)\. ", exercises, re.MULTILINE)
        assert [cell.id for cell in made.cells if cell.id.startswith("your-turn")] == [
            f"your-turn-{n}" for n in numbers
        ]
        checks = [cell.source.partition("filled.")[2] for cell in made.cells if cell.id.startswith("check")]
        assert "".join(checks).count("assert") >= len(re.findall(r"^ *assert|`assert ", exercises, re.MULTILINE))
        kept = len(original.cells) - 1
        assert json.dumps(made.cells[:kept]) == json.dumps(original.cells[:kept])


def test_outside_of_git_one_sentence_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(student, "COURSE", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(SystemExit, match="git says"):
        student.files()
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    assert student.files() == []
