"""Variational autoencoders: the terms of the loss, sampling, the model, and an estimate of its likelihood."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from utils.autoencoders import EncoderDecoder, sum_per_image
from utils.checks import check_logits

LOG_VAR_LIMIT = 12.0  # standard deviations between e^-6 and e^6, so that no exponential overflows


def kl_divergence(z_mean, z_log_var):
    """KL divergence of N(z_mean, exp(z_log_var)) from N(0, 1): summed over latents, averaged over the batch, in nats.

    Σ_j -½ (1 + log σ_j² - μ_j² - σ_j²), a scalar that is never negative, and 0 for μ = 0 and σ = 1 (Kingma and
    Welling 2014, appendix B).

    Args:
        z_mean, z_log_var: μ and log σ² of each latent, shape (batch, latent_dim).
    """
    return ops.mean(ops.sum(-0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var)), axis=-1))


def bernoulli_log_likelihood(x, logits):
    """log p(x|z) of Bernoulli pixels with p = sigmoid(logit): Σ x log p + (1 - x) log(1 - p), shape (batch,), in nats.

    The same formula is used for gray pixels x in [0, 1], for which it is not the logarithm of a probability.
    """
    x, logits = ops.cast(x, "float32"), ops.cast(logits, "float32")
    return sum_per_image(logits * x - ops.softplus(logits))


def gaussian_log_likelihood(x, means, std):
    """log p(x|z) where each pixel is normal around its mean: -Σ ((x - mean)² / 2 std² + ½ log 2π std²), (batch,) nats.

    It is the logarithm of a density, so it may be positive.
    """
    difference = ops.cast(x, "float32") - ops.cast(means, "float32")
    return -sum_per_image(ops.square(difference) / (2 * std**2) + 0.5 * np.log(2 * np.pi * std**2))


@keras.saving.register_keras_serializable("course")
class Sampling(layers.Layer):
    """The reparameterization trick: z = μ + σ ⊙ ε with ε from N(0, 1) (Kingma and Welling 2014, section 2.4).

    Takes (z_mean, z_log_var) and returns z, all of shape (batch, latent_dim). The gradient passes through μ and σ; the
    noise comes from a generator that the layer owns.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        epsilon = self.normal(ops.shape(z_mean))
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon

    def normal(self, shape):
        """Standard normal numbers of this shape."""
        return keras.random.normal(shape, seed=self.seed_generator)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("course")
