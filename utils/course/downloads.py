"""Where MNIST comes from: a file of the reader's, the cache in data/, or the official download."""

import contextlib
import hashlib
import io
import os
import socket
import tempfile
from pathlib import Path

import keras
import numpy as np

from utils.course.records import written
from utils.course.session import COURSE, DATA

CACHE = DATA / "mnist.npz"
MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
FILE_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"  # of this file, as in keras.datasets
SECONDS_TO_ANSWER = 10  # each time the server is silent

NAMES = ("x_train", "y_train", "x_test", "y_test")
# Of the arrays, whatever file they come from: see `checksum`.
CONTENT_SHA256 = "c65580678af93f1ea48c2c0d01d543ec89307c6b8a0eb7ca542d7c18c5f4c681"


def find_mnist() -> dict[str, np.ndarray] | None:
    """The arrays of real MNIST, or None if no source has them; prints which source it was, or what went wrong."""
    if given := os.environ.get("MNIST_PATH"):
        path = Path(given).expanduser()
        # Notebooks run in their own folder, so a relative path may also start at the course's folder.
        path = path if path.is_file() else COURSE / path
        if not path.is_file():
            raise FileNotFoundError(f"MNIST_PATH is {given!r}, which is not a file: correct it, or unset it.")
        arrays = _arrays(path.read_bytes(), f"MNIST_PATH is {given!r}, which")
        print("Found MNIST in the file that MNIST_PATH names.")
        return arrays
    if CACHE.is_file():
        try:
            arrays = _arrays(CACHE.read_bytes(), "data/mnist.npz")
            print("Found MNIST in data/mnist.npz.")
            return arrays
        except (OSError, ValueError) as error:
            print(f"{error}. So MNIST is downloaded again.")
            with contextlib.suppress(OSError):  # in a folder that cannot be written it stays as it is
                CACHE.replace(CACHE.with_name("mnist.npz.damaged"))
                print("The file was renamed to mnist.npz.damaged.")
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS_TO_ANSWER)
    try:
        # A damaged file stays where get_file has put it, and its progress bar would stay in the notebook.
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            file = keras.utils.get_file("mnist.npz", MNIST_URL, file_hash=FILE_SHA256, cache_dir=folder)
            payload = Path(file).read_bytes()
        arrays = _arrays(payload, "the file")
    except Exception as error:  # whatever is wrong with the network, the course goes on
        print(f"MNIST could not be downloaded ({error}), so this run uses digits drawn by the course:")
        print("do not compare its figures with published ones.")
        return None
    finally:
        socket.setdefaulttimeout(before)
    if written(CACHE, payload, "the next run downloads MNIST again"):
        print("Downloaded MNIST and saved it as data/mnist.npz.")
    return arrays


def _arrays(payload: bytes, name: str) -> dict[str, np.ndarray]:
    """The four arrays of an .npz file in Keras's layout; ValueError says what is wrong with it."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            arrays = {key: file[key] for key in NAMES}
    except Exception as error:  # NumPy documents no type for damaged files
        raise ValueError(f"{name} cannot be read as .npz ({type(error).__name__}: {error})") from error
    if checksum(arrays) != CONTENT_SHA256:
        raise ValueError(f"{name} is not MNIST: its checksum differs. Keras's mnist.npz is what the course needs")
    return arrays


def checksum(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 that identifies a data set in MNIST's layout, by its arrays as IDX files, as MNIST was published."""
    digests = ""
    for array in (arrays[name] for name in NAMES):
        header = np.array([0x0800 + array.ndim, *array.shape], ">u4")  # 0x08: unsigned bytes
        digests += hashlib.sha256(header.tobytes() + array.tobytes()).hexdigest()
    return hashlib.sha256(digests.encode()).hexdigest()
