"""Records: JSON files that say what decided a training or a study, so that its outcome serves where nothing changed."""

import json
import platform
from pathlib import Path

import keras
import tensorflow as tf

from utils.course.fingerprint import differences
from utils.course.session import session, write_atomically

# What reading a damaged record may raise.
DAMAGES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def circumstances() -> dict:
    """What a record says about the run that made it."""
    return {
        "seed": session.seed,
        "data": {"source": session.dataset, "sha256": session.dataset_checksum},
        "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
    }


def read(path: Path, recipe: dict, whole=True) -> tuple[dict, str]:
    """A record, and lines with what a reader has to know: whether it was made on other data, or with another seed.

    Raises ValueError if there is none, or it is damaged, or was made with another recipe. Unless it is the `whole`
    recipe, the record may hold more.
    """
    if not path.is_file():
        raise ValueError(f"there is no {path.name} in data/{path.parent.name}")
    try:
        record, told = json.loads(path.read_bytes()), ""
        record["seconds"] = float(record["seconds"])
        data, here = record["data"], session.dataset_checksum
        same_data = None in (data["sha256"], here) or data["sha256"] == here
        if not same_data:
            told += f"{path.stem}: it was made on {data['source']}; here the data are {session.dataset}.\n"
        if record["seed"] != session.seed:
            told += f"{path.stem}: it was made with seed {record['seed']}, not {session.seed}.\n"
        made = record["recipe"] if whole else {key: record["recipe"][key] for key in recipe}
        differing = differences(made, recipe, same_data)
    except DAMAGES as error:
        raise ValueError(f"its record is damaged ({type(error).__name__}: {error})") from error
    if differing:
        raise ValueError(f"the file was made with another recipe ({', '.join(differing)})")
    return record, told


def write(path: Path, recipe: dict, seconds: float, otherwise: str, **content) -> bool:
    """Write a record; False, and a line that says why and what becomes of the outcome, if that is not possible."""
    record = {"recipe": recipe, "seconds": round(seconds, 1), **circumstances(), **content}
    return written(path, (json.dumps(record, indent=1) + "\n").encode(), otherwise)


def written(path: Path, payload: bytes, otherwise: str) -> bool:
    """Write a file whole, or not at all; then False, and a line that says why and what follows."""
    try:
        write_atomically(path, payload)
    except OSError as error:
        print(f"{path.parent.name}/{path.name} cannot be written ({error.strerror}): {otherwise}.")
        return False
    return True
