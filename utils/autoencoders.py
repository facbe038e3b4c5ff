"""Autoencoders: encoders, decoders, and the model that trains both.

Decoders return logits, one for each pixel; the pixel is their sigmoid.
"""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

__all__ = [
    "Autoencoder",
    "EncoderDecoder",
    "convolutional_decoder",
    "convolutional_encoder",
    "cross_entropy",
    "dense_decoder",
    "dense_encoder",
    "squared_error",
    "sum_per_image",
]


def squared_error(targets, reconstructions):
    """Sum over pixels of (x - x̂)², mean over the batch: a scalar, per image.

    Args:
        targets, reconstructions: shape (batch, ...).
    """
    return ops.mean(sum_per_image(ops.square(targets - reconstructions)))


def cross_entropy(targets, logits):
    """Sum over pixels of -x log p - (1 - x) log(1 - p), mean over the batch: nats per image.

    With p = sigmoid(l) a pixel costs softplus(l) - l x. Nothing in it overflows, and its gradient with
    respect to l is p - x. The least value, reached at p = x, is the entropy of the grey values: above
    zero unless all are 0 or 1.

    Args:
        targets: pixels x in [0, 1], shape (batch, ...).
        logits: the decoder's output l, same shape.
    """
    return ops.mean(sum_per_image(ops.softplus(logits) - logits * targets))


def sum_per_image(values):
    """Sum over all axes but the first: (batch, ...) -> (batch,)."""
    return ops.sum(values, axis=tuple(range(1, len(values.shape))))


def dense_encoder(latent_dim, hidden=(512, 256), input_shape=(28, 28, 1), activation="relu"):
    """Dense layers from `input_shape` down to a linear code: (batch, *input_shape) -> (batch, latent_dim)."""
    stack = [keras.Input(input_shape), layers.Flatten()]
    stack += [layers.Dense(units, activation) for units in hidden]
    stack += [layers.Dense(latent_dim, dtype="float32")]
    return keras.Sequential(stack, name="encoder")


def dense_decoder(latent_dim, hidden=(256, 512), output_shape=(28, 28, 1), activation="relu"):
    """Dense layers from a code up to logits: (batch, latent_dim) -> (batch, *output_shape)."""
    stack = [keras.Input((latent_dim,))]
    stack += [layers.Dense(units, activation) for units in hidden]
    stack += [layers.Dense(math.prod(output_shape), dtype="float32"), layers.Reshape(output_shape, dtype="float32")]
    return keras.Sequential(stack, name="decoder")


def convolutional_encoder(latent_dim, filters=(32, 128), activation="silu"):
    """Two strided convolutions and a linear code: (batch, 28, 28, 1) -> (batch, latent_dim)."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(filters[0], 5, 2, "same", activation=activation),  # (batch, 14, 14, ·)
            layers.Conv2D(filters[1], 3, 2, "same", activation=activation),  # (batch, 7, 7, ·)
            layers.Flatten(),
            layers.Dense(latent_dim, dtype="float32"),
        ],
        name="encoder",
    )


def convolutional_decoder(latent_dim, filters=(128, 32), activation="silu"):
    """The encoder turned round, with transposed convolutions: (batch, latent_dim) -> logits (batch, 28, 28, 1)."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(7 * 7 * filters[0], activation),
            layers.Reshape((7, 7, filters[0])),
            # A kernel size that is a multiple of the stride: else some pixels get more ink than their neighbours.
            layers.Conv2DTranspose(filters[1], 4, 2, "same", activation=activation),  # (batch, 14, 14, ·)
            layers.Conv2DTranspose(1, 6, 2, "same", dtype="float32"),  # (batch, 28, 28, 1)
        ],
        name="decoder",
    )


