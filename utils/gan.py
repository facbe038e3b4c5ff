"""Generative adversarial networks: the losses and the model that trains both networks, with and without labels.

A discriminator returns logits: positive for images that it classifies as real.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from utils.autoencoders import sum_per_image
from utils.base import StopAtNonFinite, TwoNetworks, predict
from utils.checks import check_images, check_labels, check_logits, check_training_data, ends_in


class AdversarialLoss(NamedTuple):
    """Two functions that return scalars, means over the batch; logits have shape (batch, 1)."""

    discriminator: Callable  # (real_logits, fake_logits) -> what the discriminator minimizes
    generator: Callable  # (fake_logits) -> what the generator minimizes


def _cross_entropy(real_logits, fake_logits):
    return ops.mean(ops.softplus(-real_logits)) + ops.mean(ops.softplus(fake_logits))


minimax = AdversarialLoss(_cross_entropy, lambda fake_logits: -ops.mean(ops.softplus(fake_logits)))
"""-V and V of V = E[log D(x)] + E[log(1 - D(G(z)))], in nats (Goodfellow et al. 2014, equation 1).

With D = sigmoid(logit), -log D is softplus(-logit) and -log(1 - D) is softplus(logit). The generator minimizes the
second term of V; its gradient vanishes where the discriminator is certain.
"""

non_saturating = AdversarialLoss(_cross_entropy, lambda fake_logits: ops.mean(ops.softplus(-fake_logits)))
"""As `minimax` for the discriminator; the generator minimizes -E[log D(G(z))] (Goodfellow et al. 2014, section 3)."""

hinge = AdversarialLoss(
    lambda real_logits, fake_logits: ops.mean(ops.relu(1 - real_logits)) + ops.mean(ops.relu(1 + fake_logits)),
    lambda fake_logits: -ops.mean(fake_logits),
)
"""Logits beyond ±1 on the correct side contribute nothing (Lim and Ye 2017; Miyato et al. 2018)."""

LOSSES = {"minimax": minimax, "non_saturating": non_saturating, "hinge": hinge}


class Adversaries(TwoNetworks):
    """The Keras habits of a GAN: `compile` with two optimizers, `fit` with its checks, metrics, and saving."""

    networks = ("generator", "discriminator")

    def compile(self, generator_optimizer="adam", discriminator_optimizer="adam", loss="non_saturating", **kwargs):
        """Choose an optimizer for each network, by name or as an object, and the loss, a name in `LOSSES`."""
        _check_compile(self, generator_optimizer, discriminator_optimizer, loss, kwargs)
        super().compile(optimizer=None, **{"jit_compile": False, **kwargs})
        self.generator_optimizer = keras.optimizers.get(generator_optimizer)
        self.discriminator_optimizer = keras.optimizers.get(discriminator_optimizer)
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
        self.adversarial_loss = loss

    def get_compile_config(self):
        if not self.compiled:
            return None
        optimizers = {name: getattr(self, name) for name in ("generator_optimizer", "discriminator_optimizer")}
        serialized = {name: keras.saving.serialize_keras_object(optimizer) for name, optimizer in optimizers.items()}
        return {**serialized, "loss": self.adversarial_loss}

    def compile_from_config(self, config):
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})

    def fit(self, x=None, y=None, *args, callbacks=None, **kwargs):
        """As `keras.Model.fit`; raises ValueError for data that do not fit, FloatingPointError as `StopAtNonFinite`."""
        if kwargs.get("validation_data") is not None or kwargs.get("validation_split"):
            raise ValueError(NO_VALIDATION)
        x = check_training_data(x, y, self.check_data, kwargs.get("steps_per_epoch"), kwargs.get("sample_weight"))
        return super().fit(x, y, *args, callbacks=keras.tree.flatten([StopAtNonFinite(), callbacks or []]), **kwargs)

    def evaluate(self, *args, **kwargs):
        """Raises ValueError: a GAN has no loss that measures its images."""
        raise ValueError(NO_VALIDATION)

    @property
    def metrics(self):
        return list(self.trackers.values())


NO_VALIDATION = "A GAN's losses do not measure its images: compare samples instead (utils.metrics.frechet_distance)."


@keras.saving.register_keras_serializable("course")
class GAN(Adversaries):
    """A generator and a discriminator that are trained against each other (Goodfellow et al. 2014).

    For each batch, `fit(x)` takes one step of each network, computed from the same generated images. It reports the
    losses `d_loss` and `g_loss`, and `d_real_accuracy` and `d_fake_accuracy`, the shares of real and of generated
    images that the discriminator classifies correctly. Samples come from a copy of the generator,
    `averaged_generator`, whose weights are a moving average over the steps (Yazıcı et al. 2019); `call` is this copy.

    Args:
        generator: Keras model, (batch, latent_dim) -> (batch, ...).
        discriminator: Keras model, (batch, ...) -> (batch, 1), logits.
        latent_dim: of z, which is drawn from N(0, 1).
        averaging: decay of the moving average per step; it starts lower. 0 disables the average.
        gradient_penalty: γ of the penalty R1, ½ γ E[|∇D(x)|²] over real images x, with the logit as D (Mescheder et al.
            2018), computed on a quarter of each batch to save time. 0 disables it.
        seed: of the draws in training; None draws one.

    Raises ValueError if the networks do not fit together, or an argument is impossible.
    """

    options = ("latent_dim", "averaging", "gradient_penalty", "seed")

    def __init__(
        self, generator, discriminator, latent_dim, averaging=0.999, gradient_penalty=0.0, seed=None, **kwargs
    ):
        super().__init__(**kwargs)
        self.generator, self.discriminator, self.latent_dim = generator, discriminator, latent_dim
        self.averaging, self.gradient_penalty, self.seed = averaging, gradient_penalty, seed
        _check_arguments(self)
        self.averaged_generator = keras.models.clone_model(generator)
        self.averaged_generator.set_weights(generator.get_weights())
        self.seed_generator = keras.random.SeedGenerator(seed)
        names = ("d_loss", "g_loss", "d_real_accuracy", "d_fake_accuracy")
        self.trackers = {name: keras.metrics.Mean(name) for name in names}
        inputs = generator.inputs
        self(inputs if len(inputs) > 1 else inputs[0])  # builds it, so that it can be saved and exported untrained

    def call(self, inputs, training=False):
        return self.averaged_generator(inputs, training=training)  # z (batch, latent_dim) -> (batch, ...)

    def normal(self, shape):
        """Standard normal numbers of this shape."""
        return keras.random.normal(shape, seed=self.seed_generator)

    def train_step(self, data):
        real, labels = self.unpack(data)  # (batch, ...), and (batch,) or None
        z = self.normal((ops.shape(real)[0], self.latent_dim))
        loss = LOSSES[self.adversarial_loss]
        with tf.GradientTape(persistent=True) as tape:
            fake = self.generate_with(self.generator, z, labels, training=True)  # (batch, ...)
            real_logits = self.discriminate(real, labels)  # (batch, 1)
            fake_logits = self.discriminate(fake, labels)
            d_loss = loss.discriminator(real_logits, fake_logits)
            g_loss = loss.generator(fake_logits)
            d_total = d_loss + self.penalty(real, labels)
        d_weights, g_weights = self.discriminator.trainable_variables, self.generator.trainable_variables
        self.discriminator_optimizer.apply(tape.gradient(d_total, d_weights), d_weights)
        self.generator_optimizer.apply(tape.gradient(g_loss, g_weights), g_weights)
        self.move_average()
        values = d_loss, g_loss, ops.mean(real_logits > 0), ops.mean(fake_logits < 0)
        for tracker, value in zip(self.trackers.values(), values, strict=True):
            tracker.update_state(value, ops.shape(real)[0])  # the last batch may be smaller
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def unpack(self, data):
        """The real images of a batch as float32, and no labels."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        _check_batch(self, y, sample_weight)
        return ops.cast(x, "float32"), y

    def generate_with(self, generator, z, labels, training):
        return generator(z, training=training)

    def discriminate(self, images, labels):
        return ops.cast(self.discriminator(images, training=True), "float32")

    def penalty(self, real, labels):
        """½ γ times the mean squared gradient of the logits with respect to a quarter of the real images."""
        if not self.gradient_penalty:
            return 0.0
        some = slice(0, -(-ops.shape(real)[0] // 4))
        real, labels = real[some], None if labels is None else labels[some]
        with tf.GradientTape() as tape:
            tape.watch(real)
            total = ops.sum(self.discriminate(real, labels))  # an image hardly affects the logits of others
        return 0.5 * self.gradient_penalty * ops.mean(sum_per_image(ops.square(tape.gradient(total, real))))

    def move_average(self):
        step = ops.cast(self.generator_optimizer.iterations, "float32")
        decay = ops.minimum(self.averaging, step / (step + 10))
        for average, weight in zip(self.averaged_generator.weights, self.generator.weights, strict=True):
            if average.dtype.startswith("float"):
                average.assign(weight + decay * (average - weight))

    def sample(self, count, seed=0) -> np.ndarray:
        """`count` generated images (count, ...): z from N(0, 1), by the averaged generator."""
        return self.generate(np.random.default_rng(seed).normal(size=(count, self.latent_dim)).astype(np.float32))

    def generate(self, z) -> np.ndarray:
        """Images (n, ...) of latent vectors (n, latent_dim), by the averaged generator."""
        check_images(z, (self.latent_dim,), name="latent vectors")
        return predict(self.averaged_generator, z)

    def check_data(self, x, y=None):
        """Raises ValueError for images, or labels, that the model cannot be trained on."""
        _check_training_images(self, x)


@keras.saving.register_keras_serializable("course")
class ConditionalGAN(GAN):
    """A GAN whose networks receive the class (Mirza and Osindero 2014): V = E[log D(x|y)] + E[log(1 - D(G(z|y)|y))].

    `fit(x, y)` with labels y, integers (n,). Generated images get the labels of the real ones in the batch.

    Args:
        generator: Keras model of two inputs, z (batch, latent_dim) and labels (batch,), -> (batch, ...).
        discriminator: Keras model of two inputs, images (batch, ...) and labels (batch,), -> (batch, 1), logits.
        num_classes: labels are 0 to num_classes - 1.
        latent_dim, averaging, gradient_penalty, seed: as for `GAN`.

    Raises ValueError as `GAN` does, and for labels that are missing or out of range.
    """

    options = (*GAN.options, "num_classes")

    def __init__(self, generator, discriminator, latent_dim, num_classes, **kwargs):
        self.num_classes = num_classes
        super().__init__(generator, discriminator, latent_dim, **kwargs)

    def generate_with(self, generator, z, labels, training):
        return generator([z, labels], training=training)

    def discriminate(self, images, labels):
        return ops.cast(self.discriminator([images, labels], training=True), "float32")

    def sample(self, labels, seed=0) -> np.ndarray:
        """A generated image for each of the labels (n,): z from N(0, 1), by the averaged generator."""
        z = np.random.default_rng(seed).normal(size=(np.size(labels), self.latent_dim)).astype(np.float32)
        return self.generate(z, labels)

    def generate(self, z, labels) -> np.ndarray:
        """Images (n, ...) of latent vectors (n, latent_dim) and labels (n,), by the averaged generator."""
        check_images(z, (self.latent_dim,), name="latent vectors")
        check_labels(labels, self.num_classes, len(z))
        return predict(self.averaged_generator, [z, np.asarray(labels)])

    def check_data(self, x, y=None):
        _check_training_images(self, x)
        if y is not None:
            check_labels(y, self.num_classes, len(x))


def _check_arguments(gan):
    labels = " and labels" if isinstance(gan, ConditionalGAN) else ""
    for network, takes in ((gan.generator, "z"), (gan.discriminator, "images")):
        if len(network.inputs) != 1 + bool(labels):
            raise ValueError(f"The {network.name} has {len(network.inputs)} inputs, but here it takes {takes}{labels}.")
    z_shape, image_shape = gan.generator.inputs[0].shape, gan.discriminator.inputs[0].shape
    if z_shape != (None, gan.latent_dim):
        raise ValueError(f"The generator takes z of shape {z_shape}, so latent_dim cannot be {gan.latent_dim}.")
    if image_shape != gan.generator.output_shape:
        made = gan.generator.output_shape
        raise ValueError(f"The generator returns shape {made}, the discriminator takes {image_shape}: make them equal.")
    if gan.discriminator.output_shape != (None, 1):
        found = gan.discriminator.output_shape
        raise ValueError(f"The discriminator returns shape {found}: it has to end in one logit, (None, 1).")
    check_logits(gan.discriminator, "discriminator")
    if not 0 <= gan.averaging < 1:
        raise ValueError(f"averaging is {gan.averaging}: choose 0 (no average) or more, but less than 1.")
    if gan.gradient_penalty < 0:
        raise ValueError(f"gradient_penalty is {gan.gradient_penalty}: it weights a penalty, so it is 0 or more.")


def _check_compile(gan, generator_optimizer, discriminator_optimizer, loss, others):
    if loss not in LOSSES:
        raise ValueError(f"loss is {loss!r}: choose one of {', '.join(LOSSES)}.")
    if generator_optimizer is discriminator_optimizer and not isinstance(generator_optimizer, str):
        raise ValueError("An optimizer keeps the state of one network: give the discriminator one of its own.")
    if others.get("metrics") or others.get("weighted_metrics"):
        raise ValueError("A GAN has no targets to compute metrics from: leave metrics= out; fit reports four figures.")
    if gan.dtype_policy.name not in ("float32", "mixed_bfloat16"):
        raise ValueError(f"The dtype policy is {gan.dtype_policy.name}: a GAN needs float32 or mixed_bfloat16.")


def _check_batch(gan, y, sample_weight):
    if sample_weight is not None:
        raise ValueError("Every image counts the same for a GAN: call fit without sample_weight.")
    if isinstance(gan, ConditionalGAN) != (y is not None):
        needs = "needs images and labels: fit(x, y)" if y is None else "takes images only: fit(x)"
        raise ValueError(f"A {type(gan).__name__} {needs}.")


def _check_training_images(gan, images):
    limits = {"sigmoid": (0, 1), "tanh": (-1, 1)}.get(ends_in(gan.generator))  # what the generator can return
    check_images(images, gan.discriminator.inputs[0].shape[1:], limits)
