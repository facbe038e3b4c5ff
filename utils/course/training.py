"""Train a model, or load what an earlier run trained: the one way to train in the notebooks."""

import contextlib
import copy
import hashlib
import io
import json
import math
import platform
import sys
import time
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from IPython import get_ipython
from IPython.display import display

from utils.checkpoints import Checkpoint, Progress, shuffled_epochs
from utils.fingerprint import describe
from utils.gan import GAN
from utils.replicas import copy_state, replicated, writes
from utils.runtime import COURSE, session, write_atomically

__all__ = ["Training", "cosine", "fit_or_load", "load", "steps_of", "study"]

PRETRAINED = COURSE / "data" / "pretrained"
STUDIES = COURSE / "data" / "studies"
CHECKPOINTS = COURSE / "data" / "checkpoints"
BATCH_SIZE = 32  # where none is given, as Keras has it
# What reading a record may raise that is no JSON, or not of the form that it was written in.
DAMAGES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


def cosine(peak: float, steps: int, warmup: int = 300):
    """A learning rate that climbs to `peak` in `warmup` steps, and falls along a cosine until the last of `steps`.

    The slow start keeps the random first gradients from sending the weights far off; the slow end lets
    training come to rest.
    """
    return keras.optimizers.schedules.CosineDecay(
        peak / 10, max(steps - warmup, 1), alpha=0.02, warmup_target=peak, warmup_steps=warmup
    )


def steps_of(epochs: int, count: int, batch_size: int) -> int:
    """How many steps a training over `count` examples takes; the last batch of an epoch may be a partial one."""
    return epochs * math.ceil(count / batch_size)


@dataclass(frozen=True)
class Training:
    """How a model came to its weights."""

    history: dict[str, list[float]]  # metric -> value after each epoch, as Keras's History has it
    seconds: float  # of the training, wherever it took place
    loaded: bool
    snapshots: np.ndarray | None = None  # what `snapshot` returned after each epoch: uint8 (epochs, ...)


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
    strategy=None,
) -> Training:
    """Train a compiled model on x (or on pairs x, y), or load its weights from data/pretrained.

    With a `name`, standard mode loads NAME.npz if its record NAME.json fits this network and these
    hyperparameters, and says why and trains if not; retrain mode trains and writes both files (half-precision
    weights without optimizer state, rounded in the model too, so that figures are those of the file).
    Without a name, as for models that train within a minute, it always trains. Quick mode trains for one
    epoch and neither reads nor writes.

    A training with a name may be cut off at any moment: after each epoch it writes a checkpoint into data/checkpoints,
    and the same call on the same model, newly built, goes on from there and ends with the same weights (to the last bit
    with `setup(deterministic=True)`). A `tf.data.Dataset` cannot be set to an epoch: a training on one starts anew.
    Callbacks start anew, too.

    The generators are seeded before and after, and those of the model's layers set back to where they were, so that
    what follows does not depend on which it was.

    Args:
        model: compiled and built Keras model.
        x, y, batch_size, epochs, validation_data, callbacks: as for `keras.Model.fit`.
        name: of the pretrained file, such as "01_ae30"; None for a light model.
        snapshot: function without arguments that returns images (n, ...) in [0, 1]. It is called after each epoch, and
            the pretrained file keeps what it returned, in bytes.
        strategy: a `tf.distribute.Strategy` to train under, on several devices or workers. The model may come from
            outside of its scope; it gets the weights after each epoch, after the other callbacks. `batch_size` counts
            all replicas together, and is a multiple of their number; the last, partial batch of an epoch is left out.
            Batches of a data set have to divide evenly.

    Raises:
        ValueError: the data do not fit the model or each other, or a weight is too large for half precision.
        FloatingPointError: the loss of a GAN is not finite.
    """
    if not tf.config.list_physical_devices("GPU"):
        model.jit_compile = False  # Keras's default is XLA, which on a CPU compiles for seconds and gains nothing
    if name and session.mode == "standard":
        try:
            training = load(model, name, epochs=epochs, batch_size=batch_size, with_snapshots=snapshot is not None)
            print(f"{name}: loaded, trained for {epochs} epochs in {training.seconds:.0f} s. {_last(training)}")
            keras.utils.set_random_seed(session.seed)
            return training
        except (OSError, ValueError) as error:
            print(f"{name}: {error}. Training it now.")

    keras.utils.set_random_seed(session.seed)
    if session.mode == "quick":
        epochs = 1
    # Loading weights leaves the layers' generators as they are, so training has to.
    generators = [(state, state.numpy()) for state in model.variables if state.name == "seed_generator_state"]
    _check(model, x, y, batch_size, strategy)
    trained = replicated(model, strategy, _some_of(x, y)) if strategy else model
    checkpoint = None
    if name and session.mode != "quick" and not isinstance(x, tf.data.Dataset):
        belongs_to = {
            "recipe": _recipe(model, epochs, batch_size),
            **_circumstances(),
            "code": hashlib.sha256(
                b"".join(path.read_bytes() for path in sorted(COURSE.glob("utils/*.py")))
            ).hexdigest(),
            "examples": _digest(x, y),
            "snapshot": snapshot is not None,
            "validation": validation_data is not None,
        }
        checkpoint = Checkpoint(CHECKPOINTS / name, trained, belongs_to)
    progress = _resumed(checkpoint, name, strategy) if checkpoint else Progress()
    report = _Report() if hasattr(get_ipython(), "kernel") else sys.stdout  # a terminal cannot update outputs
    data = {"x": x, "y": y, "batch_size": batch_size}
    if name or strategy or not isinstance(x, np.ndarray):
        data = _batches(x, y, batch_size, progress.epochs, epochs, strategy)
    after_epoch = _AfterEpoch(progress, snapshot, model, checkpoint if writes(strategy) else None)
    with contextlib.redirect_stdout(report):
        # Also where no epoch is left: an optimizer may have something to do at the end.
        trained.fit(
            **data,
            epochs=epochs,
            initial_epoch=progress.epochs,
            validation_data=validation_data,
            callbacks=[*callbacks, after_epoch],
        )
    if strategy:
        copy_state(trained, model)
    for state, before in generators:
        state.assign(before)
    training = Training(progress.history, progress.seconds, False, np.stack(progress.snapshots) if snapshot else None)
    summary = (
        f"{name or model.name}: trained for {epochs} epoch{'s' * (epochs > 1)} in {training.seconds:.0f} s. "
        f"{_last(training)}"
    )
    print(summary, file=report)
    kept = True
    if name and session.mode == "retrain" and writes(strategy):
        if session.comparable:
            kept = _save(model, name, _recipe(model, epochs, batch_size), training)
        else:
            print(f"{name}: trained on {session.dataset}, so the pretrained file stays as it is.")
    if checkpoint and writes(strategy) and kept:
        checkpoint.remove()
    keras.utils.set_random_seed(session.seed)
    return training


