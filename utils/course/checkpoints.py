"""Go on with a training that was cut off: checkpoints, and batches that depend on nothing but seed and epoch."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from utils.replicas import state_of

__all__ = ["Checkpoint", "Progress", "shuffled_epochs"]


@dataclass
class Progress:
    """How far a training has come."""

    history: dict[str, list[float]] = field(default_factory=dict)  # metric -> value after each epoch
    seconds: float = 0.0
    snapshots: list[np.ndarray] = field(default_factory=list)  # uint8 (...), one after each epoch

    @property
    def epochs(self) -> int:
        return len(next(iter(self.history.values()), ()))


class Checkpoint:
    """All that the next epoch of a training depends on, in a folder.

    That is the state of the model (`state_of`) and the progress so far. TensorFlow's `CheckpointManager` writes them.
    It names a checkpoint the latest only when all of it is on disk, so the process may be killed at any moment.

    Args:
        folder: created by the first `save`.
        model: compiled and built Keras model.
        belongs_to: what decides the outcome, but for the initial weights; writable as JSON.
    """

    def __init__(self, folder: Path, model, belongs_to: dict):
        self.folder, self._belongs_to = folder, json.loads(json.dumps(belongs_to))
        self._variables = [variable.value for variable in state_of(model)]
        self._record = tf.Variable("", dtype=tf.string, trainable=False)
        self._snapshots = tf.Variable("", dtype=tf.string, trainable=False)
        self._manager = None

    def _content(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(record=self._record, snapshots=self._snapshots, variables=self._variables)

    def save(self, progress: Progress) -> None:
        record = {"belongs_to": self._belongs_to, "history": progress.history, "seconds": progress.seconds}
        self._record.assign(json.dumps(record))
        if progress.snapshots:
            self._snapshots.assign(tf.io.serialize_tensor(np.stack(progress.snapshots)))
        # Not before: the manager reads what is in the folder, which may be damaged.
        self._manager = self._manager or tf.train.CheckpointManager(self._content(), self.folder, max_to_keep=1)
        self._manager.save(checkpoint_number=progress.epochs)

    def restore(self) -> Progress | None:
        """Bring model and optimizers to where the latest checkpoint was written; None where there is none.

        Raises ValueError, and leaves model and optimizers as they are, if the checkpoint is damaged or belongs to
        something else.
        """
        if not (self.folder / "checkpoint").is_file():  # TensorFlow's note of which one is the latest
            return None
        before = [variable.numpy() for variable in self._variables]
        try:
            return self._read()
        except Exception as error:  # of damaged bytes anything may come
            for variable, value in zip(self._variables, before, strict=True):
                variable.assign(value)
            reason = str(error) if type(error) is ValueError else f"it is damaged ({type(error).__name__})"
            raise ValueError(reason) from error

    def _read(self) -> Progress:
        latest = tf.train.latest_checkpoint(self.folder)
        if latest is None:
            raise ValueError("its files are missing")
        # First what it belongs to: the variables of another model would not even fit.
        tf.train.Checkpoint(record=self._record).restore(latest).assert_existing_objects_matched().expect_partial()
        record = json.loads(self._record.numpy())
        if changed := [key for key, value in self._belongs_to.items() if record["belongs_to"].get(key) != value]:
            raise ValueError(f"it belongs to another training (other {', '.join(changed)})")
        self._content().restore(latest).assert_consumed()
        snapshots = self._snapshots.numpy()
        pictures = list(tf.io.parse_tensor(snapshots, tf.uint8).numpy()) if snapshots else []
        return Progress(record["history"], record["seconds"], pictures)

    def set_aside(self) -> Path:
        """Rename the folder, so that nothing in it is lost or read again; returns its new path."""
        number = 1
        while (place := self.folder.with_name(f"{self.folder.name}.aside-{number}")).exists():
            number += 1
        return self.folder.rename(place)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _as_keras_has_it(array):
    """The type that `fit` gives to an array: numbers with a point in single precision."""
    return keras.config.floatx() if np.issubdtype(np.asarray(array).dtype, np.floating) else None


def shuffled_epochs(arrays, batch_size: int, seed: int, first: int, last: int, whole_batches=False) -> tf.data.Dataset:
    """Batches of arrays, of the same length each, for the epochs `first` to `last` - 1, one after the other.

    The order in an epoch depends on the seed and the number of the epoch alone, so that a training which starts at
    epoch 5 meets the batches of one that came by epoch 4. The last batch of an epoch may be smaller, or is left out
    where only `whole_batches` will do.
    """
    with tf.device("CPU"):
        tensors = [keras.ops.convert_to_tensor(array, _as_keras_has_it(array)) for array in arrays]

    def order(epoch):
        rows = tf.range(len(tensors[0]), dtype=tf.int64)
        shuffled = tf.random.experimental.stateless_shuffle(rows, tf.stack([seed, epoch]))
        return tf.data.Dataset.from_tensor_slices(shuffled).batch(batch_size, whole_batches)

    def batch(rows):
        return tuple(tf.gather(tensor, rows) for tensor in tensors)

    stream = tf.data.Dataset.range(first, last).flat_map(order)
    return stream.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
