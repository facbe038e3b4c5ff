"""Train a model, or load what an earlier run trained: the one way to train in the notebooks."""

import copy
import math
import time

import keras
import numpy as np
import tensorflow as tf
from IPython import get_ipython
from IPython.display import display

from utils.base import optimizers_of, state_of
from utils.checks import check_training_data
from utils.course.checkpoints import Checkpoint
from utils.course.fingerprint import describe
from utils.course.pretrained import Training, figures, load_same, save
from utils.course.pretrained import load_pretrained as load_pretrained
from utils.course.session import scaled, session


def cosine(peak: float, steps: int, warmup: int = 300):
    """A learning rate that rises to `peak` within `warmup` steps, and falls along a cosine until the last of `steps`.

    The slow start keeps the first, random gradients from moving the weights far; the slow end lets training converge.
    """
    return keras.optimizers.schedules.CosineDecay(
        peak / 10, max(steps - warmup, 1), alpha=0.02, warmup_target=peak, warmup_steps=warmup
    )


def steps_of(epochs: int, count: int, batch_size: int) -> int:
    """The number of steps of a training on `count` examples; the last batch of an epoch may be a partial one."""
    return epochs * math.ceil(count / batch_size)


def fit_or_load(
    model, x, y=None, *, epochs, name=None, batch_size=None, validation_data=None, callbacks=(), snapshot=None, after=()
) -> Training:
    """Train a compiled model, or load its weights from data/pretrained if the same training wrote them.

    With a `name`, standard mode loads NAME.npz if everything that decided it is unchanged, and otherwise says what
    differs and trains; retrain mode trains and writes the file. Without a name it always trains. Quick mode trains for
    one epoch and neither reads nor writes. A training with a name that was cut off continues from its last epoch. The
    generators are seeded before and after, so that what follows does not depend on whether the model was loaded.

    Args:
        model: compiled Keras model whose training has not begun.
        x, y, batch_size, epochs, validation_data, callbacks: as for `keras.Model.fit`.
        name: of the pretrained file, such as "01_deep"; None for a light model.
        snapshot: function that returns images (n, ...) in [0, 1], for the pretrained file to keep after each epoch.
        after: the `Training`s whose weights this model starts with, where it does not start from random ones.

    Raises ValueError if the data do not fit, the model has been trained already, or a weight overflows in half
    precision, and FloatingPointError if a loss or a weight is not finite.
    """
    recipe = recipe_of(model, x, y, epochs, batch_size, validation_data is not None, after)
    training = load_same(model, name, recipe, snapshot is not None) if name and session.mode == "standard" else None
    if training is None:
        resumable = name and session.mode != "quick"
        checkpoint = Checkpoint(name, model, recipe, snapshot is not None) if resumable else None
        progress = Progress(name or model.name, scaled(epochs, 1), checkpoint, snapshot)
        training = train(model, x, y, recipe, progress, callbacks, validation_data)
        if (session.mode != "retrain" or not name or save(model, name, training)) and checkpoint:
            checkpoint.remove()
    keras.utils.set_random_seed(session.seed)
    return training


def recipe_of(model, x, y, epochs, batch_size, validated=False, after=()) -> dict:
    """Everything that decides the outcome of a training, except the seed and the version of the software."""
    if not model.compiled:
        raise ValueError(f"{model.name} has no optimizer: call compile() first.")
    if any(optimizer.built and int(optimizer.iterations) for optimizer in optimizers_of(model)):
        raise ValueError(f"{model.name} has been trained already: run the cell that builds it again.")
    names = ("optimizer", "generator_optimizer", "discriminator_optimizer")
    optimizers = {name: describe(getattr(model, name)) for name in names if getattr(model, name, None) is not None}
    if isinstance(x, tf.data.Dataset):
        raise ValueError("A tf.data.Dataset has no description that tells it from another: give arrays or a PyDataset.")
    return {
        "network": describe(model),
        "loss": describe(getattr(model, "adversarial_loss", model.loss)),
        **optimizers,
        "epochs": epochs,
        "batch_size": batch_size,
        "examples": describe(x if y is None else [x, y]),
        "validation": validated,
        **({"starts_from": [training.recipe for training in after]} if after else {}),
    }


