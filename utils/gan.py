"""Generative adversarial networks: the losses, the model that plays the game, with and without labels, and its parts.

A discriminator returns logits: positive where it takes its input for real.
"""

import math
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from utils.autoencoders import sum_per_image
from utils.replicas import normal

__all__ = [
    "GAN",
    "LOSSES",
    "AdversarialLoss",
    "ConditionalGAN",
    "MinibatchStandardDeviation",
    "conditional_discriminator",
    "conditional_generator",
    "dcgan_discriminator",
    "dcgan_generator",
    "dense_discriminator",
    "dense_generator",
    "downsampling",
    "hinge",
    "minimax",
    "non_saturating",
    "upsampling",
]


class AdversarialLoss(NamedTuple):
    """Two functions that return scalars, means over the batch; logits have shape (batch, 1)."""

    discriminator: callable  # (real_logits, fake_logits) -> what the discriminator minimises
    generator: callable  # (fake_logits) -> what the generator minimises


def _cross_entropy(real_logits, fake_logits):
    return ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))


minimax = AdversarialLoss(_cross_entropy, lambda fake_logits: -ops.mean(ops.softplus(fake_logits)))
"""-V and V of V = E[log D(x)] + E[log(1 - D(G(z)))], in nats (Goodfellow et al. 2014, equation 1).

With D = sigmoid(logit), -log D is softplus(-logit) and -log(1 - D) is softplus(logit). The generator's part of V is the
second term; its gradient vanishes where the discriminator is sure.
"""

non_saturating = AdversarialLoss(_cross_entropy, lambda fake_logits: ops.mean(ops.softplus(-fake_logits)))
"""As `minimax` for the discriminator; the generator minimises -E[log D(G(z))] (Goodfellow et al. 2014, section 3)."""

hinge = AdversarialLoss(
    lambda real_logits, fake_logits: ops.mean(ops.relu(1 - real_logits)) + ops.mean(ops.relu(1 + fake_logits)),
    lambda fake_logits: -ops.mean(fake_logits),
)
"""Logits beyond ±1 on the right side cost nothing (Lim and Ye 2017; Miyato et al. 2018)."""

LOSSES = {"minimax": minimax, "non_saturating": non_saturating, "hinge": hinge}


