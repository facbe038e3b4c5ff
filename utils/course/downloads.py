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

CACHE = DATA / "mnist.npz"
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
FILE_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"  # of this file, as in keras.datasets
SECONDS_TO_ANSWER = 10

NAMES = ("x_train", "y_train", "x_test", "y_test")
# Of the arrays, whatever file they come from: see `checksum`.
CONTENT_SHA256 = "c65580678af93f1ea48c2c0d01d543ec89307c6b8a0eb7ca542d7c18c5f4c681"


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
                "mnist.npz", MNIST_URL, file_hash=FILE_SHA256, cache_dir=folder, cache_subdir=""
            )
            return Path(path).read_bytes()
    finally:
        socket.setdefaulttimeout(before)


def _read_mnist(payload: bytes) -> dict[str, np.ndarray]:
    """The four arrays of an .npz file in Keras's layout; ValueError says what is wrong with it."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            arrays = {name: file[name] for name in NAMES}
    except Exception as error:  # zip, zlib, header or memory errors: NumPy documents no type for damaged files
        raise ValueError(f"it cannot be read as .npz ({type(error).__name__}: {error})") from error
    if checksum(arrays) != CONTENT_SHA256:
        shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise ValueError(f"its checksum differs from MNIST's, its arrays are {shapes}")
    return arrays


def checksum(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 that identifies a data set in MNIST's layout, by its arrays as IDX files, as MNIST was published."""
    digests = ""
    for array in (arrays[name] for name in NAMES):
        header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)  # 0x08: unsigned bytes
        digests += hashlib.sha256(header + array.tobytes()).hexdigest()
    return hashlib.sha256(digests.encode()).hexdigest()
