"""Continue a training that was cut off: checkpoints, and batches that depend on nothing but the seed and the epoch."""

import hashlib
import inspect
import json
import shutil
from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from utils.base import state_of
from utils.course.fingerprint import bare, differences
from utils.course.pretrained import circumstances
from utils.course.session import DATA

__all__ = ["Checkpoint", "Progress", "shuffled_epochs"]

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


class Checkpoint:
    """All that the next epoch of a training depends on, in data/checkpoints/NAME: the model's state and its progress.

    TensorFlow's `CheckpointManager` writes it. The manager names a checkpoint the latest only when all of it is on
    disk, so the process may be killed at any moment.

    Args:
        name: of the training.
        model: compiled and built Keras model.
        recipe: what decides the outcome, apart from the initial weights; JSON.
        snapshots: whether the training keeps snapshots.
    """

    def __init__(self, name: str, model, recipe: dict, snapshots: bool = False):
        self.folder = CHECKPOINTS / name
        # Of the package's classes; that of a notebook's class is in the recipe, because its name alone says nothing.
        ours = [kind for kind in type(model).__mro__ if kind.__module__.split(".")[0] == "utils"]
        code = hashlib.sha256("".join(bare(inspect.getsource(kind)) for kind in ours).encode()).hexdigest()
        self._belongs_to = recipe | {"code of the model": code, "snapshots": snapshots, **circumstances()}
        self._belongs_to = json.loads(json.dumps(self._belongs_to))
        self._variables = [variable.value for variable in state_of(model)]
        self._record = tf.Variable("", dtype=tf.string, trainable=False)
        self._snapshots = tf.Variable("", dtype=tf.string, trainable=False)
        self._manager = None

    def _content(self) -> tf.train.Checkpoint:
        return tf.train.Checkpoint(record=self._record, snapshots=self._snapshots, variables=self._variables)

    def save(self, progress: Progress) -> bool:
        """Write the state after an epoch; False, and a line that says so, if the folder cannot be written."""
        record = {"belongs_to": self._belongs_to, "history": progress.history, "seconds": progress.seconds}
        self._record.assign(json.dumps(record))
        if progress.snapshots:
            self._snapshots.assign(tf.io.serialize_tensor(np.stack(progress.snapshots)))
        try:
            # Created here and not before, because the manager reads what is in the folder, which may be damaged.
            self._manager = self._manager or tf.train.CheckpointManager(self._content(), self.folder, max_to_keep=1)
            self._manager.save(checkpoint_number=progress.epochs)
        except (OSError, tf.errors.OpError) as error:
            print(f"\nNo checkpoint can be written to data/checkpoints ({type(error).__name__}); training goes on.")
            return False
        return True

    def resume(self, writes: bool = True) -> Progress:
        """Bring model and optimizers to where the latest checkpoint was written, if there is one.

        A checkpoint that is damaged or belongs to another training changes nothing; it is set aside under another name,
        and a line says so. With `writes=False` (all workers but one) it is left where it is.
        """
        name = self.folder.name
        if not (self.folder / "checkpoint").is_file():  # TensorFlow's note of which one is the latest
            return Progress()
        before = [variable.numpy() for variable in self._variables]
        try:
            progress = self._read()
            print(f"{name}: continues after epoch {progress.epochs}, where it was cut off.")
            return progress
        except Exception as error:  # damaged bytes may raise anything
            for variable, value in zip(self._variables, before, strict=True):
                variable.assign(value)
            reason = str(error) if type(error) is ValueError else f"it is damaged ({type(error).__name__})"
            print(f"{name}: a checkpoint of this training cannot be used: {reason}.")
        if writes:
            number = 1
            while (place := self.folder.with_name(f"{name}.aside-{number}")).exists():
                number += 1
            print(f"{name}: it is set aside as {self.folder.rename(place).name} in data/checkpoints.")
        return Progress()

    def _read(self) -> Progress:
        latest = tf.train.latest_checkpoint(self.folder)
        if latest is None:
            raise ValueError("its files are missing")
        # First what it belongs to: the variables of another model would not even fit.
        tf.train.Checkpoint(record=self._record).restore(latest).assert_existing_objects_matched().expect_partial()
        record = json.loads(self._record.numpy())
        if changed := differences(record["belongs_to"], self._belongs_to):
            raise ValueError(f"it belongs to another training ({', '.join(changed)})")
        self._content().restore(latest).assert_consumed()
        snapshots = self._snapshots.numpy()
        pictures = list(tf.io.parse_tensor(snapshots, tf.uint8).numpy()) if snapshots else []
        return Progress(record["history"], record["seconds"], pictures)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


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
