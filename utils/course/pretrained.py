"""Weights that an earlier run trained: data/pretrained/NAME.npz, and beside it the record of how they came about."""

import hashlib
import io
from dataclasses import dataclass, field

import keras
import numpy as np

from utils.course import records
from utils.course.fingerprint import describe
from utils.course.session import DATA, session

PRETRAINED = DATA / "pretrained"


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
        training, told = _load(model, name, {"network": describe(model)}, whole=False)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be loaded: {error}. Restore it from the repository, or train it anew."
        ) from error
    print(f"{name}: loaded.\n{told}", end="")
    keras.utils.set_random_seed(session.seed)
    return training


def load_same(model, name: str, recipe: dict, with_snapshots: bool) -> Training | None:
    """The training of data/pretrained, if it was the same; otherwise None, and a line says what differs."""
    try:
        training, told = _load(model, name, recipe, with_snapshots)
    except (OSError, ValueError) as error:
        print(f"{name}: {error}. Training it now.")
        return None
    epochs = len(next(iter(training.history.values())))
    print(f"{name}: loaded, trained for {epochs} epochs in {training.seconds:.0f} s. {figures(training.history)}")
    print(told, end="")
    return training


def _load(model, name: str, recipe: dict, with_snapshots=False, whole=True) -> tuple[Training, str]:
    record, told = records.read(PRETRAINED / f"{name}.json", recipe, whole)
    payload = (PRETRAINED / f"{name}.npz").read_bytes()
    if record.get("weights_sha256") != hashlib.sha256(payload).hexdigest():
        raise ValueError("the pretrained weights are damaged (their checksum differs)")
    try:
        history = {metric: [float(value) for value in values] for metric, values in record["history"].items()}
        if not min(map(len, history.values())):
            raise ValueError("a metric without a value")
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            arrays = dict(file)
    except Exception as error:  # NumPy promises no type for a damaged file
        raise ValueError(f"its record or its weights are damaged ({type(error).__name__}: {error})") from error
    snapshots = arrays.pop("snapshots", None)
    if with_snapshots and snapshots is None:
        raise ValueError("the pretrained file has no snapshots")
    if [array.shape for array in arrays.values()] != [weight.shape for weight in model.weights]:
        raise ValueError("the pretrained weights have other shapes")
    model.set_weights(list(arrays.values()))
    return Training(history, record["seconds"], True, record["recipe"], snapshots), told


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
    model.set_weights(arrays)
    pictures = {} if training.snapshots is None else {"snapshots": training.snapshots}
    buffer, otherwise = io.BytesIO(), "the model in memory is trained"
    np.savez_compressed(buffer, *arrays, **pictures)
    payload = buffer.getvalue()
    content = {"history": training.history, "weights_sha256": hashlib.sha256(payload).hexdigest()}
    return records.written(PRETRAINED / f"{name}.npz", payload, otherwise) and records.write(
        PRETRAINED / f"{name}.json", training.recipe, training.seconds, otherwise, **content
    )


def figures(history: dict[str, list[float]]) -> str:
    """The latest value of each metric."""
    return ", ".join(f"{metric} {values[-1]:.4g}" for metric, values in history.items())