def _check(model, x, y, batch_size, strategy) -> None:
    """Complain about the data before anything is built, read or set aside for them."""
    if check := getattr(model, "check_data", None):
        check(x, y)
    if isinstance(x, tf.data.Dataset | keras.utils.PyDataset):
        return
    if y is not None and len(x) != len(y):
        raise ValueError(f"x has {len(x)} examples and y has {len(y)}: they are pairs, so give as many of both.")
    if not strategy:
        return
    batch_size, replicas = batch_size or BATCH_SIZE, strategy.num_replicas_in_sync
    if batch_size > len(x):
        raise ValueError(f"batch_size is {batch_size}, but there are {len(x)} examples: choose at most so many.")
    if batch_size % replicas:
        raise ValueError(
            f"batch_size is {batch_size}, for {replicas} replicas together: choose a multiple of {replicas}."
        )


def _digest(x, y) -> str:
    """Of all examples; of a `PyDataset`, which draws them anew in every epoch, of its length and its first batch."""
    parts = [len(x), *_some_of(x, y)] if isinstance(x, keras.utils.PyDataset) else [x, y]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(np.ascontiguousarray(part) if part is not None else b"")
    return digest.hexdigest()


def _resumed(checkpoint: Checkpoint, name: str, strategy) -> Progress:
    """The progress of the checkpoint, or none; one that is of no use is set aside."""
    try:
        progress = checkpoint.restore() or Progress()
    except ValueError as error:
        print(f"{name}: a checkpoint of this training is of no use, for {error}.")
        if writes(strategy):
            print(f"{name}: it is set aside as {checkpoint.set_aside().name} in data/checkpoints.")
        return Progress()
    if progress.epochs:
        print(f"{name}: goes on after epoch {progress.epochs}, where it was cut off.")
    return progress


def _some_of(x, y) -> tuple:
    """A batch of the training data."""
    if isinstance(x, tf.data.Dataset | keras.utils.PyDataset):
        batch = x[0] if isinstance(x, keras.utils.PyDataset) else next(iter(x))
        return batch if isinstance(batch, tuple) else (batch,)
    return (x[:1],) if y is None else (x[:1], y[:1])


