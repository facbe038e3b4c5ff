"""Tools for those who run and edit the course: `python -m tools.execute`, `tools.colab`, `tools.readme`."""

from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]


def notebooks() -> list[Path]:
    """The chapters and their solutions, in order, without the checkpoints that Jupyter leaves beside them."""
    folders = COURSE / "notebooks", COURSE / "notebooks" / "solutions"
    return [path for folder in folders for path in sorted(folder.glob("[0-9]*.ipynb"))]