class EncoderDecoder(keras.Model):
    """What autoencoders of every kind have in common: two built parts, the loss in total, and how they are saved."""

    def __init__(self, encoder, decoder, **kwargs):
        super().__init__(**kwargs)
        self.encoder, self.decoder = encoder, decoder
        encoder.jit_compile = decoder.jit_compile = False  # a few batches of predict do not repay a compilation

    def build(self, input_shape):
        self.built = True  # both parts came built

    def _in_total(self, loss):
        """A batch's loss with the penalties of the layers' regularizers, as `compute_loss` has to return it."""
        for penalty in self.losses:
            loss += ops.cast(penalty, "float32")
        return loss / tf.distribute.get_strategy().num_replicas_in_sync  # gradients are summed over replicas

    def get_config(self):
        return {
            **super().get_config(),
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "decoder": keras.saving.serialize_keras_object(self.decoder),
        }

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("encoder", "decoder")}
        return cls(**{**config, **parts})


@keras.saving.register_keras_serializable("course")
class Autoencoder(EncoderDecoder):
    """An encoder and a decoder, trained together to return what was put in.

    `fit(x)` reproduces x; `fit(x, y)` reconstructs y from x (a denoising autoencoder, say). `call` returns
    what the loss needs, the decoder's output; `reconstruct` returns images.

    Args:
        encoder: Keras model, (batch, ...) -> (batch, latent_dim).
        decoder: Keras model, (batch, latent_dim) -> (batch, ...).
        reconstruction_loss: "squared_error" or "cross_entropy" (the functions of this module).
        output: "sigmoid", the decoder returns logits of pixels; or "linear", it returns the data itself.

    Raises:
        ValueError: the two parts do not fit, a name is unknown, or cross-entropy is asked of linear outputs.
    """

    def __init__(self, encoder, decoder, reconstruction_loss="squared_error", output="sigmoid", **kwargs):
        if encoder.output_shape != decoder.input_shape:
            raise ValueError(
                f"The encoder returns codes of shape {encoder.output_shape} but the decoder takes "
                f"{decoder.input_shape}: give both the same latent_dim."
            )
        if reconstruction_loss not in ("squared_error", "cross_entropy"):
            raise ValueError(
                f"reconstruction_loss is {reconstruction_loss!r}: choose 'squared_error' or 'cross_entropy'."
            )
        if output not in ("sigmoid", "linear"):
            raise ValueError(f"output is {output!r}: choose 'sigmoid' or 'linear'.")
        if (reconstruction_loss, output) == ("cross_entropy", "linear"):
            raise ValueError("Cross-entropy compares probabilities: it needs output='sigmoid'.")
        super().__init__(encoder, decoder, **kwargs)
        self.reconstruction_loss, self.output_activation = reconstruction_loss, output
        self.build(encoder.input_shape)

    def call(self, inputs, training=False):
        return self.decoder(self.encoder(inputs, training=training), training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if sample_weight is not None:
            raise ValueError("An Autoencoder counts every image alike: fit it without sample_weight.")
        targets = x if y is None else y
        outputs = ops.cast(y_pred, "float32")  # a decoder may compute in half precision, its loss may not
        if self.reconstruction_loss == "cross_entropy":
            loss = cross_entropy(targets, outputs)
        else:
            loss = squared_error(targets, self._activated(outputs))
        return self._in_total(loss)

    def _activated(self, outputs):
        return ops.sigmoid(outputs) if self.output_activation == "sigmoid" else outputs

    def encode(self, images) -> np.ndarray:
        """Codes (n, latent_dim) of images (n, ...)."""
        return self.encoder.predict(images, batch_size=1000, verbose=0)

    def decode(self, z) -> np.ndarray:
        """Images (n, ...) of codes (n, latent_dim)."""
        outputs = self.decoder.predict(z, batch_size=1000, verbose=0)
        return ops.convert_to_numpy(self._activated(ops.cast(outputs, "float32")))

    def reconstruct(self, images) -> np.ndarray:
        """What comes back of images (n, ...) after a pass through the code: same shape."""
        return self.decode(self.encode(images))

    def get_config(self):
        own = {"reconstruction_loss": self.reconstruction_loss, "output": self.output_activation}
        return {**super().get_config(), **own}
