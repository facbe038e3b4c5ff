"""Weights that an earlier run trained: data/pretrained/NAME.npz, and beside it the record of how they came about."""

import hashlib
import io
import json
import platform
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from utils.course.fingerprint import describe, differences
from utils.course.session import DATA, session, write_atomically

PRETRAINED = DATA / "pretrained"
# What reading a damaged record may raise.
DAMAGES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True)
class Training:
    """How a model came to its weights."""

    history: dict[str, list[float]]  # metric -> value after each epoch, as in Keras's History
    seconds: float  # that the training took, wherever it ran
    loaded: bool
    recipe: dict = field(repr=False)  # what decided the outcome
    snapshots: np.ndarray | None = field(default=None, repr=False)  # of each epoch: uint8 (epochs, ...)


def load_pretrained(model, name: str) -> Training:
    """Give a model, compiled or not, the weights that a chapter has left in data/pretrained as NAME.npz.

    The generators are seeded afterwards, as by `fit_or_load`.

    Raises:
        ValueError: the file is missing or damaged, or of another network; the message says which and what to do.
    """
    try:
        record = _record(name)
        _check(differences(record["recipe"]["network"], describe(model)))
        training = _load(model, name, record)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be loaded: {error}. Restore it from the repository, or train it anew."
        ) from error
    print(f"{name}: loaded.\n{remarks(name, record)}", end="")
    keras.utils.set_random_seed(session.seed)
    return training


def load_same(model, name: str, recipe: dict, with_snapshots: bool) -> Training | None:
    """The training of data/pretrained, if it was the same; otherwise None, and a line says what differs."""
    try:
        record = _record(name)
        _check(differences(record["recipe"], recipe, same_data(record)))
        training = _load(model, name, record, with_snapshots)
    except (OSError, ValueError) as error:
        print(f"{name}: {error}. Training it now.")
        return None
    epochs = len(next(iter(training.history.values())))
    print(f"{name}: loaded, trained for {epochs} epochs in {training.seconds:.0f} s. {figures(training.history)}")
    print(remarks(name, record), end="")
    return training


def _record(name: str) -> dict:
    """The record, with what is read of it in the right types. Raises OSError or ValueError."""
    path = PRETRAINED / f"{name}.json"
    if not path.is_file():
        raise ValueError("there is no pretrained file")
    try:
        record = json.loads(path.read_bytes())
        record["recipe"]["network"]
        record["seconds"] = float(record["seconds"])
        record["history"] = {metric: [float(v) for v in values] for metric, values in record["history"].items()}
        if not record["history"] or not all(record["history"].values()):
            raise ValueError("a metric without a value")
        remarks(name, record)
        return record
    except DAMAGES as error:
        raise ValueError(f"its record is damaged ({type(error).__name__}: {error})") from error


def _check(differing: list[str]) -> None:
    if differing:
        raise ValueError(f"the file was made with another recipe ({', '.join(differing)})")


def _load(model, name: str, record: dict, with_snapshots=False) -> Training:
    payload = (PRETRAINED / f"{name}.npz").read_bytes()
    if record.get("weights_sha256") != hashlib.sha256(payload).hexdigest():
        raise ValueError("the pretrained weights are damaged (their checksum differs)")
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            arrays = dict(file)
    except Exception as error:  # NumPy promises no type for a damaged file
        raise ValueError(f"the pretrained weights are damaged ({type(error).__name__}: {error})") from error
    snapshots = arrays.pop("snapshots", None)
    if with_snapshots and snapshots is None:
        raise ValueError("the pretrained file has no snapshots")
    if [array.shape for array in arrays.values()] != [weight.shape for weight in model.weights]:
        raise ValueError("the pretrained weights have other shapes")
    model.set_weights(list(arrays.values()))
    return Training(record["history"], record["seconds"], True, record["recipe"], snapshots)


def save(model, name: str, training: Training) -> bool:
    """Write a trained model in half precision, and round it in the same way, so that figures are those of the file.

    Returns False, and says why, if the folder cannot be written. On the stand-in digits nothing is written.

    Raises:
        ValueError: a weight is not finite in half precision.
    """
    if not session.comparable:
        print(f"{name}: trained on {session.dataset}, so the pretrained file stays as it is.")
        return True
    arrays = []
    for weight in model.get_weights():
        with np.errstate(over="ignore"):  # the next line says it better
            half = weight.astype(np.float16) if np.issubdtype(weight.dtype, np.floating) else weight
        if not np.isfinite(half).all():
            raise ValueError(f"{name}: a weight is not finite in half precision, so nothing was written.")
        arrays.append(half)
    pictures = {} if training.snapshots is None else {"snapshots": training.snapshots}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, *arrays, **pictures)
    record = {
        "recipe": training.recipe,
        "history": training.history,
        "seconds": round(training.seconds, 1),
        **circumstances(),
        "weights_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    model.set_weights(arrays)
    try:
        write_atomically(PRETRAINED / f"{name}.npz", buffer.getvalue())
        write_atomically(PRETRAINED / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())
    except OSError as error:
        print(f"{name}: data/pretrained cannot be written ({error.strerror}); the model in memory is trained.")
        return False
    return True


def figures(history: dict[str, list[float]]) -> str:
    """The latest value of each metric."""
    return ", ".join(f"{metric} {values[-1]:.4g}" for metric, values in history.items())


def circumstances() -> dict:
    """What a record says about the run that made it."""
    return {
        "seed": session.seed,
        "data": {"source": session.dataset, "sha256": session.dataset_checksum},
        "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
    }


def same_data(record: dict) -> bool:
    """False if the record was made on one data set and this session uses another."""
    there, here = record["data"]["sha256"], session.dataset_checksum
    return there is None or here is None or there == here


def remarks(name: str, record: dict) -> str:
    """What a reader has to know about a record made on other data, or with another seed: lines, or nothing."""
    lines = ""
    if not same_data(record):
        lines += f"{name}: it was made on {record['data']['source']}; here the data are {session.dataset}.\n"
    if record["seed"] != session.seed:
        lines += f"{name}: it was made with seed {record['seed']}, not {session.seed}.\n"
    return lines
