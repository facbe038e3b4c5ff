"""MNIST from wherever it can be had, and the corruptions and splits that the chapters need.

Images are float32 in [0, 1], shape (n, 28, 28, 1); labels are int32, shape (n,).
"""

import contextlib
import hashlib
import http.client
import io
import os
import struct
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from utils.runtime import COURSE, STAND_IN, scaled, session, write_atomically
from utils.synthetic import draw_digits

__all__ = [
    "Digits",
    "DynamicallyBinarized",
    "NoisyPairs",
    "add_gaussian_noise",
    "add_salt_and_pepper",
    "binarize",
    "drop_pixels",
    "few_labels",
    "flat",
    "load_mnist",
]

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
CACHE = COURSE / "data" / "mnist.npz"
SECONDS_TO_ANSWER = 10
SECONDS_TO_DOWNLOAD = 120

# SHA-256 of the four IDX files of MNIST, 8- and 16-byte headers included: the same whatever file brings the arrays.
CHECKSUMS = {
    "x_train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "y_train": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "x_test": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "y_test": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
SHAPES = {"x_train": (60_000, 28, 28), "y_train": (60_000,), "x_test": (10_000, 28, 28), "y_test": (10_000,)}


@dataclass(frozen=True)
class Digits:
    """A data set of digits, each part a pair (images, labels).

    Training has the first 50 000 images of MNIST's training file, validation its last 10 000, test the
    10 000 of the test file.
    """

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    source: str  # "MNIST", or STAND_IN


def load_mnist() -> Digits:
    """Load MNIST, and say in one line where it came from.

    Looks, in this order, at the file that the environment variable MNIST_PATH names, at data/mnist.npz, at
    the official download (kept in data/ for the next time), and last draws a stand-in
    (`utils.synthetic.draw_digits`), so that the course runs without a network. In quick mode a
    small part of each split is returned.

    Raises:
        FileNotFoundError: MNIST_PATH names a file that does not exist.
        ValueError: the file that MNIST_PATH names is not MNIST; the message says what is wrong with it.
    """
    arrays, source = _find_mnist(), "MNIST"
    if arrays is None:
        for_training, for_test = scaled(60_000, 2_500), scaled(10_000, 500)
        images, labels, _ = draw_digits(for_training + for_test, seed=0)
        arrays = {"x_train": images[:for_training], "y_train": labels[:for_training]}
        arrays |= {"x_test": images[for_training:], "y_test": labels[for_training:]}
        source = STAND_IN
    session.dataset = source
    session.dataset_checksum = hashlib.sha256(
        "".join(_idx_checksum(arrays[name]) for name in CHECKSUMS).encode()
    ).hexdigest()

    def part(split, chosen):
        images = arrays[f"x_{split}"][chosen].astype(np.float32)[..., None] / 255
        return images, arrays[f"y_{split}"][chosen].astype(np.int32)

    digits = Digits(
        train=part("train", slice(scaled(50_000, 2_000))),
        validation=part("train", slice(-scaled(10_000, 500), None)),
        test=part("test", slice(scaled(10_000, 500))),
        source=source,
    )
    sizes = [f"{len(images):,}".replace(",", " ") for images, _ in (digits.train, digits.validation, digits.test)]
    print(f"{source}: {sizes[0]} training, {sizes[1]} validation and {sizes[2]} test images.")
    return digits


def _find_mnist() -> dict[str, np.ndarray] | None:
    """The arrays of real MNIST, or None if they cannot be had; prints where they came from, or why not."""
    if given := os.environ.get("MNIST_PATH"):
        # Notebooks run in their own folder, so a relative path is looked up from the course's folder, too.
        tried = [Path(given).expanduser().absolute(), COURSE / given]
        path = next((path for path in tried if path.is_file()), None)
        if path is None:
            raise FileNotFoundError(
                f"MNIST_PATH is {given!r}, but there is no such file (looked at {tried[0]} and {tried[1]}): correct "
                "the path, or unset MNIST_PATH to let the course look for MNIST itself."
            )
        try:
            arrays = _read_mnist(path.read_bytes())
        except ValueError as error:
            raise ValueError(
                f"MNIST_PATH is {given!r}, but this file is not MNIST: {error}. Point it to Keras's mnist.npz, or "
                "unset it to let the course look for MNIST itself."
            ) from error
        print("Found MNIST in the file that MNIST_PATH names.")
        return arrays
    if CACHE.is_file():
        try:
            arrays = _read_mnist(CACHE.read_bytes())
            print("Found MNIST in data/mnist.npz.")
            return arrays
        except (OSError, ValueError) as error:
            fate = "left where it is"
            with contextlib.suppress(OSError):
                CACHE.replace(CACHE.with_name("mnist.npz.damaged"))
                fate = "set aside as mnist.npz.damaged"
            print(f"data/mnist.npz is damaged ({error}): {fate}, trying the download.")
    try:
        payload = _download()
        arrays = _read_mnist(payload)
    except (OSError, http.client.HTTPException, ValueError) as error:
        print(f"MNIST could not be downloaded ({error}): drawing stand-in digits instead.")
        print("Figures of this run cannot be compared with published ones.")
        return None
    try:
        write_atomically(CACHE, payload)
        kept = "kept it as data/mnist.npz"
    except OSError as error:
        kept = f"could not keep it in data/ ({error.strerror}), so the next run downloads again"
    print(f"Downloaded MNIST and {kept}.")
    return arrays


def _download() -> bytes:
    """The official file. Any way to fail is an OSError or HTTPException, and comes within a bounded time."""
    outcome: list = []
    answered = threading.Event()

    def fetch():
        try:
            with urllib.request.urlopen(MNIST_URL, timeout=SECONDS_TO_ANSWER) as response:
                answered.set()
                outcome.append(response.read())
        except Exception as error:  # handed to the caller's thread
            outcome.append(error)
        answered.set()

    # A socket's timeout holds for each address of a host and each packet; a thread can be waited for as a whole.
    thread = threading.Thread(target=fetch, daemon=True)
    thread.start()
    if answered.wait(SECONDS_TO_ANSWER):
        thread.join(SECONDS_TO_DOWNLOAD)
    if not outcome:
        raise TimeoutError("no answer in time")
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _read_mnist(payload: bytes) -> dict[str, np.ndarray]:
    """The four arrays of an .npz file in Keras's layout; ValueError says what is wrong."""
    try:
        with np.load(io.BytesIO(payload), allow_pickle=False) as file:
            arrays = {name: file[name] for name in CHECKSUMS if name in file.files}
    except Exception as error:  # zip, zlib, header and memory errors: NumPy promises no type for a damaged file
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


def _idx_checksum(array: np.ndarray) -> str:
    """SHA-256 of an array of bytes written as an IDX file, the format MNIST was published in."""
    header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)  # 0x08: unsigned bytes
    return hashlib.sha256(header + array.tobytes()).hexdigest()


