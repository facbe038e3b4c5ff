"""Train a model, or load what an earlier run trained: the one way to train in the notebooks."""

import copy
import math
import time

import keras
import numpy as np
import tensorflow as tf
from IPython import get_ipython
from IPython.display import display

from utils.base import optimizers_of
from utils.checks import check_training_data
from utils.course.checkpoints import Checkpoint, Progress, shuffled_epochs
from utils.course.fingerprint import describe
from utils.course.pretrained import Training, figures, load_same, save
from utils.course.pretrained import load_pretrained as load_pretrained
from utils.course.session import session

BATCH_SIZE = 32  # where none is given, as in Keras


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
    model,
    x,
    y=None,
    *,
    epochs,
    name=None,
    batch_size=None,
    validation_data=None,
    callbacks=(),
    snapshot=None,
    starts_from=(),
) -> Training:
    """Train a compiled model, or load its weights from data/pretrained if the same training wrote them.

    With a `name`, standard mode loads NAME.npz if everything that decided it is unchanged (its record NAME.json says
    what that is), and otherwise says what differs and trains; retrain mode trains and writes both files. Without a name
    it always trains. Quick mode trains for one epoch and neither reads nor writes. A training with a name that was cut
    off continues from its last epoch. The generators are seeded before and after, so that what follows does not depend
    on whether the model was loaded.

    Args:
        model: compiled Keras model whose training has not begun.
        x, y, batch_size, epochs, validation_data, callbacks: as for `keras.Model.fit`.
        name: of the pretrained file, such as "01_deep"; None for a light model.
        snapshot: function without arguments that returns images (n, ...) in [0, 1]. It is called after each epoch, and
            the pretrained file keeps what it returned, in bytes.
        starts_from: the `Training`s whose weights this model starts with, where it does not start from random ones.

    Raises:
        ValueError: the data do not fit, the model has been trained already, or a weight overflows in half precision.
        FloatingPointError: a loss or a weight is not finite.
    """
    recipe = recipe_of(model, x, y, epochs, batch_size, validation_data is not None, starts_from)
    training = None
    if name and session.mode == "standard":
        training = load_same(model, name, recipe, with_snapshots=snapshot is not None)
    if training is None:
        resumable = name and session.mode != "quick" and not isinstance(x, tf.data.Dataset)
        checkpoint = Checkpoint(name, model, recipe, snapshot is not None) if resumable else None
        label = name or model.name
        training = train(model, x, y, recipe, validation_data, callbacks, snapshot, checkpoint, label)
        kept = session.mode != "retrain" or not name or save(model, name, training)
        if checkpoint and kept:
            checkpoint.remove()
    keras.utils.set_random_seed(session.seed)
    return training


def recipe_of(model, x, y, epochs, batch_size, validated=False, starts_from=()) -> dict:
    """Everything that decides the outcome of a training, except the seed and the version of the software."""
    if not model.compiled:
        raise ValueError(f"{model.name} has no optimizer: call compile() first.")
    if any(optimizer.built and int(optimizer.iterations) for optimizer in optimizers_of(model)):
        raise ValueError(
            f"{model.name} has been trained already: run the cell that builds it again, so that it starts anew."
        )
    names = ("optimizer", "generator_optimizer", "discriminator_optimizer")
    optimizers = {name: describe(getattr(model, name)) for name in names if getattr(model, name, None) is not None}
    recipe = {
        "network": describe(model),
        "loss": describe(getattr(model, "adversarial_loss", model.loss)),
        **optimizers,
        "epochs": epochs,
        "batch_size": batch_size,
        "examples": _examples(x, y),
        "validation": validated,
    }
    if starts_from:
        recipe["starts_from"] = [training.recipe for training in starts_from]
    return recipe


def _examples(x, y):
    if isinstance(x, tf.data.Dataset):  # too much to read: its first batch stands for it
        return {"batches": int(x.cardinality()), "first": describe(list(keras.tree.flatten(next(iter(x), None))))}
    return describe(x) if y is None else [describe(x), describe(y)]