@keras.saving.register_keras_serializable("course")
class GAN(keras.Model):
    """A generator and a discriminator that train against each other (Goodfellow et al. 2014).

    `fit(x)` makes one step of both for each batch, from the same generated images: a step of gradient descent in the
    discriminator's loss and one in the generator's. It reports the losses `d_loss` and `g_loss`, and `d_real_accuracy`
    and `d_fake_accuracy`, the shares of real and of generated images that the discriminator takes for what they are.

    Beside the generator stands a copy whose weights are a moving average over the steps; it makes the samples (Yazıcı
    et al. 2019). `call` is this copy: z (batch, latent_dim) -> images.

    Args:
        generator: Keras model, (batch, latent_dim) -> (batch, ...).
        discriminator: Keras model, (batch, ...) -> (batch, 1), logits.
        latent_dim: of z, drawn from N(0, 1).
        averaging: decay of the moving average for each step; less in the first steps.
        gradient_penalty: γ of the penalty R1, ½ γ E[|∇D(x)|²] over real images x, with the logit as D, which keeps the
            discriminator from becoming steep around the data (Mescheder et al. 2018). 0 leaves it away. To save time it
            is measured on a quarter of each batch.
        seed: of the draws in training; None draws one.

    Raises:
        ValueError: the parts do not fit, or an argument is impossible.
    """

    def __init__(
        self, generator, discriminator, latent_dim, averaging=0.999, gradient_penalty=0.0, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        if not 0 <= averaging < 1:
            raise ValueError(f"averaging is {averaging}: choose 0 (no average) or more, but less than 1.")
        if gradient_penalty < 0:
            raise ValueError(f"gradient_penalty is {gradient_penalty}: it weighs a penalty, so it is 0 or more.")
        self.generator, self.discriminator, self.latent_dim = generator, discriminator, latent_dim
        self._check_parts()
        self.averaging, self.gradient_penalty, self.seed = averaging, gradient_penalty, seed
        self.averaged_generator = keras.models.clone_model(generator)
        self.averaged_generator.set_weights(generator.get_weights())
        self.averaged_generator.jit_compile = False  # a few batches of predict do not repay a compilation
        self.seed_generator = keras.random.SeedGenerator(seed)
        names = ("d_loss", "g_loss", "d_real_accuracy", "d_fake_accuracy")
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        self.built = True  # the parts came built

    def _check_parts(self) -> None:
        z_shape, image_shape = self._shape_of_z(), self._shape_of_image()
        if z_shape != (None, self.latent_dim):
            raise ValueError(
                f"The generator takes z of shape {z_shape}, but latent_dim is {self.latent_dim}: make them the same."
            )
        if image_shape != self.generator.output_shape:
            raise ValueError(
                f"The generator returns shape {self.generator.output_shape}, but the discriminator takes "
                f"{image_shape}: make them the same."
            )
        if self.discriminator.output_shape != (None, 1):
            raise ValueError(
                f"The discriminator returns shape {self.discriminator.output_shape}: it has to end in one logit, "
                "(None, 1)."
            )

    def _shape_of_z(self):
        return self.generator.input_shape

    def _shape_of_image(self):
        return self.discriminator.input_shape

    def call(self, inputs, training=False):
        return self.averaged_generator(inputs, training=training)

    def compile(self, generator_optimizer, discriminator_optimizer, loss="non_saturating", **kwargs):
        """Choose the optimizers, one for each part, and the loss: a name in `LOSSES`."""
        if loss not in LOSSES:
            raise ValueError(f"loss is {loss!r}: choose one of {', '.join(LOSSES)}.")
        if generator_optimizer is discriminator_optimizer:
            raise ValueError("Give generator and discriminator an optimizer each: one cannot count two games.")
        if self.dtype_policy.name == "mixed_float16":  # as Keras does for models with one optimizer
            generator_optimizer, discriminator_optimizer = (
                optimizer
                if isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
                else keras.optimizers.LossScaleOptimizer(optimizer)
                for optimizer in (generator_optimizer, discriminator_optimizer)
            )
        # XLA would leave out the check for numbers that are not finite.
        super().compile(optimizer=None, jit_compile=False, **kwargs)
        self.generator_optimizer, self.discriminator_optimizer = generator_optimizer, discriminator_optimizer
        self.adversarial_loss = loss
        generator_optimizer.build(self.generator.trainable_variables)
        discriminator_optimizer.build(self.discriminator.trainable_variables)

    def get_compile_config(self):
        if not self.compiled:
            return None
        optimizers = {
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }
        return {
            **{name: keras.saving.serialize_keras_object(optimizer) for name, optimizer in optimizers.items()},
            "loss": self.adversarial_loss,
        }

    def compile_from_config(self, config):
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})

    @property
    def metrics(self):
        return list(self.trackers.values())

    def _unpack(self, data):
        """The real images of a batch, and what the parts are told besides them: here nothing."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if y is not None or sample_weight is not None:
            raise ValueError("A GAN learns from images alone: fit(x). With labels it is a ConditionalGAN.")
        return x, None

    def _generate(self, part, z, condition, training):
        return part(z, training=training)

    def _discriminate(self, images, condition):
        return self.discriminator(images, training=True)

    def train_step(self, data):
        real, condition = self._unpack(data)
        z = normal((ops.shape(real)[0], self.latent_dim), self.seed_generator)
        loss = LOSSES[self.adversarial_loss]
        with tf.GradientTape(persistent=True) as tape:
            fake = self._generate(self.generator, z, condition, training=True)
            real_logits = ops.cast(self._discriminate(real, condition), "float32")
            fake_logits = ops.cast(self._discriminate(fake, condition), "float32")
            d_loss, g_loss = loss.discriminator(real_logits, fake_logits), loss.generator(fake_logits)
            # Gradients are summed over replicas, and half precision needs its losses scaled.
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            penalty = self._penalty(real, condition) if self.gradient_penalty else 0.0
            d_scaled = self.discriminator_optimizer.scale_loss((d_loss + penalty) / replicas)
            g_scaled = self.generator_optimizer.scale_loss(g_loss / replicas)
        for part, optimizer, scaled in (
            (self.discriminator, self.discriminator_optimizer, d_scaled),
            (self.generator, self.generator_optimizer, g_scaled),
        ):
            optimizer.apply(tape.gradient(scaled, part.trainable_variables), part.trainable_variables)
        self._move_average()
        measured = {
            "d_loss": tf.debugging.check_numerics(d_loss, "d_loss"),
            "g_loss": tf.debugging.check_numerics(g_loss, "g_loss"),
            "d_real_accuracy": ops.mean(ops.cast(real_logits > 0, "float32")),
            "d_fake_accuracy": ops.mean(ops.cast(fake_logits < 0, "float32")),
        }
        for name, value in measured.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _penalty(self, real, condition):
        some = slice(0, -(-ops.shape(real)[0] // 4))
        real, condition = real[some], condition if condition is None else condition[some]
        with tf.GradientTape() as tape:
            tape.watch(real)
            # Of the sum, for an image only moves its own logit (apart from what a layer mixes over the batch).
            total = ops.sum(self._discriminate(real, condition))
        return 0.5 * self.gradient_penalty * ops.mean(sum_per_image(ops.square(tape.gradient(total, real))))

    def _move_average(self) -> None:
        step = ops.cast(self.generator_optimizer.iterations, "float32")
        decay = ops.minimum(self.averaging, step / (step + 10))
        for averaged, weight in zip(self.averaged_generator.weights, self.generator.weights, strict=True):
            if averaged.dtype.startswith("float"):
                averaged.assign(weight + decay * (averaged - weight))

    def fit(self, x=None, *args, callbacks=None, **kwargs):
        """As `keras.Model.fit`. If a loss is no longer finite, training stops with the weights of the last epoch.

        Raises FloatingPointError in this case.
        """
        good = _LastGoodWeights()
        try:
            return super().fit(x, *args, callbacks=[good, *(callbacks or [])], **kwargs)
        except tf.errors.InvalidArgumentError as error:
            if "Tensor had" not in error.message:  # as check_numerics says it
                raise
            self.set_weights(good.weights)
            raise FloatingPointError(
                f"A loss was not finite in epoch {good.epoch + 1}, so training stopped; the weights are those from "
                f"before this epoch. Look for inputs that are not finite, or lower the learning rates."
            ) from None

    def sample(self, count, seed=0) -> np.ndarray:
        """`count` new images (count, ...): z from N(0, 1), by the averaged generator."""
        return self.generate(np.random.default_rng(seed).normal(size=(count, self.latent_dim)).astype(np.float32))

    def generate(self, z) -> np.ndarray:
        """Images (n, ...) of latent vectors (n, latent_dim), by the averaged generator."""
        return self.averaged_generator.predict(z, batch_size=1000, verbose=0)

    def get_config(self):
        parts = {"generator": self.generator, "discriminator": self.discriminator}
        own = ("latent_dim", "averaging", "gradient_penalty", "seed")
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
            **{name: getattr(self, name) for name in own},
        }

    @classmethod
    def from_config(cls, config):
        parts = {name: keras.saving.deserialize_keras_object(config[name]) for name in ("generator", "discriminator")}
        return cls(**{**config, **parts})


class _LastGoodWeights(keras.callbacks.Callback):
    epoch, weights = 0, None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.weights = epoch, self.model.get_weights()


@keras.saving.register_keras_serializable("course")
class ConditionalGAN(GAN):
    """A GAN whose two parts are told the class (Mirza and Osindero 2014): V = E[log D(x|y)] + E[log(1 - D(G(z|y)|y))].

    `fit(x, y)` with labels y, integers (n,). Generated images get the labels of the real ones in the batch.

    Args:
        generator: Keras model of two inputs, z (batch, latent_dim) and labels (batch,), -> (batch, ...).
        discriminator: Keras model of two inputs, images (batch, ...) and labels (batch,), -> (batch, 1), logits.
        num_classes: labels are 0 to num_classes - 1.
        latent_dim, averaging, seed: as for `GAN`.

    Raises:
        ValueError: as for `GAN`; and where labels are missing or outside their range.
    """

    def __init__(self, generator, discriminator, latent_dim, num_classes, **kwargs):
        super().__init__(generator, discriminator, latent_dim, **kwargs)
        self.num_classes = num_classes

    def _check_parts(self) -> None:
        for part, takes in ((self.generator, "z and labels"), (self.discriminator, "images and labels")):
            if len(part.inputs) != 2:
                raise ValueError(f"{part.name} has {len(part.inputs)} inputs: it takes two, {takes}.")
        super()._check_parts()

    def _shape_of_z(self):
        return self.generator.input_shape[0]

    def _shape_of_image(self):
        return self.discriminator.input_shape[0]

    def _unpack(self, data):
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if y is None or sample_weight is not None:
            raise ValueError("A ConditionalGAN needs images and labels, and nothing else: fit(x, y).")
        return x, y

    def _generate(self, part, z, condition, training):
        return part([z, condition], training=training)

    def _discriminate(self, images, condition):
        return self.discriminator([images, condition], training=True)

    def check_data(self, x, y=None) -> None:
        """Raises ValueError for labels that are not classes."""
        if y is not None:
            self._check_labels(y)

    def _check_labels(self, labels) -> np.ndarray:
        labels = np.asarray(labels)
        if not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"Labels are {labels.dtype}: they are classes, so give integers.")
        if labels.size and not 0 <= labels.min() <= labels.max() < self.num_classes:
            raise ValueError(
                f"Labels run from {labels.min()} to {labels.max()}, but there are {self.num_classes} classes, 0 to "
                f"{self.num_classes - 1}."
            )
        return labels

    def fit(self, x=None, y=None, *args, **kwargs):
        self.check_data(x, y)
        return super().fit(x, y, *args, **kwargs)

    def sample(self, labels, seed=0) -> np.ndarray:
        """A new image for each of the labels (n,): z from N(0, 1), by the averaged generator."""
        z = np.random.default_rng(seed).normal(size=(len(labels), self.latent_dim)).astype(np.float32)
        return self.generate(z, labels)

    def generate(self, z, labels) -> np.ndarray:
        """Images (n, ...) of latent vectors (n, latent_dim) and labels (n,), by the averaged generator."""
        return self.averaged_generator.predict([z, self._check_labels(labels)], batch_size=1000, verbose=0)

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}


def dense_generator(latent_dim, hidden=(256, 512), output_shape=(28, 28, 1), output_activation="sigmoid"):
    """Dense layers from z to images: (batch, latent_dim) -> (batch, *output_shape)."""
    stack = [keras.Input((latent_dim,))]
    for units in hidden:
        stack += [layers.Dense(units), layers.LeakyReLU(negative_slope=0.2)]
    stack += [layers.Dense(math.prod(output_shape), output_activation, dtype="float32")]
    return keras.Sequential([*stack, layers.Reshape(output_shape, dtype="float32")], name="generator")


def dense_discriminator(input_shape=(28, 28, 1), hidden=(512, 256), dropout=0.0):
    """Dense layers from images to one logit: (batch, *input_shape) -> (batch, 1)."""
    stack = [keras.Input(input_shape), layers.Flatten()]
    for units in hidden:
        stack += [layers.Dense(units), layers.LeakyReLU(negative_slope=0.2), layers.Dropout(dropout)]
    return keras.Sequential([*stack, layers.Dense(1, dtype="float32")], name="discriminator")


@keras.saving.register_keras_serializable("course")
class MinibatchStandardDeviation(layers.Layer):
    """Appends to each feature vector how much the batch varies: (batch, n) -> (batch, n + 1) (Karras et al. 2018).

    One number for the whole batch, the standard deviation over it, averaged over the features. A generator that
    always makes the same image gives itself away by it.
    """

    def call(self, inputs):
        varies = ops.mean(ops.sqrt(ops.var(inputs, axis=0) + 1e-8))
        return ops.concatenate([inputs, ops.broadcast_to(varies, (ops.shape(inputs)[0], 1))], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] + 1)


def dcgan_generator(latent_dim, hidden=256, filters=(32, 32)):
    """From z to an image of 7 × 7, and with transposed convolutions to 14 × 14 and 28 × 28 (Radford et al. 2016).

    (batch, latent_dim) -> (batch, 28, 28, 1), in [0, 1]. A hidden dense layer comes first.
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
        layers.Conv2DTranspose(1, 6, 2, "same", activation="sigmoid", dtype="float32"),  # (batch, 28, 28, 1)
    ]


