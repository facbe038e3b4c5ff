"""Records: JSON files that say what decided a training or a study, so that its outcome serves where nothing changed."""

import contextlib
import json
import os
import platform
from pathlib import Path

import keras
import tensorflow as tf

from utils.course.fingerprint import differences
from utils.course.session import session


def circumstances() -> dict:
    """What a record says about the run that made it."""
    return {
        "seed": session.seed,
        "data": {"source": session.dataset, "sha256": session.dataset_checksum},
        "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
    }


def read(path: Path, recipe: dict, whole=True) -> dict:
    """A record that has this recipe, the `whole` or a part of it, or ValueError; prints if data or seed were others."""
    if not path.is_file():
        raise ValueError(f"there is no {path.name} in data/{path.parent.name}")
    try:
        record = json.loads(path.read_bytes())
        seed, source, checksum = record["seed"], record["data"]["source"], record["data"]["sha256"]
        same_data = session.dataset_checksum in (checksum, None) or checksum is None
        made = record["recipe"] if whole else {key: record["recipe"][key] for key in recipe}
        differing = differences(made, recipe, same_data)
    except Exception as error:  # a damaged file may hold anything
        raise ValueError(f"its record is damaged ({type(error).__name__}: {error})") from error
    if differing:
        raise ValueError(f"the file was made with another recipe ({', '.join(differing)})")
    if not same_data:
        print(f"{path.stem}: it was made on {source}; here the data are {session.dataset}.")
    if seed != session.seed:
        print(f"{path.stem}: it was made with seed {seed}, not {session.seed}.")
    return record


def write(path: Path, recipe: dict, seconds: float, otherwise: str, **content) -> bool:
    """Write a record, as `written` does."""
    record = {"recipe": recipe, "seconds": round(seconds, 1), **circumstances(), **content}
    return written(path, (json.dumps(record, indent=1) + "\n").encode(), otherwise)


def written(path: Path, payload: bytes, otherwise: str) -> bool:
    """Write a file whole; if that is not possible, nothing, and a line says why and what follows."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(payload)
        partial.replace(path)
        return True
    except OSError as error:
        print(f"{path.parent.name}/{path.name} cannot be written ({error.strerror}): {otherwise}.")
        return False
    finally:  # also where the kernel is interrupted
        with contextlib.suppress(OSError):
            partial.unlink()
