"""What runs where: mode, seed and devices of a session. The ground floor of the course."""

import contextlib
import inspect
import os
import platform
import tempfile
import textwrap
from dataclasses import dataclass
from pathlib import Path

from IPython import get_ipython
from IPython.display import Markdown

COURSE = Path(__file__).resolve().parents[2]
INSTALLED = Path(__file__).resolve().with_name("data")  # where pip puts it; in a clone it lies beside utils
DATA = INSTALLED if INSTALLED.is_dir() else COURSE / "data"

STAND_IN = "stand-in digits"

MODES = {
    "standard": "light models train, heavy ones come from data/pretrained",
    "retrain": "everything trains; pretrained files and results are written anew",
    "quick": "a little data and a few steps: proves that the code runs, nothing else",
}


@contextlib.contextmanager
def _native_log_hidden():
    """Keep TensorFlow's C++ log out of the output: in a notebook from now on, elsewhere while TensorFlow starts.

    That log goes straight to file descriptor 2, and TensorFlow 2.20 ignores TF_CPP_MIN_LOG_LEVEL. In a notebook,
    Python's warnings and tracebacks do not pass through this descriptor, so a file can take it over: look there when
    a kernel dies. What child processes write to stderr goes there, too, unless it is piped.
    """
    in_a_notebook = hasattr(get_ipython(), "kernel")
    log = tempfile.mkstemp(".log", "tensorflow-")[0] if in_a_notebook else os.open(os.devnull, os.O_WRONLY)
    saved = os.dup(2)
    os.dup2(log, 2)
    os.close(log)
    try:
        yield
    finally:
        if not in_a_notebook:
            os.dup2(saved, 2)
        os.close(saved)


os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ.setdefault("KERAS_BACKEND", "tensorflow") != "tensorflow":
    raise RuntimeError(
        f"KERAS_BACKEND is {os.environ['KERAS_BACKEND']!r}, but this course runs on TensorFlow: "
        "unset KERAS_BACKEND and start Python anew."
    )
with _native_log_hidden():
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()
tf.get_logger().setLevel("ERROR")  # else every handful of small models brings a warning on retracing


@dataclass
class Session:
    """What the upper floors have to agree on: set by `setup` and by `load_mnist`, read everywhere."""

    mode: str = "standard"
    seed: int = 0
    dataset: str | None = None
    dataset_checksum: str | None = None

    @property
    def comparable(self) -> bool:
        """True if figures of this session may stand beside published ones: not quick, not on the stand-in."""
        return self.mode != "quick" and self.dataset != STAND_IN


session = Session()


def setup(seed: int = 0, mode: str | None = None, deterministic: bool = False) -> None:
    """Start a notebook: seed all generators, prepare the devices, print what was found.

    Args:
        seed: seeds Python, NumPy, TensorFlow and Keras. (In older releases, such as 3.12, `keras.random` called
            without a seed is the exception; layers and models own their `SeedGenerator`.)
        mode: "standard", "retrain" or "quick" (see `MODES`); None reads the environment variable
            COURSE_MODE, and takes "standard" where it is not set.
        deterministic: the same seed gives the same weights to the last bit, in every process on this machine.
            Without it, sums that run in parallel may differ in their last digits. Slower, above all on a GPU.

    Raises:
        ValueError: the mode is unknown.
    """
    source = "mode"
    if mode is None:
        source, mode = "COURSE_MODE", os.environ.get("COURSE_MODE") or "standard"
    if mode not in MODES:
        raise ValueError(f"{source} is {mode!r}: choose one of {', '.join(MODES)}.")
    session.mode, session.seed = mode, seed
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()

    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    for gpu in gpus:
        with contextlib.suppress(RuntimeError):  # already in use: too late to change, and harmless
            tf.config.experimental.set_memory_growth(gpu, True)
    keras.config.set_dtype_policy("float32")  # on every device; half precision is a subject of chapter 11

    devices = ", ".join(device.get("device_name", "GPU") for device in details)
    rows = {
        "Python": platform.python_version(),
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
        "device": f"GPU: {devices}" if gpus else f"CPU, {os.cpu_count()} cores (no GPU found)",
        "precision": keras.config.dtype_policy().name,
        "mode": f"{mode}: {MODES[mode]}",
        "seed": seed,
    }
    for name, value in rows.items():
        print(f"{name:<12}{value}")


def scaled(full, quick):
    """The value `full`, or `quick` in quick mode. For hyperparameters that set how long a cell takes."""
    return quick if session.mode == "quick" else full


def write_atomically(path: Path, payload: bytes) -> None:
    """Write a file whole or not at all: a reader, or the next run, never meets half of it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(payload)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def show_source(obj) -> Markdown:
    """The source of a class or function of the course, highlighted, as the output of a cell."""
    return Markdown(f"```python\n{textwrap.dedent(inspect.getsource(obj))}```")
