"""MNIST from the best source at hand, and the noise, binarization and splits that the chapters need.

Images are float32 in [0, 1], shape (n, 28, 28, 1); labels are int32, shape (n,).
"""

import math
from dataclasses import dataclass

import keras
import numpy as np

from utils.checks import check_images
from utils.course import downloads
from utils.course.session import STAND_IN, scaled, session
from utils.drawn.digits import draw_digits


@dataclass(frozen=True)
class Digits:
    """A data set of digits in three parts, each a pair (images, labels).

    The first 50,000 images of MNIST's training file are for training and its last 10,000 for validation; the
    10,000 images of its test file are for testing.
    """

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    source: str  # "MNIST" or STAND_IN


def load_mnist() -> Digits:
    """Load MNIST and print where it came from.

    The first of these sources that is available is used: the file named by the environment variable MNIST_PATH;
    data/mnist.npz; the official download, which is then kept in data/; and finally digits drawn by
    `utils.drawn.digits`, so that the course also runs without a network. In quick mode each part is smaller.

    Raises:
        FileNotFoundError: MNIST_PATH names a file that does not exist.
        ValueError: the file that MNIST_PATH names is not MNIST; the message says what is wrong with it.
    """
    arrays, source = downloads.find_mnist(), "MNIST"
    if arrays is None:
        for_training, for_test = scaled(60_000, 2_300), scaled(10_000, 300)
        images, labels, _ = draw_digits(for_training + for_test, seed=0)
        arrays = {"x_train": images[:for_training], "y_train": labels[:for_training]}
        arrays |= {"x_test": images[for_training:], "y_test": labels[for_training:]}
        source = STAND_IN
    session.dataset, session.dataset_checksum = source, downloads.checksum(arrays)

    def part(split, chosen):
        images = arrays[f"x_{split}"][chosen].astype(np.float32)[..., None] / 255
        return images, arrays[f"y_{split}"][chosen].astype(np.int32)

    train = part("train", slice(scaled(50_000, 2_000)))
    validation = part("train", slice(-scaled(10_000, 300), None))
    test = part("test", slice(scaled(10_000, 300)))
    sizes = [f"{len(labels):,}" for _, labels in (train, validation, test)]
    print(f"{source}: {sizes[0]} training, {sizes[1]} validation and {sizes[2]} test images.")
    return Digits(train, validation, test, source)


def add_gaussian_noise(images, sigma, seed) -> np.ndarray:
    """Add normal noise to images (n, ...) in [0, 1]: clip(x + sigma n, 0, 1) with standard normal n, float32.

    `sigma` is a number, or an array (n, 1, 1, 1) with one standard deviation per image; `seed` is an integer or a
    sequence of integers. Raises ValueError for pixels outside [0, 1] and for a negative sigma.
    """
    images = _checked(images, limits=(0, 1))
    if not np.all(np.asarray(sigma) >= 0):
        raise ValueError(f"sigma is {sigma}: a standard deviation is 0 or more.")
    noise = np.random.default_rng(seed).standard_normal(images.shape, dtype=np.float32)
    return (images + np.asarray(sigma, np.float32) * noise).clip(0, 1)


def drop_pixels(images, rate, seed) -> np.ndarray:
    """Masking noise: set each pixel of images (n, ...) to 0 with probability `rate`, float32.

    Raises ValueError for a rate outside [0, 1] and for pixels that are not finite.
    """
    images = _checked(images, rate=rate)
    return images * (np.random.default_rng(seed).random(images.shape, dtype=np.float32) >= rate)


def add_salt_and_pepper(images, rate, seed) -> np.ndarray:
    """Replace each pixel of images (n, ...) in [0, 1] with probability `rate`, half of them by 0, half by 1, float32.

    Raises ValueError for a rate or for pixels outside [0, 1].
    """
    images = _checked(images, limits=(0, 1), rate=rate)
    draw = np.random.default_rng(seed).random(images.shape, dtype=np.float32)
    return np.where(draw >= rate, images, (draw < rate / 2).astype(np.float32))


