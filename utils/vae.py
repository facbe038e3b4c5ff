"""Variational autoencoders: sampling, the terms of the loss, the model, and an estimate of its likelihood."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from utils.autoencoders import EncoderDecoder, sum_per_image
from utils.replicas import normal

__all__ = [
    "VAE",
    "Sampling",
    "bernoulli_log_likelihood",
    "gaussian_log_likelihood",
    "importance_weighted_log_likelihood",
    "kl_divergence",
    "latent_path",
]

LOG_VAR_BOUND = 12.0  # a standard deviation is between e^-6 and e^6, far beyond what any code needs


def kl_divergence(z_mean, z_log_var):
    """KL divergence of N(z_mean, exp(z_log_var)) from N(0, 1): summed over latents, averaged over the batch, in nats.

    Σ_j -½ (1 + log σ_j² - μ_j² - σ_j²), a scalar that is never negative, and 0 for μ = 0 and σ = 1 (Kingma and
    Welling 2014, appendix B).

    Args:
        z_mean, z_log_var: μ and log σ² of each latent, shape (batch, latent_dim).
    """
    return ops.mean(ops.sum(-0.5 * (1 + z_log_var - ops.square(z_mean) - ops.exp(z_log_var)), axis=-1))


def bernoulli_log_likelihood(x, logits):
    """log p(x|z) where each pixel is 1 with probability sigmoid(logit): Σ x log p + (1 - x) log(1 - p), (batch,) nats.

    For grey pixels x in [0, 1] it is the same formula, though no longer the logarithm of a probability.
    """
    return sum_per_image(logits * x - ops.softplus(logits))


def gaussian_log_likelihood(x, means, std):
    """log p(x|z) where each pixel is normal around its mean: -Σ ((x - mean)² / 2 std² + ½ log 2π std²), (batch,) nats.

    It is the logarithm of a density, so it may be positive.
    """
    return -sum_per_image(ops.square(x - means) / (2 * std**2) + 0.5 * np.log(2 * np.pi * std**2))


@keras.saving.register_keras_serializable("course")
class Sampling(layers.Layer):
    """The reparameterization trick: z = μ + σ ⊙ ε with ε from N(0, 1) (Kingma and Welling 2014, section 2.4).

    Takes (z_mean, z_log_var) and returns z, all of shape (batch, latent_dim). The gradient passes through μ and σ;
    the noise comes from a generator that the layer owns.
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs):
        z_mean, z_log_var = inputs
        epsilon = normal(ops.shape(z_mean), self.seed_generator, z_mean.dtype)
        return z_mean + ops.exp(0.5 * z_log_var) * epsilon

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}


