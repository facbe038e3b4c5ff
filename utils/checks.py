"""What the models check before and during a training, so that their own code is their mathematics."""

import itertools

import keras
import numpy as np
import tensorflow as tf

__all__ = [
    "StopAtNonFinite",
    "check_images",
    "check_training_data",
    "ends_in",
    "optimizers_of",
    "predict",
    "state_of",
]


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
        raise ValueError(f"{name} are of type {type(images).__name__}: give an array, (n, height, width, channels).")
    found = tuple(images.shape)
    if shape is not None:
        fits = len(found) == len(shape) + 1
        if not fits or any(want not in (None, size) for want, size in zip(shape, found[1:], strict=True)):
            wanted = ", ".join(str(size or "any") for size in shape)
            raise ValueError(f"{name} have shape {found}, the model takes (n, {wanted}).")
    if 0 in found:
        return
    values = np.asarray(images)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError(f"{name} hold values that are not finite (NaN or infinity): remove or replace these images.")
    if limits and not limits[0] <= low <= high <= limits[1]:
        hint = "divide by 255" if limits == (0, 1) and low >= 0 and 1 < high <= 255 else "rescale them"
        raise ValueError(f"{name} have values from {low:g} to {high:g}, but [{limits[0]}, {limits[1]}] is needed: {hint}.")


def check_training_data(x, y, check):
    """Call `check(x, y)` on arrays, or on the first batch of a data set; returns x, with that batch still in it.

    Raises ValueError where there is nothing to train on, or where a data set never ends.
    """
    if isinstance(x, tf.data.Dataset):
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
            return keras.activations.serialize(activation)
        if not isinstance(layer, keras.layers.Reshape | keras.layers.Flatten | keras.layers.Cropping2D):
            return None
    return None


def predict(network, inputs):
    """Outputs of a network for all inputs, arrays (n, ...) or a list of such; n may be 0."""
    count = len(inputs[0] if isinstance(inputs, list) else inputs)
    if count == 0:
        return np.zeros((0, *network.output_shape[1:]), np.float32)
    return network.predict(inputs, batch_size=1000, verbose=0)


def optimizers_of(model) -> list:
    """The model's optimizers: two for a GAN, otherwise one."""
    names = ("optimizer", "generator_optimizer", "discriminator_optimizer")
    return [optimizer for name in names if (optimizer := getattr(model, name, None)) is not None]


def state_of(model) -> list:
    """The variables that the rest of a training depends on: weights, averages, seeds, and the optimizers' own.

    Metrics are not among them, because they start anew with each epoch. An optimizer without variables gets them.
    """
    for optimizer in optimizers_of(model):
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
    return [*model.variables, *(variable for optimizer in optimizers_of(model) for variable in optimizer.variables)]


class StopAtNonFinite(keras.callbacks.Callback):
    """Stops a training whose loss or weights are no longer finite, and brings back the state before that epoch.

    The state is that of `state_of`: weights and optimizers. Raises FloatingPointError.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.good = epoch, [variable.numpy() for variable in state_of(self.model)]

    def on_train_batch_end(self, batch, logs=None):
        if not np.isfinite(list((logs or {}).values())).all():
            self._stop("A loss")

    def on_epoch_end(self, epoch, logs=None):
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self._stop("A weight")

    def _stop(self, what):
        for variable, value in zip(state_of(self.model), self.good, strict=True):
            variable.assign(value)
        raise FloatingPointError(
            f"{what} was not finite in epoch {self.epoch + 1}, so training stopped. Weights and optimizer are those from "
            "before this epoch. Look for inputs that are not finite, or lower the learning rate."
        )