def train(model, x, y, recipe, progress, callbacks=(), validation_data=None, whole_batches=False) -> Training:
    """Train from the last epoch of the `progress`, or from the start, to the end."""
    keras.utils.set_random_seed(session.seed)
    state_of(model)  # builds the optimizers: their first step would do it while it is traced, which takes twice as long
    if not tf.config.list_physical_devices("GPU"):
        model.jit_compile = False  # XLA on a CPU compiles for seconds, and convolutions run slower
    if check := getattr(model, "check_data", None):  # all of it, where `fit` looks at the first batch of a stream
        check_training_data(x, y, check)
    # Loading weights leaves the layers' generators as they are, so training has to, too.
    generators = [(state, state.numpy()) for state in model.variables if state.name == "seed_generator_state"]
    if progress.checkpoint:
        progress.history, progress.seconds, progress.snapshots = progress.checkpoint.resume()
    data = {"x": x, "y": y, "batch_size": recipe["batch_size"]}
    if progress.checkpoint or whole_batches or not isinstance(x, np.ndarray):
        data = batches(x, y, recipe["batch_size"], progress.done, progress.epochs, whole_batches)
    data |= {"epochs": progress.epochs, "initial_epoch": progress.done, "validation_data": validation_data}
    # Also where no epoch is left: an optimizer may have something to do at the end.
    model.fit(**data, callbacks=[*callbacks, progress], verbose=0)
    for state, before in generators:
        state.assign(before)
    snapshots = np.stack(progress.snapshots) if progress.snapshots else None
    return Training(progress.history, progress.seconds, False, recipe, snapshots)


def batches(x, y, batch_size, first, last, whole_batches=False) -> dict:
    """The data arguments of `fit` for the epochs `first` to `last` - 1 of a training that may have been cut off.

    The order of an array depends on the seed and the epoch alone. With `whole_batches`, a smaller last one is left out.
    """
    if isinstance(x, keras.utils.PyDataset):
        x = copy.copy(x)  # the caller's stays at its epoch
        for _ in range(first):
            x.on_epoch_end()
        return {"x": x, "shuffle": False}  # it shuffles by itself, or not at all
    count, batch_size, last = len(x), batch_size or 32, max(last, first + 1)  # `fit` looks at one batch in any case
    with tf.device("CPU"):
        arrays = [np.asarray(array) for array in (x, y) if array is not None]
        tensors = [tf.constant(a, keras.config.floatx() if a.dtype.kind == "f" else None) for a in arrays]

    def order(epoch):
        seed = tf.stack([session.seed, epoch])
        rows = tf.random.experimental.stateless_shuffle(tf.range(count, dtype=tf.int64), seed)
        return tf.data.Dataset.from_tensor_slices(rows).batch(batch_size, whole_batches)

    def batch(rows):
        gathered = tuple(tf.gather(tensor, rows) for tensor in tensors)
        return gathered[0] if y is None else gathered  # several workers cannot average tuples

    stream = tf.data.Dataset.range(first, last).flat_map(order).map(batch, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
    steps = count // batch_size if whole_batches else steps_of(1, count, batch_size)
    return {"x": stream, "steps_per_epoch": steps, "validation_batch_size": batch_size, "shuffle": False}


class Progress(keras.callbacks.Callback):
    """How far a training has come: in the checkpoint, in a line of the notebook, and elsewhere in a line at the end."""

    def __init__(self, label, epochs, checkpoint=None, snapshot=None):
        super().__init__()
        self.label, self.epochs, self.checkpoint, self.snapshot = label, epochs, checkpoint, snapshot
        self.history, self.seconds, self.snapshots = {}, 0.0, []
        self.line = hasattr(get_ipython(), "kernel") and display({"text/plain": ""}, raw=True, display_id=True)

    @property
    def done(self) -> int:
        return len(next(iter(self.history.values()), ()))

    def on_train_begin(self, logs=None):
        self.start = time.perf_counter() - self.seconds

    def on_epoch_end(self, epoch, logs=None):
        for metric, value in logs.items():
            self.history.setdefault(metric, []).append(float(value))
        if self.snapshot:
            self.snapshots.append(np.rint(255 * np.clip(self.snapshot(), 0, 1)).astype(np.uint8))
        self.seconds = time.perf_counter() - self.start
        if self.checkpoint and not self.checkpoint.save(self.history, self.seconds, self.snapshots):
            self.checkpoint = None
        self.show(f"epoch {self.done} of {self.epochs}, {figures(self.history)}")

    def on_train_end(self, logs=None):
        epochs = f"{self.done} epoch{'s' * (self.done != 1)}"
        self.show(f"trained for {epochs} in {self.seconds:.0f} s. {figures(self.history)}", last=True)

    def show(self, text, last=False):
        if self.line:
            self.line.update({"text/plain": f"{self.label}: {text}"}, raw=True)
        elif last:
            print(f"{self.label}: {text}")