class VAE(EncoderDecoder):
    """A variational autoencoder (Kingma and Welling 2014): `fit(x)` minimizes reconstruction_loss + beta · kl_loss.

    Both terms are in nats per image: summed over pixels or latents, averaged over the batch. `call` returns what the
    loss needs: the decoder's output for a sampled z, z_mean and z_log_var.

    Args:
        encoder: Keras model, (batch, ...) -> (batch, 2 · latent_dim): first the means, then the logarithms of the
            variances, which are clipped to ±12.
        decoder: Keras model, (batch, latent_dim) -> (batch, ...): logits of the pixels for a Bernoulli likelihood,
            their means for a Gaussian one.
        beta: weight of the KL divergence; 1 makes the loss the negative ELBO, 0 disables the term.
        likelihood: "bernoulli", for pixels in [0, 1], or "gaussian".
        pixel_std: standard deviation of a pixel around its mean, for the Gaussian likelihood.
        warm_up_steps: number of training steps over which the weight of the KL divergence grows linearly to beta.
        seed: of the sampling; None draws one.

    Raises ValueError if the networks do not fit together, or an argument is impossible.
    """

    own_loss = "choose likelihood='bernoulli' or 'gaussian' when you build the VAE."
    options = ("beta", "likelihood", "pixel_std", "warm_up_steps", "seed")

    def __init__(
        self, encoder, decoder, beta=1.0, likelihood="bernoulli", pixel_std=1.0, warm_up_steps=0, seed=None, **kwargs
    ):
        _check_arguments(encoder, decoder, beta, likelihood, pixel_std, warm_up_steps)
        super().__init__(encoder, decoder, (0, 1) if likelihood == "bernoulli" else None, **kwargs)
        self.beta, self.likelihood, self.pixel_std = beta, likelihood, pixel_std
        self.warm_up_steps, self.seed, self.latent_dim = warm_up_steps, seed, decoder.input_shape[-1]
        self.sampling = Sampling(seed, dtype="float32")
        self.reconstruction_tracker = keras.metrics.Mean("reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean("kl_loss")
        self(keras.Input(encoder.input_shape[1:]))  # builds it, so that it can be saved and exported untrained

    def call(self, inputs, training=False):
        z_mean, z_log_var = self.moments(self.encoder(inputs, training=training))  # (batch, latent_dim) each
        z = self.sampling((z_mean, z_log_var))  # (batch, latent_dim)
        return self.decoder(z, training=training), z_mean, z_log_var

    def moments(self, encoded):
        """z_mean and z_log_var of what the encoder returns."""
        z_mean, z_log_var = ops.split(ops.cast(encoded, "float32"), 2, axis=-1)
        return z_mean, ops.clip(z_log_var, -LOG_VAR_LIMIT, LOG_VAR_LIMIT)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        _check_images_only(y, sample_weight)
        outputs, z_mean, z_log_var = y_pred
        reconstruction_loss = -ops.mean(self.log_likelihood(x, outputs))
        kl_loss = kl_divergence(z_mean, z_log_var)
        self.reconstruction_tracker.update_state(reconstruction_loss, ops.shape(x)[0])  # the last batch may be smaller
        self.kl_tracker.update_state(kl_loss, ops.shape(x)[0])
        warmed_up = 1.0
        if training and self.warm_up_steps:
            warmed_up = ops.minimum(1.0, ops.cast(self.optimizer.iterations, "float32") / self.warm_up_steps)
        return reconstruction_loss + self.beta * warmed_up * kl_loss + self.penalties()

    def log_likelihood(self, x, outputs):
        """log p(x|z), (batch,) nats, of images x and what the decoder returns for z."""
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(x, outputs)
        return gaussian_log_likelihood(x, outputs, self.pixel_std)

    def pixels(self, outputs):
        """The means of the pixels, same shape as the decoder's outputs."""
        return ops.sigmoid(outputs) if self.likelihood == "bernoulli" else outputs

    def encode(self, images) -> tuple[np.ndarray, np.ndarray]:
        """z_mean and z_log_var of images (n, ...), each (n, latent_dim)."""
        return tuple(ops.convert_to_numpy(moment) for moment in self.moments(self._encoded(images)))

    def sample(self, count, seed=0) -> np.ndarray:
        """`count` generated images: z from the prior N(0, 1), decoded."""
        return self.decode(np.random.default_rng(seed).normal(size=(count, self.latent_dim)).astype(np.float32))

    def interpolate(self, start, end, steps=10, spherical=False) -> np.ndarray:
        """Images (steps, ...) along the `latent_path` between the codes of two images, both ends included."""
        return self.decode(latent_path(*self.encode(np.stack([start, end]))[0], steps, spherical))


def _check_arguments(encoder, decoder, beta, likelihood, pixel_std, warm_up_steps):
    latent_dim = decoder.input_shape[-1]
    if encoder.output_shape != (None, 2 * latent_dim):
        needed = f"{(None, 2 * latent_dim)}, a mean and a log-variance for each of {latent_dim} latents"
        raise ValueError(f"The encoder returns shape {encoder.output_shape}, but this decoder needs {needed}.")
    if decoder.output_shape != encoder.input_shape:
        taken, returned = encoder.input_shape, decoder.output_shape
        raise ValueError(f"The decoder returns images of shape {returned}, the encoder takes {taken}: make them equal.")
    if likelihood not in ("bernoulli", "gaussian"):
        raise ValueError(f"likelihood is {likelihood!r}: choose 'bernoulli' or 'gaussian'.")
    if beta < 0:
        raise ValueError(f"beta is {beta}: it weights the KL divergence, so it is 0 or more.")
    if pixel_std <= 0:
        raise ValueError(f"pixel_std is {pixel_std}: a standard deviation is above 0.")
    if warm_up_steps < 0:
        raise ValueError(f"warm_up_steps is {warm_up_steps}: choose 0 (no warm-up) or more.")
    if likelihood == "bernoulli":
        check_logits(decoder, "decoder")


def _check_images_only(y, sample_weight):
    if y is not None or sample_weight is not None:
        raise ValueError("A VAE models the images themselves: call fit(x), without targets and without weights.")


def latent_path(start, end, steps=10, spherical=False) -> np.ndarray:
    """Latent vectors between `start` and `end`, both (latent_dim,) or (n, latent_dim): (steps, ...), ends included.

    The path is straight, or spherical (Shoemake 1985): then it has constant angular speed and stays at the distance
    from the origin where a normal prior in many dimensions has its mass.
    """
    t = np.linspace(0, 1, steps, dtype=np.float32).reshape(-1, *[1] * np.ndim(start))
    weights = 1 - t, t
    if spherical:
        lengths = np.linalg.norm(start, axis=-1, keepdims=True) * np.linalg.norm(end, axis=-1, keepdims=True)
        angle = np.arccos(np.clip(np.sum(start * end, axis=-1, keepdims=True) / lengths, -1, 1))
        # Otherwise both paths are the same, or there is no single shortest arc.
        curved = (angle > 1e-4) & (angle < np.pi - 1e-4)
        sine = np.where(curved, np.sin(angle), 1)
        weights = [np.where(curved, np.sin(weight * angle) / sine, weight) for weight in weights]
    return weights[0] * start + weights[1] * end


def importance_weighted_log_likelihood(model, x, samples, seed=0, images_at_once=100, samples_at_once=50) -> np.ndarray:
    """Estimate log p(x) of a VAE in nats, (n,) float64, by importance sampling (Burda et al. 2016, equation 8).

    log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x) with z_k from q(z|x): with one sample, an unbiased estimate of the ELBO.
    In expectation it grows with K towards log p(x), from below.

    Args:
        model: a VAE.
        x: images (n, ...).
        samples: K, per image.
        images_at_once, samples_at_once: decoded together; they set the memory needed, and the order of the draws.

    Raises:
        ValueError: `samples` is less than 1, or the images do not fit the model.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}: the estimate needs at least one.")
    model.check_data(x)

    @tf.function(reduce_retracing=True)
    def log_weights(images, z_mean, z_log_var, epsilon):  # (b, ...), (b, d), (b, d), (k, b, d) -> (k, b)
        z = z_mean + ops.exp(0.5 * z_log_var) * epsilon
        outputs = model.decoder(ops.reshape(z, (-1, model.latent_dim)), training=False)
        count = ops.shape(epsilon)[0]
        repeated = ops.tile(images, [count] + [1] * (len(images.shape) - 1))
        likelihood = ops.reshape(model.log_likelihood(repeated, outputs), (count, -1))
        # log p(z) - log q(z|x), in which the terms with 2π cancel
        return likelihood + 0.5 * ops.sum(ops.square(epsilon) + z_log_var - ops.square(z), axis=-1)

    random = np.random.default_rng(seed)
    z_means, z_log_vars = model.encode(x)
    estimates = []
    for start in range(0, len(x), images_at_once):
        part = slice(start, start + images_at_once)
        total = -np.inf  # the logarithm of the sum of weights so far
        for first in range(0, samples, samples_at_once):
            count = min(samples_at_once, samples - first)
            epsilon = random.standard_normal((count, *z_means[part].shape), dtype=np.float32)
            found = log_weights(x[part], z_means[part], z_log_vars[part], epsilon).numpy().astype(np.float64)
            total = np.logaddexp(total, np.logaddexp.reduce(found, axis=0))
        estimates.append(total - np.log(samples))
    return np.concatenate(estimates) if estimates else np.zeros(0)
