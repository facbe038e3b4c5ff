"""Plugin of pytest: each notebook is a test, and runs once in quick mode; then cells of a chapter run a second time.

    python -m pytest -p tests.rerun notebooks

A notebook must run without an error. Of a chapter, ten cells, always the same, run again in a random order: their text
must be what it was, apart from times, or the error must say which cell to run first.
"""

import copy
import os
import random
import re

import nbclient
import nbformat
import pytest

from tools.execute import ENCRYPTED

TIMES = 10


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".ipynb" and file_path.stem[:2].isdigit():
        return Notebook.from_parent(parent, path=file_path)


class Notebook(pytest.File):
    def collect(self):
        yield Run.from_parent(self, name="runs_and_reruns")


class Run(pytest.Item):
    def runtest(self):
        notebook = nbformat.read(self.path, as_version=4)
        code = [number for number, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        client = nbclient.NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            config=ENCRYPTED,
            resources={"metadata": {"path": str(self.path.parent)}},
            coalesce_streams=True,
        )
        faults = []
        with client.setup_kernel(env=dict(os.environ) | {"COURSE_MODE": "quick"}):
            for number in code:
                client.execute_cell(notebook.cells[number], number)
            client.allow_errors = True
            for number in chosen(code, self.path):
                again = copy.deepcopy(notebook.cells[number])
                client.execute_cell(again, number)
                before, after = text(notebook.cells[number]), text(again)
                if before != after and "run the cell" not in after:
                    faults.append(f"{again.source}\n\n--- first\n{before}\n--- again\n{after}")
        if faults:
            raise Differs("\n\n".join(faults))

    def repr_failure(self, info, style=None):
        if isinstance(info.value, Differs | nbclient.exceptions.CellExecutionError):
            return str(info.value)
        return super().repr_failure(info, style)


class Differs(Exception):
    """Cells whose text was another one when they ran again."""


def chosen(code, path):
    if path.parent.name == "solutions":
        return []
    return random.Random(path.stem).sample(code[1:], min(TIMES, len(code) - 1))


def text(cell) -> str:
    """What a cell printed, without what differs from run to run."""
    parts = []
    for output in cell.outputs:
        shown = output.get("data", {}).get("text/plain", "") + output.get("text", "")
        shown += f"{output.ename}: {output.evalue}" if output.output_type == "error" else ""
        parts.append(re.sub(r"0x[0-9a-f]+|\d+(?= m?s\b)", "", shown))
    whole = "\n".join(parts)
    return re.sub(r"[\d.,± ]", "", whole) if re.search(r"second", whole) else whole
