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

    Seeds the generators. ValueError says if the file is missing, damaged or of another network, and what to do.
    """
    keras.utils.set_random_seed(session.seed)
    try:
        return _load(model, name, {"network": describe(model)}, whole=False)
    except (OSError, ValueError) as why:
        raise ValueError(f"{name} cannot be loaded: {why}. Restore it from the repository, or train it anew.") from why


def load_same(model, name: str, recipe: dict, with_snapshots: bool) -> Training | None:
    """The training of data/pretrained, if it was the same; otherwise None, and a line says what differs."""
    try:
        return _load(model, name, recipe, with_snapshots)
    except (OSError, ValueError) as error:
        print(f"{name}: {error}. Training it now.")
        return None


def _load(model, name: str, recipe: dict, with_snapshots=False, whole=True) -> Training:
    record = records.read(PRETRAINED / f"{name}.json", recipe, whole)
    payload = (PRETRAINED / f"{name}.npz").read_bytes()
    if record.get("weights_sha256") != hashlib.sha256(payload).hexdigest():
        raise ValueError("the pretrained weights are damaged (their checksum differs)")
    try:
        history = record["history"]
        epochs, seconds = len(next(iter(history.values()))), record["seconds"]
        how = f", trained for {epochs} epochs in {seconds:.0f} s. {figures(history)}" if whole else "."
        arrays = dict(np.load(io.BytesIO(payload), allow_pickle=False))
    except Exception as error:  # NumPy promises no type for a damaged file
        raise ValueError(f"its record or its weights are damaged ({type(error).__name__}: {error})") from error
    snapshots = arrays.pop("snapshots", None)
    if with_snapshots and snapshots is None:
        raise ValueError("the pretrained file has no snapshots")
    if [array.shape for array in arrays.values()] != [weight.shape for weight in model.weights]:
        raise ValueError("the pretrained weights have other shapes")
    model.set_weights(list(arrays.values()))
    print(f"{name}: loaded{how}")
    return Training(history, seconds, True, record["recipe"], snapshots)


def save(model, name: str, training: Training) -> bool:
    """Write a trained model in half precision, and round it in the same way; False if it cannot be written."""
    if not session.comparable:
        print(f"{name}: trained on {session.dataset}, so the pretrained file stays as it is.")
        return True
    with np.errstate(over="ignore"):  # the error below says it better
        arrays = [w.astype(np.float16) if np.issubdtype(w.dtype, np.floating) else w for w in model.get_weights()]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"{name}: a weight is not finite in half precision, so nothing was written.")
    model.set_weights(arrays)
    snapshots = {} if training.snapshots is None else {"snapshots": training.snapshots}
    buffer, path, otherwise = io.BytesIO(), PRETRAINED / f"{name}.npz", "the model in memory is trained"
    np.savez_compressed(buffer, *arrays, **snapshots)
    content = {"history": training.history, "weights_sha256": hashlib.sha256(buffer.getvalue()).hexdigest()}
    record = path.with_suffix(".json"), training.recipe, training.seconds, otherwise
    return records.written(path, buffer.getvalue(), otherwise) and records.write(*record, **content)


def figures(history: dict[str, list[float]]) -> str:
    """The latest value of each metric."""
    return ", ".join(f"{metric} {values[-1]:.4g}" for metric, values in history.items())
