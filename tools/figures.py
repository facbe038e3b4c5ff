"""The figures of a notebook, with the alt texts that stand in the metadata of their cells."""

import base64
from dataclasses import dataclass


@dataclass
class Figure:
    """A picture among the outputs of a cell, and what it shows, for those who cannot see it."""

    cell: dict
    png: bytes
    alt: str  # empty if the cell does not say


def figures(notebook) -> list[Figure]:
    """All figures of a notebook, in order.

    A cell's metadata has `alt`: a text, or a list of texts, one for each of its pictures. ValueError if their numbers
    differ, because each text would then describe another picture.
    """
    found = []
    for cell in notebook.cells:
        bundles = [output.get("data", {}) for output in cell.get("outputs", [])]
        pictures = [base64.b64decode(bundle["image/png"]) for bundle in bundles if "image/png" in bundle]
        texts = cell.metadata.get("alt") or [""] * len(pictures)
        texts = [texts] if isinstance(texts, str) else texts
        if len(texts) != len(pictures):
            raise ValueError(f"The cell {cell.id!r} has {len(pictures)} pictures and {len(texts)} alt texts.")
        found += [Figure(cell, *pair) for pair in zip(pictures, texts, strict=True)]
    return found


def thumbnail(notebook) -> Figure:
    """The figure that stands for a chapter: the first of the cell with the tag `thumbnail`, or of the notebook."""
    found = figures(notebook)
    tagged = [figure for figure in found if "thumbnail" in figure.cell.metadata.get("tags", [])]
    return (tagged or found)[0]