def _batches(x, y, batch_size, first, last, strategy) -> dict:
    """The data arguments of `fit` for the epochs `first` to `last` - 1 of a training that may have been cut off."""
    if isinstance(x, tf.data.Dataset | keras.utils.PyDataset):
        if isinstance(x, keras.utils.PyDataset):
            x = copy.copy(x)  # the caller's stays at the epoch where it is
            for _ in range(first):
                x.on_epoch_end()
        return {"x": x, "shuffle": False}  # it shuffles by itself, or not at all
    arrays, batch_size = (x,) if y is None else (x, y), batch_size or BATCH_SIZE
    steps = len(x) // batch_size if strategy else steps_of(1, len(x), batch_size)
    stream = shuffled_epochs(arrays, batch_size, session.seed, first, last, whole_batches=bool(strategy))
    return {"x": stream, "steps_per_epoch": steps, "validation_batch_size": batch_size, "shuffle": False}


class _AfterEpoch(keras.callbacks.Callback):
    """The last callback of an epoch: keeps its figures and its snapshot, and writes the checkpoint."""

    def __init__(self, progress, snapshot, original, checkpoint):
        super().__init__()
        self._progress, self._snapshot, self._original, self._checkpoint = progress, snapshot, original, checkpoint

    def on_train_begin(self, logs=None):
        self._start = time.perf_counter() - self._progress.seconds

    def on_epoch_end(self, epoch, logs=None):
        if self.model is not self._original:  # it trains in a copy
            copy_state(self.model, self._original)
        for metric, value in logs.items():
            self._progress.history.setdefault(metric, []).append(float(value))
        if self._snapshot:
            self._progress.snapshots.append(_as_bytes(self._snapshot()))
        self._progress.seconds = time.perf_counter() - self._start
        if self._checkpoint:
            try:
                self._checkpoint.save(self._progress)
            except (OSError, tf.errors.OpError) as error:
                print(f"\nNo checkpoint can be written to data/checkpoints ({type(error).__name__}); training goes on.")
                self._checkpoint = None


class _Report(io.TextIOBase):
    """Where Keras's progress bar goes in a notebook: one output, which shows the latest line and nothing else."""

    def __init__(self):
        self._output = display({"text/plain": ""}, raw=True, display_id=True)
        self._epoch = ""

    def write(self, text: str) -> int:
        for line in text.replace("\b", "").splitlines():
            if line.startswith("Epoch "):
                self._epoch = line + "  "
            elif line.strip():
                bar = self._epoch if "\u2501" in line else ""  # the character that Keras draws its bar with
                self._output.update({"text/plain": bar + line}, raw=True)
        return len(text)


def _as_bytes(images) -> np.ndarray:
    return np.rint(255 * images).astype(np.uint8)


def _last(training: Training) -> str:
    return ", ".join(f"{metric} {values[-1]:.4g}" for metric, values in training.history.items())


def _save(model, name: str, recipe: dict, training: Training) -> bool:
    """Write weights and record, and give the model the rounded weights. True if the files could be written."""
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
        "recipe": recipe,
        "history": training.history,
        "seconds": round(training.seconds, 1),
        **_circumstances(),
        "weights_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
    }
    model.set_weights(arrays)
    try:
        write_atomically(PRETRAINED / f"{name}.npz", buffer.getvalue())
        write_atomically(PRETRAINED / f"{name}.json", (json.dumps(record, indent=1) + "\n").encode())
    except OSError as error:
        print(f"{name}: could not be written to data/pretrained ({error.strerror}); the model in memory is trained.")
        return False
    return True


def load(model, name: str, *, epochs, batch_size, with_snapshots=False) -> Training:
    """Give a compiled model the weights that a training with these hyperparameters has left in data/pretrained.

    With `with_snapshots`, a file without them will not do. Raises ValueError or OSError, which say why that cannot be.
    """
    recipe = _recipe(model, epochs, batch_size)
    if not (PRETRAINED / f"{name}.json").is_file():
        raise ValueError("there is no pretrained file")
    try:
        record = json.loads((PRETRAINED / f"{name}.json").read_bytes())
        payload = (PRETRAINED / f"{name}.npz").read_bytes()
        made, seconds = dict(record["recipe"]), float(record["seconds"])
        history = {metric: [float(value) for value in values] for metric, values in record["history"].items()}
        if not all(history.values()):
            raise ValueError("a metric without a value")
        intact = record["weights_sha256"] == hashlib.sha256(payload).hexdigest()
        remarks = _remarks(name, record)
    except DAMAGES as error:
        raise ValueError(f"its record is damaged ({type(error).__name__}: {error})") from error
    _check_same(made, recipe)
    if not intact:
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
        raise ValueError("the pretrained weights are of other shapes")
    model.set_weights(list(arrays.values()))
    print(remarks, end="")
    return Training(history, seconds, loaded=True, snapshots=snapshots)


