"""What runs where: mode, seed and devices of a session. The ground floor of the course."""

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
INSTALLED = Path(__file__).resolve().with_name("data")  # where pip puts it
DATA = INSTALLED if INSTALLED.is_dir() else COURSE / "data"

STAND_IN = "stand-in digits"
MODES = {
    "standard": "light models train, heavy ones come from data/pretrained",
    "retrain": "everything trains; pretrained files and results are written anew",
    "quick": "a little data and a few steps: proves that the code runs, nothing else",
}

os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # else the first notebook takes the memory of the whole GPU
# TensorFlow 2.20 ignores TF_CPP_MIN_LOG_LEVEL, which utils/__init__.py sets, and writes its C++ log straight to file
# descriptor 2. In a notebook, a file takes its place for good: look there when a kernel dies. Python's own warnings and
# tracebacks do not pass through the descriptor. Elsewhere it leads nowhere while TensorFlow starts.
_in_a_notebook, _stderr = hasattr(get_ipython(), "kernel"), os.dup(2)
_log = tempfile.mkstemp(".log", "tensorflow-")[0] if _in_a_notebook else os.open(os.devnull, os.O_WRONLY)
os.dup2(_log, 2)
os.close(_log)
try:
    import keras
    import tensorflow as tf

    tf.config.list_physical_devices()
finally:
    if not _in_a_notebook:
        os.dup2(_stderr, 2)
    os.close(_stderr)
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
        seed: of Python, NumPy, TensorFlow and Keras.
        mode: one of `MODES`, otherwise ValueError; None takes that of the environment variable COURSE_MODE, if it is
            set, and otherwise "standard".
        deterministic: the same seed gives the same weights to the last bit on this machine, at the cost of speed.
    """
    mode = mode or os.environ.get("COURSE_MODE") or "standard"
    if mode not in MODES:
        raise ValueError(f"mode is {mode!r}: choose one of {', '.join(MODES)}, in COURSE_MODE or in setup(mode=...).")
    session.mode, session.seed = mode, seed
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32")  # on every device; half precision is a subject of chapter 11
    if deterministic:
        tf.config.experimental.enable_op_determinism()
    details = map(tf.config.experimental.get_device_details, tf.config.list_physical_devices("GPU"))
    gpus = ", ".join(gpu.get("device_name", "GPU") for gpu in details)
    device = f"GPU: {gpus}" if gpus else f"CPU, {os.cpu_count()} cores (no GPU found)"
    versions = {"Python": platform.python_version(), "TensorFlow": tf.__version__, "Keras": keras.__version__}
    found = {"device": device, "precision": keras.config.dtype_policy().name, "mode": f"{mode}: {MODES[mode]}"}
    for name, value in {**versions, **found, "seed": seed}.items():
        print(f"{name:<11} {value}")


def scaled(full, quick):
    """The value `full`, or `quick` in quick mode. For hyperparameters that set how long a cell takes."""
    return quick if session.mode == "quick" else full


def show_source(*objects) -> Markdown:
    """The source of classes and functions of the course, highlighted, as the output of a cell."""
    sources = [textwrap.dedent(inspect.getsource(each)) for each in objects]
    return Markdown("```python\n" + "\n\n".join(sources) + "```")
