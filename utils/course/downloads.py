"""Where MNIST comes from: a file of the reader's, the cache in data/, or the official download."""

import contextlib
import hashlib
import io
import os
import socket
import struct
import tempfile
from pathlib import Path

import keras
import numpy as np

from utils.course.session import COURSE, DATA, write_atomically

__all__ = ["CACHE", "checksum", "find_mnist"]

CACHE = DATA / "mnist.npz"
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"  # of this file, as in keras.datasets
SECONDS_TO_ANSWER = 10

# SHA-256 of MNIST's four IDX files, headers included. They identify the arrays, whichever file those come from.
CHECKSUMS = {
    "x_train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "y_train": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SHAPES = {"x_train": (60_000, 28, 28), "y_train": (60_000,), "x_test": (10_000, 28, 28), "y_test": (10_000,)}


def find_mnist() -> dict[str, np.ndarray] | None:
    """The arrays of real MNIST, or None if no source has them; prints which source it was, or what went wrong."""
    if given := os.environ.get("MNIST_PATH"):
        return _read_given(given)
    if CACHE.is_file():
        try:
            arrays = _read_mnist(CACHE.read_bytes())
            print("Found MNIST in data/mnist.npz.")
            return arrays
        except (OSError, ValueError) as error:
            fate = "It stays where it is"
            with contextlib.suppress(OSError):
                CACHE.replace(CACHE.with_name("mnist.npz.damaged"))
                fate = "It was renamed to mnist.npz.damaged"
            print(f"data/mnist.npz is damaged ({error}). {fate}, and MNIST is downloaded again.")
    try:
        payload = _download()
        arrays = _read_mnist(payload)
    except Exception as error:  # get_file also raises plain Exception
        reason = " ".join(str(error).split()) or type(error).__name__
        print(
            f"MNIST could not be downloaded ({reason}), so this run uses digits drawn by the course: do not compare "
            "its figures with published ones."
        )
        return None
    try:
        write_atomically(CACHE, payload)
        print("Downloaded MNIST and saved it as data/mnist.npz.")
    except OSError as error:
        print(f"Downloaded MNIST, but could not save it in data/ ({error.strerror}): the next run downloads it again.")
    return arrays


def _read_given(given: str) -> dict[str, np.ndarray]:
    # Notebooks run in their own folder, so a relative path may also start at the course's folder.
    tried = [Path(given).expanduser().absolute(), COURSE / given]
    path = next((path for path in tried if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"MNIST_PATH is {given!r}, but neither {tried[0]} nor {tried[1]} is a file: correct the path, or unset "
            "MNIST_PATH so that the course finds MNIST itself."
        )
    try:
        arrays = _read_mnist(path.read_bytes())
    except ValueError as error:
        raise ValueError(
            f"MNIST_PATH is {given!r}, but this file is not MNIST: {error}. Point MNIST_PATH to Keras's mnist.npz, or "
            "unset it so that the course finds MNIST itself."
        ) from error
    print("Found MNIST in the file that MNIST_PATH names.")
    return arrays


def _download() -> bytes:
    """The official file, after a check of its hash. Waits at most SECONDS_TO_ANSWER each time the server is silent."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_TO_ANSWER)
    try:
        # get_file leaves a damaged or half-written file behind, hence the temporary folder; and it prints a progress
        # bar, which would stay in the notebook.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            path = keras.utils.get_file(
                "mnist.npz", MNIST_URL, file_hash=MNIST_SHA256, cache_dir=folder, cache_subdir=""
            )
            return Path(path).read_bytes()
    finally:
        socket.setdefaulttimeout(before)


def _read_mnist(payload: bytes) -> dict[str, np.ndarray]:
    """The four arrays of an .npz file in Keras's layout; ValueError says what is wrong with it."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            arrays = {name: file[name] for name in CHECKSUMS if name in file.files}
    except Exception as error:  # zip, zlib, header or memory errors: NumPy documents no type for damaged files
        raise ValueError(f"it cannot be read as .npz ({type(error).__name__}: {error})") from error
    for name, expected in CHECKSUMS.items():
        if name not in arrays:
            raise ValueError(f"the array {name} is missing")
        array = arrays[name]
        if array.shape != SHAPES[name] or array.dtype != np.uint8:
            raise ValueError(f"{name} is {array.dtype} {array.shape}, not uint8 {SHAPES[name]}")
        if _idx_checksum(array) != expected:
            raise ValueError(f"the checksum of {name} differs from MNIST's")
    return arrays


def checksum(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 that identifies the content of a data set in MNIST's layout."""
    return hashlib.sha256("".join(_idx_checksum(arrays[name]) for name in CHECKSUMS).encode()).hexdigest()


def _idx_checksum(array: np.ndarray) -> str:
    """SHA-256 of a uint8 array written as an IDX file, the format in which MNIST was published."""
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)  # 0x08: unsigned bytes
    return hashlib.sha256(header + array.tobytes()).hexdigest()
