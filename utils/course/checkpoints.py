"""Continue a training that was cut off: checkpoints, and batches that depend on nothing but the seed and the epoch."""

import contextlib
import hashlib
import inspect
import io
import itertools
import json
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from utils.base import state_of
from utils.course.fingerprint import bare, differences
from utils.course.records import circumstances, written
from utils.course.session import DATA

CHECKPOINTS = DATA / "checkpoints"


@dataclass
class Progress:
    """How far a training has come."""

    history: dict[str, list[float]] = field(default_factory=dict)  # metric -> value after each epoch
    seconds: float = 0.0
    snapshots: list[np.ndarray] = field(default_factory=list)  # uint8 (...), one after each epoch

    @property
    def epochs(self) -> int:
        return len(next(iter(self.history.values()), ()))


class Unfit(Exception):
    """A checkpoint belongs to another training."""


class Checkpoint:
    """All that the next epoch of a training depends on, in data/checkpoints/NAME.npz: the model's state, its progress.

    Args:
        name: of the training.
        model: compiled and built Keras model.
        recipe: what decides the outcome, apart from the initial weights; JSON.
        snapshots: whether the training keeps snapshots.
    """

    def __init__(self, name: str, model, recipe: dict, snapshots: bool = False):
        self.path = CHECKPOINTS / f"{name}.npz"
        # Of the package's classes; that of a notebook's class is in the recipe, because its name alone says nothing.
        ours = [kind for kind in type(model).__mro__ if kind.__module__.split(".")[0] == "utils"]
        code = hashlib.sha256("".join(bare(inspect.getsource(kind)) for kind in ours).encode()).hexdigest()
        belongs_to = recipe | {"code of the model": code, "snapshots": snapshots, **circumstances()}
        self._belongs_to = json.loads(json.dumps(belongs_to))
        self._variables = state_of(model)

    def save(self, progress: Progress) -> bool:
        """Write the state after an epoch, whole or not at all; False, and a line says so, if that is not possible."""
        record = {"belongs_to": self._belongs_to, "history": progress.history, "seconds": progress.seconds}
        arrays = [variable.numpy() for variable in self._variables]
        buffer = io.BytesIO()
        np.savez(buffer, *arrays, record=json.dumps(record), snapshots=np.array(progress.snapshots))
        return written(self.path, buffer.getvalue(), "training goes on without checkpoints")

    def resume(self, writes: bool = True) -> Progress:
        """Bring model and optimizers to where the checkpoint was written, if there is one.

        A checkpoint that is damaged or belongs to another training changes nothing; it is set aside under another name,
        and a line says so. With `writes=False` (all workers but one) it is left where it is.
        """
        if not self.path.is_file():
            return Progress()
        name = self.path.stem
        try:
            progress = self._read()
        except Exception as error:  # damaged bytes may raise anything
            reason = str(error) if isinstance(error, Unfit) else f"it is damaged ({type(error).__name__})"
            print(f"{name}: a checkpoint of this training cannot be used: {reason}.")
            if writes:
                places = (self.path.with_name(f"{name}.aside-{number}.npz") for number in itertools.count(1))
                aside = self.path.rename(next(place for place in places if not place.exists()))
                print(f"{name}: it is set aside as {aside.name} in data/checkpoints.")
            return Progress()
        print(f"{name}: continues after epoch {progress.epochs}, where it was cut off.")
        return progress

    def _read(self) -> Progress:
        with np.load(self.path, allow_pickle=False) as file:
            arrays = dict(file)
        record, snapshots = json.loads(str(arrays.pop("record"))), list(arrays.pop("snapshots"))
        if changed := differences(record["belongs_to"], self._belongs_to):
            raise Unfit(f"it belongs to another training ({', '.join(changed)})")
        if [array.shape for array in arrays.values()] != [tuple(variable.shape) for variable in self._variables]:
            raise Unfit("its variables have other shapes")
        for variable, array in zip(self._variables, arrays.values(), strict=True):
            variable.assign(array)
        return Progress(record["history"], record["seconds"], snapshots)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()


def shuffled_epochs(arrays, batch_size: int, seed: int, first: int, last: int, whole_batches=False) -> tf.data.Dataset:
    """Batches of arrays of the same length, for the epochs `first` to `last` - 1, one after the other.

    The order within an epoch depends on the seed and the number of the epoch alone, so that a training that resumes at
    epoch 5 meets the same batches as one that was never cut off. The last batch of an epoch may be smaller; with
    `whole_batches` it is left out.
    """
    with tf.device("CPU"):
        floats = [np.issubdtype(np.asarray(array).dtype, np.floating) for array in arrays]
        tensors = [
            keras.ops.convert_to_tensor(array, keras.config.floatx() if is_float else None)
            for array, is_float in zip(arrays, floats, strict=True)
        ]

    def order(epoch):
        rows = tf.range(len(tensors[0]), dtype=tf.int64)
        shuffled = tf.random.experimental.stateless_shuffle(rows, tf.stack([seed, epoch]))
        return tf.data.Dataset.from_tensor_slices(shuffled).batch(batch_size, whole_batches)

    def batch(rows):
        return tuple(tf.gather(tensor, rows) for tensor in tensors)

    stream = tf.data.Dataset.range(first, last).flat_map(order)
    return stream.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