def dcgan_discriminator(filters=(16, 32), hidden=128, input_shape=(28, 28, 1)):
    """Convolutions with stride, a dense layer, and how much the batch varies: (batch, *input_shape) -> (batch, 1)."""
    stack = [keras.Input(input_shape), *downsampling(filters, hidden), layers.Dense(1, dtype="float32")]
    return keras.Sequential(stack, name="discriminator")


def downsampling(filters, hidden) -> list:
    """The layers of a discriminator but for its last: (batch, 28, 28, ·) -> (batch, hidden + 1)."""
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
    """As `dcgan_discriminator`, told the label by projection: images and labels (batch,) -> (batch, 1).

    The logit is w · φ(x) + b + e(y) · φ(x) with features φ(x) and a learned vector e(y) for each label (Miyato and
    Koyama 2018, equation 3).
    """
    image, label = keras.Input((28, 28, 1)), keras.Input((), dtype="int32")
    features = image
    for layer in downsampling(filters, hidden):
        features = layer(features)
    judged = layers.Dense(1, dtype="float32")(features)
    told = layers.Dot(axes=1, dtype="float32")([layers.Embedding(num_classes, features.shape[-1])(label), features])
    return keras.Model([image, label], layers.Add(dtype="float32")([judged, told]), name="discriminator")