def study(name: str, measure, settings: dict) -> dict:
    """What `measure()` returns: run it, or read what an earlier run found in data/studies/NAME.json.

    For experiments of many small trainings of which only the figures are of interest. As for models, standard mode
    reads a file whose settings are the same, and says why and measures if there is none; retrain mode measures
    and writes; quick mode measures. The generators are seeded before and after.

    Args:
        name: of the study, such as "04_few_labels".
        measure: function without arguments; what it returns can be written as JSON.
        settings: all that decides the outcome, also writable as JSON.
    """
    path = STUDIES / f"{name}.json"
    if session.mode == "standard":
        try:
            outcome = _load_study(path, name, settings)
            keras.utils.set_random_seed(session.seed)
            return outcome
        except (OSError, ValueError) as error:
            print(f"{name}: {error}. Measuring it now.")
    keras.utils.set_random_seed(session.seed)
    start = time.perf_counter()
    outcome = json.loads(json.dumps(measure()))  # as a reader of the file gets it
    seconds = time.perf_counter() - start
    print(f"{name}: measured in {seconds:.0f} s.")
    if session.mode == "retrain" and session.comparable:
        record = {"settings": settings, "outcome": outcome, "seconds": round(seconds, 1), **_circumstances()}
        write_atomically(path, (json.dumps(record, indent=1) + "\n").encode())
    keras.utils.set_random_seed(session.seed)
    return outcome


def _load_study(path, name: str, settings: dict) -> dict:
    if not path.is_file():
        raise ValueError("there is no record of this study")
    try:
        record = json.loads(path.read_bytes())
        made, outcome, seconds, remarks = (
            record["settings"],
            record["outcome"],
            record["seconds"],
            _remarks(name, record),
        )
    except DAMAGES as error:
        raise ValueError(f"its record is damaged ({type(error).__name__}: {error})") from error
    _check_same(made, json.loads(json.dumps(settings)))
    print(f"{name}: loaded, measured in {seconds:.0f} s.\n{remarks}", end="")
    return outcome


def _circumstances() -> dict:
    """What a record says of the run that made it."""
    return {
        "seed": session.seed,
        "data": {"source": session.dataset, "sha256": session.dataset_checksum},
        "versions": {"python": platform.python_version(), "tensorflow": tf.__version__, "keras": keras.__version__},
    }


def _remarks(name: str, record: dict) -> str:
    """What a reader has to know where a record was made on other data, or with another seed: lines, or nothing."""
    remarks = ""
    if record["data"]["sha256"] != session.dataset_checksum:
        source, here = record["data"]["source"], session.dataset or "others"
        remarks += f"{name}: it was trained on {source}; here the data are {here}.\n"
    if record["seed"] != session.seed:
        remarks += f"{name}: it was trained with seed {record['seed']}, not {session.seed}.\n"
    return remarks


def _check_same(made: dict, asked: dict) -> None:
    """ValueError names what differs, with both values where these are short."""
    changes = []
    for key in sorted({*made, *asked}):
        there, here = made.get(key), asked.get(key)
        if there != here:
            both = f" {there} there, {here} here"
            changes.append(f"{key}{both if len(both) < 200 else ''}")
    if changes:
        raise ValueError(f"the file was made with another recipe ({', '.join(changes)})")


def _recipe(model, epochs, batch_size) -> dict:
    """What decides, apart from data and seed, which weights a training ends at: the same on every release of Keras."""
    recipe = {"network": describe(model), "epochs": epochs, "batch_size": batch_size}
    if isinstance(model, GAN):
        return recipe | {
            "loss": model.adversarial_loss,
            "generator_optimizer": describe(_inner(model.generator_optimizer)),
            "discriminator_optimizer": describe(_inner(model.discriminator_optimizer)),
        }
    return recipe | {"loss": describe(model.loss), "optimizer": describe(_inner(model.optimizer))}


def _inner(optimizer):
    return getattr(optimizer, "inner_optimizer", optimizer)  # half precision wraps it
