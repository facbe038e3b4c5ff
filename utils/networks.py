"""All encoders, decoders, generators and discriminators of the course, as plain Keras models.

Decoders return logits, one for each pixel; discriminators return one logit for each image; generators return pixels in
[0, 1]. Images have shape (batch, 28, 28, 1) unless a function takes another one.
"""

import math

import keras
from keras import layers, ops


def dense_encoder(latent_dim, hidden=(512, 256), input_shape=(28, 28, 1), activation="relu"):
    """Dense layers from `input_shape` down to a linear code: (batch, *input_shape) -> (batch, latent_dim)."""
    stack = [keras.Input(input_shape), layers.Flatten()]
    stack += [layers.Dense(units, activation) for units in hidden]
    stack += [layers.Dense(latent_dim)]
    return keras.Sequential(stack, name="encoder")


def dense_decoder(latent_dim, hidden=(256, 512), output_shape=(28, 28, 1), activation="relu"):
    """Dense layers from a code up to logits: (batch, latent_dim) -> (batch, *output_shape)."""
    stack = [keras.Input((latent_dim,))]
    stack += [layers.Dense(units, activation) for units in hidden]
    stack += [layers.Dense(math.prod(output_shape)), layers.Reshape(output_shape)]
    return keras.Sequential(stack, name="decoder")


def convolutional_encoder(latent_dim, filters=(32, 128), activation="silu"):
    """Two strided convolutions and a linear code: (batch, 28, 28, 1) -> (batch, latent_dim)."""
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(filters[0], 5, 2, "same", activation=activation),  # (batch, 14, 14, ·)
            layers.Conv2D(filters[1], 3, 2, "same", activation=activation),  # (batch, 7, 7, ·)
            layers.Flatten(),
            layers.Dense(latent_dim),
        ],
        name="encoder",
    )


def convolutional_decoder(latent_dim, filters=(128, 32), activation="silu"):
    """The encoder in reverse, with transposed convolutions: (batch, latent_dim) -> logits (batch, 28, 28, 1)."""
    return keras.Sequential(
        [
            keras.Input((latent_dim,)),
            layers.Dense(7 * 7 * filters[0], activation),
            layers.Reshape((7, 7, filters[0])),
            # The kernel size is a multiple of the stride; otherwise some pixels receive more contributions than others.
            layers.Conv2DTranspose(filters[1], 4, 2, "same", activation=activation),  # (batch, 14, 14, ·)
            layers.Conv2DTranspose(1, 6, 2, "same"),  # (batch, 28, 28, 1)
        ],
        name="decoder",
    )


def dense_generator(latent_dim, hidden=(256, 512), output_shape=(28, 28, 1), output_activation="sigmoid"):
    """Dense layers from z to images: (batch, latent_dim) -> (batch, *output_shape)."""
    stack = [keras.Input((latent_dim,))]
    for units in hidden:
        stack += [layers.Dense(units), layers.LeakyReLU(negative_slope=0.2)]
    stack += [layers.Dense(math.prod(output_shape), output_activation)]
    return keras.Sequential([*stack, layers.Reshape(output_shape)], name="generator")


def dense_discriminator(input_shape=(28, 28, 1), hidden=(512, 256), dropout=0.0):
    """Dense layers from images to one logit: (batch, *input_shape) -> (batch, 1)."""
    stack = [keras.Input(input_shape), layers.Flatten()]
    for units in hidden:
        stack += [layers.Dense(units), layers.LeakyReLU(negative_slope=0.2), layers.Dropout(dropout)]
    return keras.Sequential([*stack, layers.Dense(1)], name="discriminator")


@keras.saving.register_keras_serializable("course")
class MinibatchStandardDeviation(layers.Layer):
    """Appends the spread of the batch to each feature vector: (batch, n) -> (batch, n + 1) (Karras et al. 2018).

    It is one number for the whole batch: the standard deviation over the batch, averaged over the features. It gives
    away a generator that always produces the same image.
    """

    def call(self, inputs):
        varies = ops.mean(ops.sqrt(ops.var(inputs, axis=0) + 1e-8))
        return ops.concatenate([inputs, ops.broadcast_to(varies, (ops.shape(inputs)[0], 1))], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] + 1)