def train(
    model, x, y, recipe, validation_data=None, callbacks=(), snapshot=None, checkpoint=None, label=""
) -> Training:
    """Train from the checkpoint, or from the start, to the last epoch."""
    keras.utils.set_random_seed(session.seed)
    if not tf.config.list_physical_devices("GPU"):
        model.jit_compile = False  # XLA on a CPU compiles for seconds, and convolutions run slower
    epochs = 1 if session.mode == "quick" else recipe["epochs"]
    # Loading weights leaves the layers' generators as they are, so training has to, too.
    generators = [(state, state.numpy()) for state in model.variables if state.name == "seed_generator_state"]
    if check := getattr(model, "check_data", None):  # all of it, where `fit` looks at the first batch of a stream
        check_training_data(x, y, check)
    progress = checkpoint.resume() if checkpoint else Progress()
    data = {"x": x, "y": y, "batch_size": recipe["batch_size"]}
    if checkpoint or not isinstance(x, np.ndarray):
        data = batches(x, y, recipe["batch_size"], progress.epochs, epochs)
    after_epoch = AfterEpoch(progress, epochs, label, snapshot, checkpoint)
    # Also where no epoch is left: an optimizer may have something to do at the end.
    model.fit(
        **data,
        epochs=epochs,
        initial_epoch=progress.epochs,
        validation_data=validation_data,
        callbacks=[*callbacks, after_epoch],
        verbose=0,
    )
    for state, before in generators:
        state.assign(before)
    snapshots = np.stack(progress.snapshots) if snapshot else None
    return Training(progress.history, progress.seconds, False, recipe, snapshots)


def batches(x, y, batch_size, first, last) -> dict:
    """The data arguments of `fit` for the epochs `first` to `last` - 1 of a training that may have been cut off."""
    if isinstance(x, tf.data.Dataset | keras.utils.PyDataset):
        if isinstance(x, keras.utils.PyDataset):
            x = copy.copy(x)  # the caller's stays at its epoch
            for _ in range(first):
                x.on_epoch_end()
        return {"x": x, "shuffle": False}  # it shuffles by itself, or not at all
    arrays, batch_size = (x,) if y is None else (x, y), batch_size or BATCH_SIZE
    stream = shuffled_epochs(arrays, batch_size, session.seed, first, last)
    steps = steps_of(1, len(x), batch_size)
    return {"x": stream, "steps_per_epoch": steps, "validation_batch_size": batch_size, "shuffle": False}


class AfterEpoch(keras.callbacks.Callback):
    """The last callback of an epoch: keeps its figures and its snapshot, writes the checkpoint, shows how far it is.

    In a notebook one line of output is updated; elsewhere, a line is printed at the end.
    """

    def __init__(self, progress, epochs, label, snapshot=None, checkpoint=None):
        super().__init__()
        self._progress, self._epochs, self._label = progress, epochs, label
        self._snapshot, self._checkpoint = snapshot, checkpoint
        self._line = (
            display({"text/plain": ""}, raw=True, display_id=True) if hasattr(get_ipython(), "kernel") else None
        )

    def on_train_begin(self, logs=None):
        self._start = time.perf_counter() - self._progress.seconds

    def on_epoch_end(self, epoch, logs=None):
        for metric, value in logs.items():
            self._progress.history.setdefault(metric, []).append(float(value))
        if self._snapshot:
            self._progress.snapshots.append(np.rint(255 * self._snapshot()).astype(np.uint8))
        self._progress.seconds = time.perf_counter() - self._start
        if self._checkpoint and not self._checkpoint.save(self._progress):
            self._checkpoint = None
        self._show(f"{self._label}: epoch {epoch + 1} of {self._epochs}, {figures(self._progress.history)}")

    def on_train_end(self, logs=None):
        epochs = f"{self._progress.epochs} epoch{'s' * (self._progress.epochs != 1)}"
        text = (
            f"{self._label}: trained for {epochs} in {self._progress.seconds:.0f} s. {figures(self._progress.history)}"
        )
        self._show(text)
        if self._line is None:
            print(text)

    def _show(self, text):
        if self._line is not None:
            self._line.update({"text/plain": text}, raw=True)