def add_gaussian_noise(images: np.ndarray, sigma, seed) -> np.ndarray:
    """clip(x + sigma n, 0, 1) with standard normal n.

    Args:
        images: (n, 28, 28, 1).
        sigma: standard deviation, 0 or more (else ValueError): a number, or (n, 1, 1, 1), one for each image.
        seed: an integer, or several.
    """
    if not np.all(np.asarray(sigma) >= 0):
        raise ValueError(f"sigma is {sigma}: a standard deviation is 0 or more.")
    noise = np.random.default_rng(seed).standard_normal(images.shape, dtype=np.float32)
    return (images + np.asarray(sigma, np.float32) * noise).clip(0, 1)


def drop_pixels(images: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """Masking (dropout) noise: every pixel is set to 0 with probability `rate`, in [0, 1]."""
    _check_rate(rate)
    return images * (np.random.default_rng(seed).random(images.shape, dtype=np.float32) >= rate)


def add_salt_and_pepper(images: np.ndarray, rate: float, seed: int) -> np.ndarray:
    """Every pixel is replaced with probability `rate`, in [0, 1]: half by 0 (pepper), half by 1 (salt)."""
    _check_rate(rate)
    draw = np.random.default_rng(seed).random(images.shape, dtype=np.float32)
    return np.where(draw >= rate, images, (draw < rate / 2).astype(np.float32))


def _check_rate(rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate}: it is a share of the pixels, between 0 and 1.")


class NoisyPairs(keras.utils.PyDataset):
    """Shuffled batches of pairs (noisy, clean) for `fit`, with noise drawn anew in every epoch.

    Args:
        images: the clean ones, (n, 28, 28, 1).
        noise: function (images, seed) -> noisy images of the same shape, such as
            `lambda images, seed: drop_pixels(images, 0.5, seed)`.
        batch_size: the last batch may be smaller.
        seed: two data sets with the same seed give the same batches.
    """

    def __init__(self, images, noise, batch_size, seed, **kwargs):
        super().__init__(**kwargs)
        self.images, self.noise, self.batch_size, self.seed = images, noise, batch_size, seed
        self.epoch = -1
        self.on_epoch_end()

    def on_epoch_end(self):
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, batch):
        clean = self.images[self.order[batch * self.batch_size : (batch + 1) * self.batch_size]]
        return self.noise(clean, seed=(self.seed, self.epoch, batch)), clean


def binarize(images: np.ndarray, seed: int) -> np.ndarray:
    """Static binarization: every pixel becomes 1 with probability equal to its grey value, drawn once.

    Raises ValueError for grey values outside [0, 1].
    """
    _check_grey(images)
    draw = np.random.default_rng(seed).random(images.shape, dtype=np.float32)
    return (draw < images).astype(np.float32)


class DynamicallyBinarized(NoisyPairs):
    """Dynamic binarization (Burda et al. 2016, section 5): shuffled batches for `fit`, drawn anew in every epoch.

    Args:
        images: grey values in [0, 1], (n, 28, 28, 1). Others raise ValueError.
        batch_size: the last batch may be smaller.
        seed: two data sets with the same seed give the same batches.
    """

    def __init__(self, images, batch_size, seed):
        _check_grey(images)
        super().__init__(images, binarize, batch_size, seed)

    def __getitem__(self, batch):
        return super().__getitem__(batch)[0]  # the drawn half of the pair


def _check_grey(images: np.ndarray) -> None:
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(
            f"Grey values run from {images.min():g} to {images.max():g}, but they are used as probabilities: "
            "scale the images into [0, 1] first."
        )


def flat(images: np.ndarray) -> np.ndarray:
    """Images (n, ...) as rows (n, pixels), as scikit-learn takes them."""
    return images.reshape(len(images), -1)


def few_labels(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Indices of `count` labelled images, the same number of each class, in random order.

    Raises ValueError where `count` is not a positive multiple of the number of classes, or a class has too few.
    """
    classes, available = np.unique(labels, return_counts=True)
    each, left_over = divmod(count, len(classes))
    if each < 1 or left_over:
        raise ValueError(f"count is {count}: choose a positive multiple of the {len(classes)} classes.")
    if each > available.min():
        raise ValueError(
            f"{count} labels are {each} of each class, but class {classes[available.argmin()]} has only "
            f"{available.min()}: choose at most {available.min() * len(classes)}."
        )
    random = np.random.default_rng(seed)
    chosen = [random.choice(np.flatnonzero(labels == c), each, replace=False) for c in classes]
    return random.permutation(np.concatenate(chosen))
