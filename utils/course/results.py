"""Measured figures: record them at the end of a chapter, and show them beside their references."""

import json
import math
import os
import platform

import keras
import pandas as pd
import tensorflow as tf
from IPython.display import display

from utils.course.records import written
from utils.course.session import DATA, session

RESULTS = DATA / "results.json"
FIELDS = ("value", "unit", "better", "reference", "source")


def table(notebook: str, figures: dict[str, tuple], headline: str) -> None:
    """Show the figures of a notebook, and in retrain mode on real MNIST write them to data/results.json.

    They replace the notebook's earlier entry as a whole, in one step; if the file cannot be written, a line says so.

    Args:
        notebook: such as "01_autoencoder".
        figures: name -> (value, unit, better) or (value, unit, better, reference, source). The value is a finite
            number, shares and accuracies in percent; the unit says what it counts; better is "lower" or "higher"; the
            reference is a published figure or a baseline, with its source.
        headline: the figure that `make run` lists.

    Raises:
        ValueError: a value is not finite, or an entry is incomplete.
    """
    entries = {name: _entry(name, *figure) for name, figure in figures.items()}
    if headline not in entries:
        raise ValueError(f"The headline {headline!r} is not among the figures {', '.join(entries)}.")
    if session.mode == "retrain" and session.comparable:
        environment = {
            "python": platform.python_version(),
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
            "cores": os.cpu_count(),
            "gpus": len(tf.config.list_physical_devices("GPU")),
        }
        everything = load() | {notebook: entries, "environment": environment}
        payload = (json.dumps(everything, indent=1, ensure_ascii=False) + "\n").encode()
        written(RESULTS, payload, "the figures below are not recorded")
    metadata = {
        "headline": f"{headline} {entries[headline]['value']:.4g}",
        "figures": {name: entry["value"] for name, entry in entries.items()},
        "comparable": session.comparable,
    }
    with pd.option_context("display.max_colwidth", None):  # or pandas cuts long units and sources short
        display(frame(entries), metadata=metadata)
    if not session.comparable:
        print("Quick mode or stand-in digits: not comparable with the references.")


def _entry(name, value, unit, better, reference=None, source=None) -> dict:
    value = float(value)
    if not math.isfinite(value):
        raise ValueError(f"{name} is {value}: only a finite figure can be recorded.")
    if better not in ("lower", "higher"):
        raise ValueError(f"better is {better!r} for {name}: choose 'lower' or 'higher'.")
    if (reference is None) != (source is None):
        raise ValueError(f"{name}: a reference needs its source, and a source its reference.")
    entry = {"value": float(f"{value:.5g}"), "unit": unit, "better": better}
    return entry if reference is None else entry | {"reference": float(reference), "source": source}


def load() -> dict:
    """The content of data/results.json: notebook -> name -> entry, and "environment".

    Raises ValueError if the file is damaged.
    """
    if not RESULTS.is_file():
        return {}
    try:
        return json.loads(RESULTS.read_bytes())
    except ValueError as error:
        raise ValueError(f"data/results.json is not JSON ({error}): restore it from the repository.") from error


def frame(entries: dict[str, dict]) -> pd.DataFrame:
    """Entries as a table, with four significant digits."""
    rows = pd.DataFrame.from_dict(entries, orient="index").reindex(columns=list(FIELDS))
    for column in ("value", "reference"):
        rows[column] = [f"{number:.4g}" if pd.notna(number) else "" for number in rows[column]]
    return rows.fillna("").rename(columns={"value": "measured"}).rename_axis("figure")