def binarize(images, seed) -> np.ndarray:
    """Static binarization: each pixel becomes 1 with a probability equal to its gray value, drawn once, float32.

    Raises ValueError for gray values outside [0, 1].
    """
    images = _checked(images, limits=(0, 1))
    draw = np.random.default_rng(seed).random(images.shape, dtype=np.float32)
    return (draw < images).astype(np.float32)


def _checked(images, limits=None, rate=0) -> np.ndarray:
    """The images as float32. Raises ValueError as documented above."""
    if not 0 <= rate <= 1:
        raise ValueError(f"rate is {rate}: it is a fraction of the pixels, between 0 and 1.")
    check_images(images, limits=limits)
    return np.asarray(images, np.float32)


class NoisyPairs(keras.utils.PyDataset):
    """Shuffled batches of pairs (noisy, clean) for `fit`, with new noise in every epoch.

    Args:
        images: clean images, (n, ...).
        noise: function (images, seed=..., **parameters) -> noisy images of the same shape, such as `drop_pixels`.
        batch_size: images per batch; the last batch may be smaller.
        seed: integer; data sets with the same seed yield the same batches.
        **parameters: of the noise, such as rate=0.5.

    Raises ValueError for a batch size below 1, and what `noise` raises for these images and parameters.
    """

    def __init__(self, images, noise, batch_size, seed, **parameters):
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: a batch has at least one image.")
        self.images, self.noise, self.parameters = np.asarray(images, np.float32), noise, parameters
        self.batch_size, self.seed, self.epoch = batch_size, seed, -1
        if len(images):  # the images with the lowest and the highest pixel show now whether the noise accepts them all
            extremes = np.unravel_index([self.images.argmin(), self.images.argmax()], self.images.shape)[0]
            noise(self.images[extremes], seed=(seed, 0, 0), **parameters)
        self.on_epoch_end()

    def on_epoch_end(self):
        self.epoch += 1
        self.order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self.images))

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __getitem__(self, batch):
        clean = self.images[self.order[batch * self.batch_size : (batch + 1) * self.batch_size]]
        return self.noise(clean, seed=(self.seed, self.epoch, batch), **self.parameters), clean


class DynamicallyBinarized(NoisyPairs):
    """Dynamic binarization (Burda et al. 2016, section 5): shuffled batches for `fit`, drawn anew in every epoch.

    Args:
        images: gray values in [0, 1], (n, ...); others raise ValueError.
        batch_size: images per batch; the last batch may be smaller.
        seed: integer; data sets with the same seed yield the same batches.
    """

    def __init__(self, images, batch_size, seed):
        super().__init__(images, binarize, batch_size, seed)

    def __getitem__(self, batch):
        return super().__getitem__(batch)[0]  # the binarized half of the pair


def flat(images) -> np.ndarray:
    """Images (n, ...) as rows (n, pixels), the layout of scikit-learn."""
    return np.reshape(images, (len(images), math.prod(np.shape(images)[1:])))


def few_labels(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Choose `count` examples to keep their labels, equally many of each class: their indices (count,), shuffled.

    Raises ValueError if `labels` is not (n,), or if `count` is not a positive multiple of the number of classes or
    exceeds what the rarest class has.
    """
    if np.ndim(labels) != 1 or not len(labels):
        raise ValueError(f"labels have shape {np.shape(labels)}: give the class of each example, (n,), n > 0.")
    classes, available = np.unique(labels, return_counts=True)
    each, left_over = divmod(count, len(classes))
    if each < 1 or left_over:
        raise ValueError(f"count is {count}: choose a positive multiple of the {len(classes)} classes.")
    if each > available.min():
        least, rarest, most = available.min(), classes[available.argmin()], available.min() * len(classes)
        raise ValueError(f"{each} labels per class, but class {rarest} has {least}: choose at most {most}.")
    random = np.random.default_rng(seed)
    chosen = [random.choice(np.flatnonzero(labels == c), each, replace=False) for c in classes]
    return random.permutation(np.concatenate(chosen))
