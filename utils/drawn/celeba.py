"""CelebA (Liu et al. 2015) from a reader's disk, behind the interface of the drawn faces."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.faces import SIZE, Faces

__all__ = ["load_celeba"]

CELEBA_CROP = 148  # pixels of the 178 × 218: the customary square, most of it face
CELEBA_URL = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"


def load_celeba(folder: str | Path) -> Faces:
    """CelebA (Liu et al. 2015) as its authors publish it; attributes are 0 or 1. An image is read when it is asked for.

    The middle 148 × 148 pixels of an image (all of its shorter side, where that is less) become 32 × 32. A core reads
    some 1 000 images a second: call `cache()` on a part that is read again.

    Args:
        folder: holds `img_align_celeba/` with the aligned JPEGs, `list_attr_celeba.txt` and
            `list_eval_partition.txt`, whose splits are kept.

    Raises:
        FileNotFoundError: the folder, one of the three in it, or a listed image is missing.
        ValueError: a list is damaged, the two lists disagree, or a split is empty.
        tf.errors.InvalidArgumentError: on iteration, a file that is no JPEG; the message names it.
    """
    folder = Path(folder)
    pictures, by_attribute, by_split = (
        folder / name for name in ("img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt")
    )
    for path, found in (
        (folder, folder.is_dir()),
        (pictures, pictures.is_dir()),
        (by_attribute, by_attribute.is_file()),
        (by_split, by_split.is_file()),
    ):
        if not found:
            raise FileNotFoundError(
                f"There is no {path}: give the folder that holds {pictures.name}/, {by_attribute.name} and "
                f"{by_split.name} of CelebA ({CELEBA_URL})."
            )
    count, *lines = _lines(by_attribute)
    names, lines = tuple("".join(lines[:1]).split()), lines[1:]
    if count.strip() != str(len(lines)):
        raise ValueError(
            f"{by_attribute} has {len(lines)} images from line 3 on, but line 1, which should say so, is "
            f"{count[:60]!r}: get it again from {CELEBA_URL}."
        )
    attributes = _rows(by_attribute, lines, 3, len(names), {"-1": 0, "1": 1})
    splits = _rows(by_split, _lines(by_split), 1, 1, {"0": "train", "1": "validation", "2": "test"})

    on_disk = {path.name for path in pictures.iterdir()}
    for here, listed, there, known, error in (
        (by_attribute, attributes, by_split, splits, ValueError),
        (by_split, splits, by_attribute, attributes, ValueError),
        (by_attribute, attributes, pictures, on_disk, FileNotFoundError),
    ):
        if lacking := [name for name in listed if name not in known]:
            raise error(
                f"{here} lists images that are not in {there}: {len(lacking)}, the first is {lacking[0]}. One of the "
                f"two is not complete, get it again from {CELEBA_URL}."
            )

    def part(split):
        chosen = [name for name, values in splits.items() if values == [split]]
        if not chosen:
            raise ValueError(f"{by_split} has no image for the {split} split: get it again from {CELEBA_URL}.")
        paths = [str(pictures / name) for name in chosen]
        values = np.array([attributes[name] for name in chosen], np.float32)
        pairs = tf.data.Dataset.from_tensor_slices((paths, values))
        return pairs.map(lambda path, values: (_portrait(path), values), num_parallel_calls=tf.data.AUTOTUNE)

    return Faces(names, part("train"), part("validation"), part("test"))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8").rstrip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no text ({error}): get it again from {CELEBA_URL}.") from None
    if not text:
        raise ValueError(f"{path} is empty: get it again from {CELEBA_URL}.")
    return text.splitlines()


def _rows(path: Path, lines: list[str], first: int, columns: int, meaning: dict[str, object]) -> dict[str, list]:
    """File name -> what its `columns` values mean; `first` is the number of the first line."""
    rows = {}
    for number, line in enumerate(lines, first):
        name, *values = line.split() or [""]
        if len(values) != columns or not meaning.keys() >= set(values) or name in rows:
            raise ValueError(
                f"{path}, line {number}: {line[:60]!r} is not a new file name and {columns} values out of "
                f"{', '.join(meaning)}: get the file again from {CELEBA_URL}."
            )
        rows[name] = [meaning[value] for value in values]
    return rows


def _portrait(path: tf.Tensor) -> tf.Tensor:
    """The middle of the JPEG at this path, float32 (32, 32, 3) in [0, 1]."""
    image = tf.py_function(_read_jpeg, [path], tf.uint8)
    image.set_shape([None, None, 3])
    shape = tf.shape(image)[:2]
    crop = tf.minimum(CELEBA_CROP, tf.reduce_min(shape))
    top, left = tf.unstack((shape - crop) // 2)
    square = tf.image.resize(image[top : top + crop, left : left + crop], [SIZE, SIZE], antialias=True)
    return tf.clip_by_value(square / 255, 0, 1)


def _read_jpeg(path: tf.Tensor) -> tf.Tensor:
    # In Python, because the error of TensorFlow's own operation does not say which file it met.
    try:
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    except tf.errors.OpError as error:
        raise ValueError(
            f"{path.numpy().decode()} is no JPEG ({error.message}): get it again from {CELEBA_URL}."
        ) from None
