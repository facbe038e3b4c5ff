"""Autoencoders: two reconstruction losses, and the model that trains an encoder and a decoder together."""

import keras
import numpy as np
from keras import ops

from utils.base import OwnLoss, predict
from utils.checks import check_images, check_logits


def squared_error(targets, reconstructions):
    """Sum over pixels of (x - x̂)², mean over the batch: a scalar, per image.

    Args:
        targets, reconstructions: shape (batch, ...).
    """
    difference = ops.cast(targets, "float32") - ops.cast(reconstructions, "float32")
    return ops.mean(sum_per_image(ops.square(difference)))


def cross_entropy(targets, logits):
    """Sum over pixels of -x log p - (1 - x) log(1 - p), mean over the batch: nats per image.

    With p = sigmoid(l), one pixel contributes softplus(l) - l x. This form cannot overflow, and its gradient with
    respect to l is p - x. The minimum, at p = x, is the entropy of the gray values, which is above zero unless every
    pixel is 0 or 1.

    Args:
        targets: pixels x in [0, 1], shape (batch, ...).
        logits: the decoder's output l, same shape.
    """
    x, logits = ops.cast(targets, "float32"), ops.cast(logits, "float32")
    return ops.mean(sum_per_image(ops.softplus(logits) - logits * x))


def sum_per_image(values):
    """Sum over all axes but the first: (batch, ...) -> (batch,)."""
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


class EncoderDecoder(OwnLoss):
    """What autoencoders and VAEs share: two networks, checks of the data, and metrics of reconstructed images.

    A subclass defines `call`, `compute_loss`, `pixels` and `encode`, and names its constructor's other arguments in
    `options`. Before it is saved or exported it has to be built: it calls itself on a `keras.Input`.

    Args:
        encoder, decoder: Keras models.
        limits: lowest and highest value of a pixel, or None for any finite number.
    """

    networks = ("encoder", "decoder")

    def __init__(self, encoder, decoder, limits, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder, self._limits = encoder, decoder, limits

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics of `compile(metrics=...)` compare the targets with the reconstructed pixels."""
        outputs = y_pred[0] if isinstance(y_pred, tuple | list) else y_pred
        return super().compute_metrics(x, x if y is None else y, self.pixels(outputs), sample_weight)

    def _encoded(self, images):
        check_images(images, self.encoder.input_shape[1:])
        return predict(self.encoder, images)

    def decode(self, z) -> np.ndarray:
        """Images (n, ...) of codes (n, latent_dim)."""
        check_images(z, self.decoder.input_shape[1:], name="codes")
        return ops.convert_to_numpy(self.pixels(predict(self.decoder, z)))

    def reconstruct(self, images) -> np.ndarray:
        """Images (n, ...) decoded from their codes, a VAE's from their z_mean: same shape."""
        codes = self.encode(images)
        return self.decode(codes[0] if isinstance(codes, tuple) else codes)

    def check_data(self, x, y=None):
        """Raises ValueError for arrays that the model cannot be trained on."""
        check_images(x, self.encoder.input_shape[1:], self._limits if y is None else None)
        name = "images" if y is None else "targets"
        check_images(x if y is None else y, self.decoder.output_shape[1:], self._limits, name)


@keras.saving.register_keras_serializable("course")
class Autoencoder(EncoderDecoder):
    """An encoder and a decoder that are trained together to reproduce their input.

    `fit(x)` reproduces x; `fit(x, y)` reconstructs y from x, as a denoising autoencoder does. `call` returns the
    decoder's output, from which the loss is computed; `reconstruct` returns images.

    Args:
        encoder: Keras model, (batch, ...) -> (batch, latent_dim).
        decoder: Keras model, (batch, latent_dim) -> (batch, ...).
        reconstruction_loss: "squared_error" or "cross_entropy" (the functions of this module).
        output: "sigmoid" if the decoder returns logits of pixels, "linear" if it returns the data itself.

    Raises:
        ValueError: the two networks do not fit together, or an argument is unknown.
    """

    own_loss = "choose reconstruction_loss='squared_error' or 'cross_entropy' when you build the Autoencoder."
    options = ("reconstruction_loss",)

    def __init__(self, encoder, decoder, reconstruction_loss="squared_error", output="sigmoid", **kwargs):
        _check_arguments(encoder, decoder, reconstruction_loss, output)
        super().__init__(encoder, decoder, (0, 1) if reconstruction_loss == "cross_entropy" else None, **kwargs)
        self.reconstruction_loss, self.output_activation = reconstruction_loss, output
        self(keras.Input(encoder.input_shape[1:]))  # builds it, so that it can be saved and exported untrained

    def call(self, inputs, training=False):
        z = self.encoder(inputs, training=training)  # (batch, latent_dim)
        return self.decoder(z, training=training)  # (batch, ...)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        _check_unweighted(sample_weight)
        targets = x if y is None else y
        if self.reconstruction_loss == "cross_entropy":
            loss = cross_entropy(targets, y_pred)
        else:
            loss = squared_error(targets, self.pixels(y_pred))
        return loss + self.penalties()

    def pixels(self, outputs):
        """The decoder's outputs as pixels, same shape."""
        return ops.sigmoid(outputs) if self.output_activation == "sigmoid" else outputs

    def encode(self, images) -> np.ndarray:
        """Codes (n, latent_dim) of images (n, ...)."""
        return self._encoded(images)

    def get_config(self):
        return {**super().get_config(), "output": self.output_activation}  # Keras uses the name `output` itself


def _check_arguments(encoder, decoder, reconstruction_loss, output):
    if encoder.output_shape != decoder.input_shape:
        returned, taken = encoder.output_shape, decoder.input_shape
        raise ValueError(f"The encoder returns codes of shape {returned}, the decoder takes {taken}: make them equal.")
    if reconstruction_loss not in ("squared_error", "cross_entropy"):
        raise ValueError(f"reconstruction_loss is {reconstruction_loss!r}: choose 'squared_error' or 'cross_entropy'.")
    if output not in ("sigmoid", "linear"):
        raise ValueError(f"output is {output!r}: choose 'sigmoid' or 'linear'.")
    if (reconstruction_loss, output) == ("cross_entropy", "linear"):
        raise ValueError("Cross-entropy compares probabilities: it needs output='sigmoid'.")
    if output == "sigmoid":
        check_logits(decoder, "decoder")


def _check_unweighted(sample_weight):
    if sample_weight is not None:
        raise ValueError("Every image counts the same in this loss: call fit without sample_weight.")