@keras.saving.register_keras_serializable("course")
class VAE(EncoderDecoder):
    """A variational autoencoder (Kingma and Welling 2014): `fit(x)` minimises reconstruction_loss + beta · kl_loss.

    Both terms are in nats per image: summed over pixels and over latents, averaged over the batch. `call` returns
    what the loss needs: the decoder's output for a sampled z, z_mean and z_log_var.

    Args:
        encoder: Keras model, (batch, ...) -> (batch, 2 · latent_dim): first the means, then the logarithms of the
            variances. These are kept within ±12 by a tanh, smoothly, so that no exponential overflows.
        decoder: Keras model, (batch, latent_dim) -> (batch, ...): logits of the pixels where the likelihood is
            Bernoulli, their means where it is Gaussian.
        beta: weight of the KL divergence; 1 makes the loss the negative ELBO, 0 switches the term off.
        likelihood: "bernoulli", for pixels in [0, 1], or "gaussian".
        pixel_std: standard deviation of a pixel around its mean, for the Gaussian likelihood.
        warm_up_steps: the weight of the KL divergence climbs in a line from 0 to beta in so many training steps.
        seed: of the sampling; None draws one.

    Raises:
        ValueError: the parts do not fit, or an argument is impossible; from `fit` and `evaluate`, if pixels are
            outside [0, 1] under the Bernoulli likelihood, or there are targets: a VAE models x itself.
    """

    def __init__(
        self, encoder, decoder, beta=1.0, likelihood="bernoulli", pixel_std=1.0, warm_up_steps=0, seed=None, **kwargs
    ):
        latent_dim = decoder.input_shape[-1]
        if encoder.output_shape != (None, 2 * latent_dim):
            raise ValueError(
                f"The encoder returns shape {encoder.output_shape}, but for this decoder it has to be "
                f"{(None, 2 * latent_dim)}: a mean and a log-variance for each of {latent_dim} latents."
            )
        if decoder.output_shape != encoder.input_shape:
            raise ValueError(
                f"The decoder returns images of shape {decoder.output_shape}, but the encoder takes "
                f"{encoder.input_shape}: make them the same."
            )
        if likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(f"likelihood is {likelihood!r}: choose 'bernoulli' or 'gaussian'.")
        if beta < 0:
            raise ValueError(f"beta is {beta}: it weighs the KL divergence, so it is 0 or more.")
        if pixel_std <= 0:
            raise ValueError(f"pixel_std is {pixel_std}: a standard deviation is above 0.")
        if warm_up_steps < 0:
            raise ValueError(f"warm_up_steps is {warm_up_steps}: it is 0 (no warm-up) or more.")
        super().__init__(encoder, decoder, **kwargs)
        self.sampling, self.latent_dim = Sampling(seed, dtype="float32"), latent_dim  # as the terms of the loss
        self.beta, self.likelihood, self.pixel_std = beta, likelihood, pixel_std
        self.warm_up_steps, self.seed = warm_up_steps, seed
        self.reconstruction_tracker = keras.metrics.Mean("reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean("kl_loss")
        self.build(encoder.input_shape)

    def call(self, inputs, training=False):
        z_mean, z_log_var = self._moments(self.encoder(inputs, training=training))
        z = self.sampling((z_mean, z_log_var))
        return self.decoder(z, training=training), z_mean, z_log_var

    def _moments(self, encoded):
        z_mean, raw = ops.split(ops.cast(encoded, "float32"), 2, axis=-1)  # (batch, latent_dim) each
        return z_mean, LOG_VAR_BOUND * ops.tanh(raw / LOG_VAR_BOUND)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if y is not None or sample_weight is not None:
            raise ValueError("A VAE models the images themselves: fit(x), without targets and without weights.")
        outputs, z_mean, z_log_var = y_pred
        reconstruction_loss = -ops.mean(self.log_likelihood(x, outputs))
        kl_loss = kl_divergence(z_mean, z_log_var)
        self.reconstruction_tracker.update_state(reconstruction_loss)
        self.kl_tracker.update_state(kl_loss)
        return self._in_total(reconstruction_loss + self._weight_of_kl(training) * kl_loss)

    def _weight_of_kl(self, training):
        if not (training and self.warm_up_steps):
            return self.beta
        return self.beta * ops.minimum(1.0, ops.cast(self.optimizer.iterations, "float32") / self.warm_up_steps)

    def log_likelihood(self, x, outputs):
        """log p(x|z), (batch,) nats, of images x and what the decoder returns for z."""
        outputs = ops.cast(outputs, "float32")  # a decoder may compute in half precision, its loss may not
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(x, outputs)
        return gaussian_log_likelihood(x, outputs, self.pixel_std)

    def fit(self, x=None, *args, **kwargs):
        self.check_data(x)
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        self.check_data(x)
        return super().evaluate(x, *args, **kwargs)

    def check_data(self, x, y=None) -> None:
        """Raises ValueError for pixels that the likelihood does not know.

        Where x is an array; what a dataset yields is the concern of its owner.
        """
        if self.likelihood == "bernoulli" and isinstance(x, np.ndarray | tf.Tensor):
            least, most = float(ops.min(x)), float(ops.max(x))
            if not 0 <= least <= most <= 1:  # not a number is not in order either
                raise ValueError(
                    f"Pixels are between {least:g} and {most:g}, but the Bernoulli likelihood needs [0, 1]: divide by "
                    "255, or choose likelihood='gaussian'."
                )

    def encode(self, images) -> tuple[np.ndarray, np.ndarray]:
        """z_mean and z_log_var of images (n, ...), each (n, latent_dim)."""
        moments = self._moments(self.encoder.predict(images, batch_size=1000, verbose=0))
        return tuple(ops.convert_to_numpy(moment) for moment in moments)

    def decode(self, z) -> np.ndarray:
        """Images (n, ...) of latent vectors (n, latent_dim): the means of their pixels."""
        return self.pixels(self.decoder.predict(z, batch_size=1000, verbose=0))

    def pixels(self, outputs) -> np.ndarray:
        """The means of the pixels, (n, ...), of what the decoder returns."""
        outputs = ops.cast(outputs, "float32")
        return ops.convert_to_numpy(ops.sigmoid(outputs) if self.likelihood == "bernoulli" else outputs)

    def reconstruct(self, images) -> np.ndarray:
        """What comes back of images (n, ...) by way of z_mean: same shape."""
        return self.decode(self.encode(images)[0])

    def sample(self, count, seed=0) -> np.ndarray:
        """`count` new images: z from the prior N(0, 1), decoded."""
        return self.decode(np.random.default_rng(seed).normal(size=(count, self.latent_dim)).astype(np.float32))

    def interpolate(self, start, end, steps=10, spherical=False) -> np.ndarray:
        """Images (steps, ...) along the `latent_path` between the codes of two images (28, 28, 1), ends included."""
        return self.decode(latent_path(*self.encode(np.stack([start, end]))[0], steps, spherical))

    def get_config(self):
        own = ("beta", "likelihood", "pixel_std", "warm_up_steps", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in own}}


