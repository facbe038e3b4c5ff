"""Measured figures: record them at the end of a chapter, and show them beside their references."""

import json
import math
import os

import pandas as pd
import tensorflow as tf
from IPython.display import display

from utils.course.records import circumstances, written
from utils.course.session import DATA, session

RESULTS = DATA / "results.json"
FIELDS = ["value", "unit", "better", "reference", "source"]


def table(notebook: str, figures: dict[str, tuple], headline: str) -> None:
    """Show the figures of a notebook, and in retrain mode on real MNIST write them to data/results.json.

    Args:
        notebook: such as "01_autoencoder".
        figures: name -> (value, unit, better) or (value, unit, better, reference, source). Shares are in percent;
            better is "lower" or "higher". ValueError if a value is not finite.
        headline: the figure that `make run` lists.
    """
    entries = {name: dict(zip(FIELDS, figure, strict=False)) for name, figure in figures.items()}
    for name, entry in entries.items():
        if not math.isfinite(entry["value"]):
            raise ValueError(f"{name} is {entry['value']}: only a finite figure can be recorded.")
        entry["value"] = float(f"{float(entry['value']):.5g}")
    metadata = {
        "headline": f"{headline} {entries[headline]['value']:.4g}",
        "figures": {name: entry["value"] for name, entry in entries.items()},
        "comparable": session.comparable,
    }
    if session.mode == "retrain" and session.comparable:
        machine = {"cores": os.cpu_count(), "gpus": len(tf.config.list_physical_devices("GPU"))}
        everything = load() | {notebook: entries, "environment": circumstances()["versions"] | machine}
        payload = (json.dumps(everything, indent=1, ensure_ascii=False, default=float) + "\n").encode()
        written(RESULTS, payload, "the figures below are not recorded")
    with pd.option_context("display.max_colwidth", None):  # or pandas cuts long units and sources short
        display(frame(entries), metadata=metadata)
    if not session.comparable:
        print("Quick mode or stand-in digits: not comparable with the references.")


def load() -> dict:
    """The content of data/results.json: notebook -> name -> entry, and "environment". ValueError if it is damaged."""
    try:
        return json.loads(RESULTS.read_bytes()) if RESULTS.is_file() else {}
    except ValueError as error:
        raise ValueError(f"data/results.json is not JSON ({error}): restore it from the repository.") from error


def frame(entries: dict[str, dict]) -> pd.DataFrame:
    """Entries as a table, with four significant digits."""
    rows = pd.DataFrame(list(entries.values()), list(entries), FIELDS, dtype=object)
    for column in ("value", "reference"):
        rows[column] = [f"{number:.4g}" if pd.notna(number) else "" for number in rows[column]]
    return rows.fillna("").rename(columns={"value": "measured"}).rename_axis("figure")
