"""CelebA (Liu et al. 2015) from the reader's disk, in the same form as the drawn faces."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from utils.drawn.faces import SIZE, Faces

CELEBA_CROP = 148  # pixels of the 178 × 218: the customary square, most of which is face
CELEBA_URL = "https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html"
AGAIN = f"download it again from {CELEBA_URL}."


def load_celeba(folder: str | Path) -> Faces:
    """Load CelebA as its authors publish it; the attributes are 0 or 1. Each image is read when it is needed.

    The central 148 × 148 pixels of an image, or the largest central square of a smaller one, are scaled to 64 × 64.
    One core reads about 1,000 images per second, so call `cache()` on a part that is read more than once.

    Args:
        folder: contains `img_align_celeba/` with the aligned JPEG files, `list_attr_celeba.txt` and
            `list_eval_partition.txt`, which assigns the images to the three parts.

    Raises:
        FileNotFoundError: the folder, its contents, or a listed image is missing.
        ValueError: a list is damaged, the two lists disagree, or a part is empty.
        tf.errors.InvalidArgumentError: during iteration, for a file that is not a JPEG image; the message names it.
    """
    folder = Path(folder)
    pictures, attribute_list, split_list = (
        folder / name for name in ("img_align_celeba", "list_attr_celeba.txt", "list_eval_partition.txt")
    )
    for path, found in (
        (folder, folder.is_dir()),
        (pictures, pictures.is_dir()),
        (attribute_list, attribute_list.is_file()),
        (split_list, split_list.is_file()),
    ):
        if not found:
            raise FileNotFoundError(
                f"There is no {path}: give the folder that contains {pictures.name}/, {attribute_list.name} and "
                f"{split_list.name} of CelebA ({CELEBA_URL})."
            )
    count, *lines = _lines(attribute_list)
    names, lines = tuple("".join(lines[:1]).split()), lines[1:]
    if count.strip() != str(len(lines)):
        raise ValueError(f"{attribute_list} lists {len(lines)} images, but its line 1 says {count[:60]!r}: {AGAIN}")
    attributes = _rows(attribute_list, lines, 3, len(names), {"-1": 0, "1": 1})
    splits = _rows(split_list, _lines(split_list), 1, 1, {"0": "train", "1": "validation", "2": "test"})
    on_disk = {path.name for path in pictures.iterdir()}
    for path, listed, other, known, error in (
        (attribute_list, attributes, split_list, splits, ValueError),
        (split_list, splits, attribute_list, attributes, ValueError),
        (attribute_list, attributes, pictures, on_disk, FileNotFoundError),
    ):
        if missing := [name for name in listed if name not in known]:
            raise error(
                f"{path} lists images that are not in {other} ({len(missing)}, starting with {missing[0]}). One of the "
                f"two is incomplete: {AGAIN}"
            )

    def part(split):
        chosen = [name for name, values in splits.items() if values == [split]]
        if not chosen:
            raise ValueError(f"{split_list} has no image for the {split} part: {AGAIN}")
        paths = [str(pictures / name) for name in chosen]
        values = np.array([attributes[name] for name in chosen], np.float32)
        pairs = tf.data.Dataset.from_tensor_slices((paths, values))
        return pairs.map(lambda path, values: (_portrait(path), values), num_parallel_calls=tf.data.AUTOTUNE)

    return Faces(names, part("train"), part("validation"), part("test"))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8").rstrip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file ({error}): {AGAIN}") from None
    if not text:
        raise ValueError(f"{path} is empty: {AGAIN}")
    return text.splitlines()


def _rows(path: Path, lines: list[str], first: int, columns: int, meaning: dict[str, object]) -> dict[str, list]:
    """File name -> meanings of its `columns` values; `first` is the number of the first line."""
    rows = {}
    for number, line in enumerate(lines, first):
        name, *values = line.split() or [""]
        if len(values) != columns or not meaning.keys() >= set(values) or name in rows:
            raise ValueError(
                f"{path}, line {number}: {line[:60]!r} should be a new file name and {columns} values, each one of "
                f"{', '.join(meaning)}: {AGAIN}"
            )
        rows[name] = [meaning[value] for value in values]
    return rows


def _portrait(path: tf.Tensor) -> tf.Tensor:
    """The center of the JPEG file at this path, float32 (64, 64, 3) in [0, 1]."""
    image = tf.py_function(_read_jpeg, [path], tf.uint8)
    image.set_shape([None, None, 3])
    shape = tf.shape(image)[:2]
    crop = tf.minimum(CELEBA_CROP, tf.reduce_min(shape))
    top, left = tf.unstack((shape - crop) // 2)
    square = tf.image.resize(image[top : top + crop, left : left + crop], [SIZE, SIZE], antialias=True)
    return tf.clip_by_value(square / 255, 0, 1)


def _read_jpeg(path: tf.Tensor) -> tf.Tensor:
    # In Python, because TensorFlow's own error message does not name the file.
    try:
        return tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
    except tf.errors.OpError as error:
        raise ValueError(f"{path.numpy().decode()} is not a JPEG image ({error.message}): {AGAIN}") from None
