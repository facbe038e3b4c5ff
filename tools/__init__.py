"""Tools for those who run and edit the course: `python -m tools.execute`, `tools.colab`, `tools.readme`."""

from pathlib import Path

import utils  # noqa: F401  # for a console that lacks some letters

COURSE = Path(__file__).resolve().parents[1]
LINKED = "utils", "tools"  # the folders whose code a notebook may link to: the site has a copy of them


def chapters() -> list[Path]:
    """The chapters in order, without the checkpoints that Jupyter leaves beside them."""
    return sorted((COURSE / "notebooks").glob("[0-9]*.ipynb"))


def solutions() -> list[Path]:
    """The solutions to the exercises, in order: each has the name of its chapter."""
    return sorted((COURSE / "notebooks" / "solutions").glob("[0-9]*.ipynb"))


def appendices() -> list[Path]:
    """The pages of tables that chapter 00 links to."""
    return sorted((COURSE / "notebooks").glob("appendix_*.md"))


def notebooks() -> list[Path]:
    """The chapters, and then their solutions."""
    return chapters() + solutions()