def latent_path(start, end, steps=10, spherical=False) -> np.ndarray:
    """Latent vectors on the way from `start` to `end`, both (latent_dim,) or (n, latent_dim): (steps, ...), with ends.

    The way is straight; or spherical (Shoemake 1985): at constant angular speed, so that it keeps the distance from
    the origin at which a normal prior in many dimensions has its mass.
    """
    t = np.linspace(0, 1, steps, dtype=np.float32).reshape(-1, *[1] * np.ndim(start))
    weights = 1 - t, t
    if spherical:
        lengths = np.linalg.norm(start, axis=-1, keepdims=True) * np.linalg.norm(end, axis=-1, keepdims=True)
        angle = np.arccos(np.clip(np.sum(start * end, axis=-1, keepdims=True) / lengths, -1, 1))
        # Else both ways are the same, or there is no one shortest arc.
        curved = (angle > 1e-4) & (angle < np.pi - 1e-4)
        sine = np.where(curved, np.sin(angle), 1)
        weights = [np.where(curved, np.sin(weight * angle) / sine, weight) for weight in weights]
    return weights[0] * start + weights[1] * end


def importance_weighted_log_likelihood(model, x, samples, seed=0, images_at_once=100, samples_at_once=50) -> np.ndarray:
    """Estimate log p(x) of a VAE in nats, (n,) float64, by importance sampling (Burda et al. 2016, equation 8).

    log 1/K Σ_k p(x|z_k) p(z_k) / q(z_k|x) with z_k from q(z|x): with one sample an unbiased estimate of the ELBO;
    it grows with K towards log p(x), from below in expectation.

    Args:
        model: a VAE.
        x: images (n, ...).
        samples: K, for each image.
        images_at_once, samples_at_once: so many are decoded together; they decide memory, not the expectation.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}: the estimate needs at least one.")

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
    return np.concatenate(estimates)
