"""What the models check before they compute, so that their own code is their mathematics."""

import itertools

import keras
import numpy as np
import tensorflow as tf


def check_images(images, shape=None, limits=None, name="images") -> None:
    """Check images before a model or a metric takes them.

    Args:
        images: array or tensor of numbers, (n, ...); n may be 0.
        shape: of one image, where only one will do; None in it stands for any size.
        limits: lowest and highest value that a pixel may have, or None for any finite number.
        name: what the message calls them.

    Raises:
        ValueError: another shape, values that are not finite, or values beyond the limits.
    """
    if not hasattr(images, "shape"):
        raise ValueError(f"{name} are of type {type(images).__name__}: give an array, (n, ...).")
    found = tuple(images.shape)
    if shape is not None:
        fits = len(found) == len(shape) + 1
        if not fits or any(want not in (None, size) for want, size in zip(shape, found[1:], strict=True)):
            wanted = ", ".join(str(size or "any") for size in shape)
            raise ValueError(f"{name} have shape {found}, but (n, {wanted}) is needed.")
    if 0 in found:
        return
    values = np.asarray(images)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} hold values that are not finite (NaN or infinity): remove or replace these images.")
    if limits and not limits[0] <= low <= high <= limits[1]:
        hint = "divide by 255" if limits == (0, 1) and low >= 0 and 1 < high <= 255 else "rescale them"
        raise ValueError(f"{name} have values from {low:g} to {high:g}, but {list(limits)} is needed: {hint}.")


def check_training_data(x, y, check, steps=None, sample_weight=None):
    """Call `check(x, y)` on arrays, or on the first batch of a data set; returns x, with that batch still in it.

    For a `tf.data.Dataset` that reshuffles in each iteration, this is one iteration: the training begins with the next.

    Raises ValueError where there is nothing to train on, where a data set never ends, and for weights of images.
    """
    if sample_weight is not None:  # which Keras would leave out where there is no y
        raise ValueError("Every image counts the same for this model: call fit without sample_weight.")
    if isinstance(x, tf.data.Dataset):
        if x.cardinality() == tf.data.INFINITE_CARDINALITY and steps is None:
            raise ValueError("A data set repeats without an end: give steps_per_epoch=, steps= or validation_steps=.")
        first = next(iter(x), None)
    elif isinstance(x, keras.utils.PyDataset):
        first = x[0] if len(x) else None
    elif hasattr(x, "__next__"):
        first = next(x, None)
        rest = x
        x = (batch for batch in itertools.chain([first], rest))
    else:
        first = (x, y) if x is not None and len(x) else None
        if first and y is not None and len(x) != len(y):
            raise ValueError(f"x has {len(x)} examples and y has {len(y)}: give as many of both.")
    if first is None:
        raise ValueError("There are no images to train on: the selection is empty.")
    check(*keras.utils.unpack_x_y_sample_weight(first)[:2])
    return x


def ends_in(network) -> str | None:
    """The activation that a network ends in, such as "sigmoid"; None where its last layers have none."""
    for layer in reversed(network.layers):
        if isinstance(layer, keras.Model):
            return ends_in(layer)
        if (activation := getattr(layer, "activation", None)) is not None:
            return getattr(activation, "__name__", type(activation).__name__)
        if not isinstance(layer, keras.layers.Reshape | keras.layers.Flatten | keras.layers.Cropping2D):
            return None
    return None


def check_logits(network, name) -> None:
    """Raise ValueError if a network ends in a sigmoid, where the model applies the sigmoid itself."""
    if ends_in(network) == "sigmoid":
        raise ValueError(f"The {name} ends in a sigmoid, which the model applies itself: end it without an activation.")


def check_labels(labels, num_classes, count=None) -> None:
    """Raise ValueError unless labels are integers from 0 to num_classes - 1, (n,), and as many as `count`."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"Labels are {labels.dtype} of shape {labels.shape}: give one integer for each image.")
    if count not in (None, len(labels)):
        raise ValueError(f"There are {len(labels)} labels for {count} images or latent vectors: give as many of both.")
    if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(f"Labels run from {labels.min()} to {labels.max()}, but classes are 0 to {num_classes - 1}.")