def dcgan_generator(latent_dim, hidden=256, filters=(32, 32)):
    """Dense layers from z to 7 × 7, then transposed convolutions to 14 × 14 and 28 × 28 (Radford et al. 2016).

    (batch, latent_dim) -> (batch, 28, 28, 1), in [0, 1].
    """
    return keras.Sequential([keras.Input((latent_dim,)), *upsampling(hidden, filters)], name="generator")


def upsampling(hidden, filters) -> list:
    """The layers of a generator: (batch, n) -> (batch, 28, 28, 1)."""
    return [
        layers.Dense(hidden, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Dense(7 * 7 * filters[0], use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Reshape((7, 7, filters[0])),  # (batch, 7, 7, ·)
        layers.Conv2DTranspose(filters[1], 4, 2, "same", use_bias=False),  # (batch, 14, 14, ·)
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.Conv2DTranspose(1, 6, 2, "same", activation="sigmoid"),  # (batch, 28, 28, 1)
    ]


def dcgan_discriminator(filters=(16, 32), hidden=128, input_shape=(28, 28, 1)):
    """Strided convolutions, a dense layer and the spread of the batch: (batch, *input_shape) -> (batch, 1)."""
    stack = [keras.Input(input_shape), *downsampling(filters, hidden), layers.Dense(1)]
    return keras.Sequential(stack, name="discriminator")


def downsampling(filters, hidden) -> list:
    """The layers of a discriminator except the last: (batch, 28, 28, ·) -> (batch, hidden + 1)."""
    return [
        layers.Conv2D(filters[0], 4, 2, "same"),  # (batch, 14, 14, ·)
        layers.LeakyReLU(negative_slope=0.2),
        layers.Conv2D(filters[1], 4, 2, "same"),  # (batch, 7, 7, ·)
        layers.LeakyReLU(negative_slope=0.2),
        layers.Flatten(),
        layers.Dense(hidden),
        layers.LeakyReLU(negative_slope=0.2),
        MinibatchStandardDeviation(),
    ]


def conditional_generator(latent_dim, num_classes=10, hidden=256, filters=(32, 32)):
    """As `dcgan_generator`, with the one-hot label beside z: z and labels (batch,) -> (batch, 28, 28, 1)."""
    z, label = keras.Input((latent_dim,)), keras.Input((), dtype="int32")
    image = layers.Concatenate()([z, layers.CategoryEncoding(num_classes, "one_hot")(label)])
    for layer in upsampling(hidden, filters):
        image = layer(image)
    return keras.Model([z, label], image, name="generator")


def conditional_discriminator(num_classes=10, filters=(16, 32), hidden=128):
    """As `dcgan_discriminator`, conditioned by projection: images and labels (batch,) -> (batch, 1).

    The logit is w · φ(x) + b + e(y) · φ(x) with features φ(x) and a learned vector e(y) for each label (Miyato and
    Koyama 2018, equation 3).
    """
    image, label = keras.Input((28, 28, 1)), keras.Input((), dtype="int32")
    features = image
    for layer in downsampling(filters, hidden):
        features = layer(features)
    judged = layers.Dense(1)(features)
    told = layers.Dot(axes=1)([layers.Embedding(num_classes, features.shape[-1])(label), features])
    return keras.Model([image, label], layers.Add(dtype="float32")([judged, told]), name="discriminator")


def velocity_network(dim, num_classes=0, units=384, blocks=4):
    """A residual network for `FlowMatching`: z (batch, dim), t (batch, 1) and labels (batch,) -> (batch, dim).

    What is told, the time and the label, scales the units of each block. Without `num_classes` there are no labels.
    """
    z, t = keras.Input((dim,)), keras.Input((1,))
    inputs, told = [z, t], t
    if num_classes:
        inputs.append(keras.Input((), dtype="int32"))  # num_classes itself stands for "no label"
        told = layers.Concatenate()([t, layers.CategoryEncoding(num_classes + 1, "one_hot")(inputs[-1])])
    told = layers.Dense(64, "silu")(told)
    h = layers.Dense(units)(layers.Concatenate()([z, told]))
    for _ in range(blocks):
        change = layers.Dense(units, "silu")(layers.LayerNormalization()(h))
        change = layers.Multiply()([change, layers.Dense(units)(told)])
        h = layers.Add()([h, layers.Dense(units)(change)])
    return keras.Model(inputs, layers.Dense(dim)(h), name="velocity")
