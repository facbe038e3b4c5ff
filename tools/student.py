"""Write a zip of the course for students, without solutions: `python -m tools.student`.

Below each exercise of a chapter stands a cell that raises "Your turn" until it is filled, and below that, where the
exercise names an assertion, a cell with it. Tests, solutions and the studies that solutions measure are left out. The
zip goes to build/.
"""

import re
import subprocess
import sys
import textwrap
import zipfile
from fnmatch import fnmatch
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from tools import COURSE, chapters

ZIP = COURSE / "build" / "generative-models-student.zip"
LEFT_OUT = [
    *("notebooks/solutions/*", "data/studies/*_exercise_*", "tests/*", ".ci/*", ".github/*", ".pre-commit-config.yaml"),
    *("README.md", "TEACHING.md", "CONTRIBUTING.md", "CHANGELOG.md"),
]
# The first line, because a chapter's own variables may pass a check, too. `In` holds the cells that were run.
CHECK = """# Your code for exercise {} passes this check.
assert not In[-2].startswith("raise"), "Your turn: the cell above is to be filled."
{}"""
README = """# Generative models, step by step

The course's notebooks, for you to fill in. With Python 3.10 to 3.13 and `make`:

```
make lab     # set up .venv, and open JupyterLab: begin with 00_start_here.ipynb
make run     # execute all chapters, and write them with their pages to build/
```

Without `make`:

```
python3 -m venv .venv
.venv/bin/pip install --requirement requirements.txt
.venv/bin/pip install --no-deps --editable .
.venv/bin/jupyter lab notebooks
```

Each chapter ends with exercises. Below each exercise is a cell that says "Your turn": replace its line by your code.
Some are followed by a check that your code has to pass. Both may fail without stopping what comes after them.
"""


def student(notebook, name: str):
    """A chapter as students get it, in place: each exercise has a cell to fill and, if it names one, a check."""
    start = next(i for i, cell in enumerate(notebook.cells) if re.search("^## Exercises", cell.source, re.MULTILINE))
    cells = notebook.cells[:start]
    for cell in notebook.cells[start:]:
        cells += parts(cell, name) if cell.cell_type == "markdown" else [cell]
    notebook.cells = cells
    return notebook


def parts(cell, name: str) -> list:
    """A text with exercises, cut into one cell for each, with cells to fill between them."""
    paragraphs = cell.source.split("\n\n")
    text = "\n\n".join(paragraph for paragraph in paragraphs if "](solutions/" not in paragraph)
    exercises, heading, sources = text.partition("## Sources")
    before, *items = re.split(r"^(?=\d\. )", exercises, flags=re.MULTILINE)
    found = [new_markdown_cell(before.strip(), id=cell.id)] if before.strip() else []
    for item in items:
        number = item[0]
        found.append(new_markdown_cell(item.strip(), id=f"exercise-{number}"))
        turn = f"Your turn: replace this line by your code for exercise {number} of {name}."
        found.append(code(f'raise NotImplementedError("{turn}")', f"your-turn-{number}"))
        if checks := assertions(item):
            found.append(code(CHECK.format(number, checks), f"check-{number}"))
    if heading:
        found.append(new_markdown_cell(heading + sources, id="sources"))
    return found


def code(source: str, name: str):
    """A code cell that may fail without stopping the cells after it."""
    return new_code_cell(source, id=name, metadata={"tags": ["raises-exception"]})


def assertions(exercise: str) -> str:
    """The assertions that an exercise asks to pass, in blocks of code or in the running text; or an empty string."""
    fence = r"^( *)```python\n(.*?)^ *```"
    blocks = [textwrap.dedent(block[2]).strip() for block in re.finditer(fence, exercise, re.MULTILINE | re.DOTALL)]
    inline = re.findall(r"`((?:assert |check\()[^`]+)`", re.sub(fence, "", exercise, flags=re.MULTILINE | re.DOTALL))
    found = [block for block in blocks if re.search(r"\bassert|^check\(", block, re.MULTILINE)]
    return "\n".join([*found, *(" ".join(line.split()) for line in inline)])


def files() -> list[str]:
    """What git knows or would add, without what students do not get."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    ran = subprocess.run(listed, cwd=COURSE, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"The zip has what git knows of the course, and git says: {ran.stderr.strip()}")
    names = [name for name in ran.stdout.split("\0") if name and (COURSE / name).exists()]
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in LEFT_OUT)]


def main() -> int:
    write(ZIP)
    print(f"{ZIP.relative_to(COURSE)}: {len(chapters())} chapters, {ZIP.stat().st_size / 1e6:.0f} MB")
    return 0


def write(target: Path) -> None:
    """Write the zip."""
    notebooks = {path.relative_to(COURSE).as_posix(): path for path in chapters()}
    target.parent.mkdir(exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("generative-models/README.md", README)
        for name in files():
            content = (COURSE / name).read_bytes()
            if path := notebooks.get(name):
                content = nbformat.writes(student(nbformat.read(path, as_version=4), f"chapter {path.stem[:2]}")) + "\n"
            archive.writestr(f"generative-models/{name}", content)


if __name__ == "__main__":
    sys.exit(main())
