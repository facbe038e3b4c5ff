"""Plugin of pytest beside nbval: after the last cell of a chapter, ten of its cells run a second time.

    python -m pytest --nbval-lax --nbval-current-env -p tests.rerun notebooks

Always the same ten, in a random order: their text must be what it was, apart from times, or their error must say which
cell to run first.
"""

import random
import re

import pytest
from nbval.plugin import IPyNbCell, NbCellError

TIMES = 10


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    chapters = {item.parent: [] for item in items if isinstance(item, IPyNbCell)}
    for item in items:
        if item.parent in chapters:
            chapters[item.parent].append(item)
    for chapter, cells in chapters.items():
        if chapter.path.parent.name == "notebooks":
            chosen = random.Random(chapter.path.stem).sample(cells[1:], min(TIMES, len(cells) - 1))
            place = items.index(cells[-1]) + 1
            items[place:place] = [Again.of(cell) for cell in chosen]


class Again(IPyNbCell):
    """A cell that has run before."""

    @classmethod
    def of(cls, first):
        again = cls.from_parent(
            first.parent, name=f"{first.name} again", cell_num=first.cell_num, cell=first.cell, options=first.options
        )
        again.first = first
        return again

    def runtest(self):
        if self.first.test_outputs is None:
            pytest.skip("the cell did not run a first time")
        try:
            super().runtest()
        except NbCellError as error:
            if "run the cell" not in str(error.inner_traceback):
                raise
            return
        before, after = text(self.first.test_outputs), text(self.test_outputs)
        if before != after:
            self.raise_cell_error("Its text was another one", f"--- first\n{before}\n--- again\n{after}")


def text(outputs) -> str:
    """What a cell printed, without what differs from run to run."""
    whole = "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)
    whole = re.sub(r"0x[0-9a-f]+|\d+(?= m?s\b)", "", whole).replace("Overwriting", "Writing")  # by %%writefile
    if "Param #" in whole:  # Keras numbers the layers of all models in turn
        whole = re.sub(r"_\d+| ", "", whole)
    return re.sub(r"[\d.,± ]", "", whole) if "second" in whole else whole
