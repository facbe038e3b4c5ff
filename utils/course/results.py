"""Measured figures: record them, and show them beside their references."""

import json
import math
import os
import platform

import keras
import tensorflow as tf
from IPython.display import Markdown, display

from utils.runtime import COURSE, session, write_atomically

__all__ = ["load", "record", "table"]

RESULTS = COURSE / "data" / "results.json"
_run: dict[str, dict[str, dict]] = {}  # notebook -> name -> record, of this session


def record(notebook, name, value, unit, better, reference=None, source=None) -> None:
    """Keep a measured figure for `table`, and, in retrain mode on real MNIST, in data/results.json.

    Args:
        notebook: such as "01_autoencoder".
        name: of the figure, such as "ae30_sse".
        value: a finite number; shares and accuracies in percent.
        unit: what it counts, such as "squared error per image" or "%".
        better: "lower" or "higher".
        reference: a published figure or a baseline to compare with, and its `source`.

    Raises:
        ValueError: the value is not finite, `better` is unknown, or a reference has no source.
    """
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}: only a finite figure can be recorded.")
    if better not in ("lower", "higher"):
        raise ValueError(f"better is {better!r}: choose 'lower' or 'higher'.")
    if (reference is None) != (source is None):
        raise ValueError(f"{name}: a reference needs its source, and a source its reference.")
    entry = {"value": float(f"{value:.5g}"), "unit": unit, "better": better}
    if reference is not None:
        entry |= {"reference": float(reference), "source": source}
    figures = _run.setdefault(notebook, {})
    figures[name] = entry
    if session.mode == "retrain" and session.comparable:
        everything = load()
        everything[notebook] = figures  # and not a figure that the notebook no longer measures
        everything["environment"] = {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "cores": os.cpu_count(),
            "gpus": len(tf.config.list_physical_devices("GPU")),
        }
        write_atomically(RESULTS, (json.dumps(everything, indent=1, ensure_ascii=False) + "\n").encode())


def load() -> dict:
    """The content of data/results.json: notebook -> name -> record, and "environment"."""
    if not RESULTS.is_file():
        return {}
    try:
        return json.loads(RESULTS.read_bytes())
    except ValueError as error:
        raise ValueError(f"data/results.json is not JSON ({error}): restore it from the repository.") from error


def table(notebook: str, headline: str) -> None:
    """Show what this session recorded for a notebook; `headline` names the figure that `make run` lists."""
    figures = _run[notebook]
    lines = rows(figures)
    if not session.comparable:
        lines += ["", "*Quick mode or stand-in digits: not comparable with the references.*"]
    metadata = {"headline": f"{headline} {figures[headline]['value']:.4g}", "comparable": session.comparable}
    display(Markdown("\n".join(lines)), metadata=metadata)


def rows(figures: dict[str, dict]) -> list[str]:
    """Records as lines of a Markdown table."""
    lines = ["| figure | measured | unit | better | reference | source |", "|---|---:|---|---|---:|---|"]
    for name, entry in figures.items():
        reference = f"{entry['reference']:.4g}" if "reference" in entry else ""
        lines.append(
            f"| `{name}` | **{entry['value']:.4g}** | {entry['unit']} | {entry['better']} "
            f"| {reference} | {entry.get('source', '')} |"
        )
    return lines
