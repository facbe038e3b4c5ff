import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from scipy.stats import multivariate_normal, norm

from utils.autoencoders import cross_entropy
from utils.networks import dense_decoder, dense_encoder
from utils.vae import (
    VAE,
    Sampling,
    bernoulli_log_likelihood,
    gaussian_log_likelihood,
    importance_weighted_log_likelihood,
    kl_divergence,
    latent_path,
)


def dense(latent_dim=3, **options):
    return VAE(dense_encoder(2 * latent_dim, (16,)), dense_decoder(latent_dim, (16,)), **options)


def moments(count=5, latent_dim=3):
    random = np.random.default_rng(0)
    return (random.normal(size=(count, latent_dim)).astype(np.float32) for _ in range(2))


def test_kl_divergence_agrees_with_the_integral():
    z_mean, z_log_var = moments()
    z = np.linspace(-15, 15, 30_001)[:, None, None]
    q, p = norm(z_mean, np.exp(z_log_var / 2)), norm(0, 1)
    integral = (q.pdf(z) * (q.logpdf(z) - p.logpdf(z))).sum(axis=0) * 0.001
    assert float(kl_divergence(z_mean, z_log_var)) == pytest.approx(integral.sum(axis=1).mean(), rel=1e-4)


def test_kl_divergence_is_zero_at_the_prior_and_only_there():
    zeros = np.zeros((2, 4), np.float32)
    assert float(kl_divergence(zeros, zeros)) == 0
    assert float(kl_divergence(zeros + 0.1, zeros)) > 0
    assert float(kl_divergence(zeros, zeros + 0.1)) > 0 and float(kl_divergence(zeros, zeros - 0.1)) > 0


def test_likelihoods_agree_with_scipy():
    random = np.random.default_rng(0)
    x = random.random((3, 4, 4, 1), dtype=np.float32)
    outputs = random.normal(size=(3, 4, 4, 1)).astype(np.float32)
    expected = norm(outputs, 0.3).logpdf(x).sum(axis=(1, 2, 3))
    assert gaussian_log_likelihood(x, outputs, 0.3).numpy() == pytest.approx(expected, rel=1e-4)
    assert -float(ops.mean(bernoulli_log_likelihood(x, outputs))) == pytest.approx(float(cross_entropy(x, outputs)))


def test_sampling_has_the_mean_and_the_variance_it_is_given():
    z_mean, z_log_var = (np.tile(moment, (200_000, 1)) for moment in moments(count=1))
    z = Sampling(seed=0)((z_mean, z_log_var)).numpy()
    assert z.mean(axis=0) == pytest.approx(z_mean[0], abs=0.02)
    assert z.var(axis=0) == pytest.approx(np.exp(z_log_var[0]), rel=0.02)


def test_sampling_lets_the_gradient_through_both_moments():
    z_mean, z_log_var = (tf.constant(moment) for moment in moments())
    with tf.GradientTape() as tape:
        tape.watch((z_mean, z_log_var))
        z = Sampling(seed=0)((z_mean, z_log_var))
    by_mean, by_log_var = tape.gradient(z, (z_mean, z_log_var))
    assert by_mean.numpy() == pytest.approx(1)
    assert by_log_var.numpy() == pytest.approx(0.5 * (z - z_mean).numpy(), rel=1e-4, abs=1e-6)  # ½ σ ε


def test_sampling_draws_anew_each_time_and_alike_with_the_same_seed():
    arguments = tuple(moments())
    layer = Sampling(seed=1)
    first, second = layer(arguments).numpy(), layer(arguments).numpy()
    assert not np.array_equal(first, second)
    assert np.array_equal(first, Sampling(seed=1)(arguments).numpy())


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_loss_is_reconstruction_plus_beta_times_kl(images, likelihood):
    model = dense(beta=2.5, likelihood=likelihood, pixel_std=0.5, seed=0)
    outputs, z_mean, z_log_var = model(images)
    loss = model.compute_loss(images, None, (outputs, z_mean, z_log_var), training=False)
    term = {"bernoulli": bernoulli_log_likelihood, "gaussian": lambda x, o: gaussian_log_likelihood(x, o, 0.5)}
    expected = -ops.mean(term[likelihood](images, outputs)) + 2.5 * kl_divergence(z_mean, z_log_var)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_fit_lowers_the_loss_and_reports_its_terms(images):
    model = dense(seed=0)
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(images, batch_size=48, epochs=30, validation_data=(images,), verbose=0).history
    assert history["loss"][-1] < 0.6 * history["loss"][0]
    for before in ("", "val_"):  # each weighted by the size of the batch, of which the last is a partial one
        terms = np.add(history[f"{before}reconstruction_loss"], history[f"{before}kl_loss"])
        assert history[f"{before}loss"] == pytest.approx(terms, rel=1e-5)
    evaluated = model.evaluate(images, batch_size=48, verbose=0, return_dict=True)
    assert evaluated.keys() == {"loss", "reconstruction_loss", "kl_loss"}
    assert evaluated["loss"] == pytest.approx(evaluated["reconstruction_loss"] + evaluated["kl_loss"], rel=1e-5)


def test_log_variances_are_clipped_and_not_bent(images):
    model = dense(seed=0)
    wanted = np.float32([[-30, -12, -3, 0, 3, 30]])
    z_mean, z_log_var = model.moments(np.concatenate([wanted, wanted], axis=-1))
    assert z_mean.numpy() == pytest.approx(wanted)
    assert z_log_var.numpy() == pytest.approx(np.clip(wanted, -12, 12))


def test_beta_sets_what_a_bit_of_code_costs(images):
    kl = {}
    for beta in (0.0, 100.0):
        keras.utils.set_random_seed(0)
        model = dense(beta=beta, seed=0)
        model.compile(keras.optimizers.Adam(3e-3))
        kl[beta] = model.fit(images, batch_size=16, epochs=20, verbose=0).history["kl_loss"][-1]
    assert kl[100.0] < 0.5 < 5 < kl[0.0]


def test_warm_up_grows_to_beta_in_training_and_does_not_touch_evaluation(images):
    model = dense(beta=2.0, warm_up_steps=8, seed=0)
    model.compile(keras.optimizers.SGD(0.0))
    outputs = model(images)
    reconstruction, kl = (
        float(term) for term in (-ops.mean(model.log_likelihood(images, outputs[0])), kl_divergence(*outputs[1:]))
    )
    for weight in (0.0, 1.0, 2.0, 2.0):
        loss = float(model.compute_loss(images, None, outputs, training=True))
        assert loss - reconstruction == pytest.approx(weight * kl, abs=1e-3)
        evaluated = float(model.compute_loss(images, None, outputs, training=False))
        assert evaluated - reconstruction == pytest.approx(2 * kl, abs=1e-3)
        model.fit(images, batch_size=16, verbose=0)  # 4 steps


def test_extreme_encoders_do_not_end_in_nan(images):
    model = dense(seed=0)
    model.compile(keras.optimizers.Adam(1e-3))
    last = model.encoder.layers[-1]
    for bias in (1e6, -1e6):
        last.bias.assign(np.repeat([0.0, bias], 3))
        history = model.fit(images, verbose=0).history
        assert np.isfinite(history["loss"]).all()
        assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_shapes_and_ranges_of_what_a_reader_calls(images):
    model = dense(seed=0)
    z_mean, z_log_var = model.encode(images)
    assert z_mean.shape == z_log_var.shape == (64, 3)
    for made in (model.reconstruct(images), model.sample(64), model.decode(z_mean)):
        assert made.shape == images.shape and made.min() >= 0 and made.max() <= 1
    assert np.array_equal(model.sample(3, seed=1), model.sample(3, seed=1))
    assert not np.array_equal(model.sample(3, seed=1), model.sample(3, seed=2))


@pytest.mark.parametrize("spherical", [False, True])
def test_interpolation_goes_from_one_image_to_the_other(images, spherical):
    model = dense(seed=0)
    way = model.interpolate(images[0], images[1], steps=5, spherical=spherical)
    assert way.shape == (5, 28, 28, 1)
    assert way[[0, -1]] == pytest.approx(model.reconstruct(images[:2]), abs=1e-5)


def test_the_spherical_way_keeps_its_distance_from_the_origin():
    starts, ends = np.float32([[2, 0, 0], [2, 0, 0]]), np.float32([[0, 2, 0], [2, 0, 0]])
    arc, line = (latent_path(starts, ends, 10, spherical) for spherical in (True, False))
    assert arc.shape == line.shape == (10, 2, 3)
    assert np.linalg.norm(arc, axis=-1) == pytest.approx(2, abs=1e-5)
    assert np.linalg.norm(line[:, 0], axis=1).min() == pytest.approx(2**0.5, abs=0.02)
    assert arc[:, 1] == pytest.approx(np.tile(starts[1], (10, 1)), abs=1e-5)  # from a place to itself there is no arc
    angles = np.arctan2(arc[:, 0, 1], arc[:, 0, 0])
    assert np.diff(angles) == pytest.approx(np.pi / 18, abs=1e-5)
    assert latent_path(starts[0], ends[0], 10, spherical=True) == pytest.approx(arc[:, 0])


def linear_gaussian(stretch=1.0):
    """x = W z + b + 0.5 n, two latents, three observed; encoder: the exact posterior where `stretch` is 1."""
    W, b, sigma = np.array([[1.0, 0.5], [-0.3, 0.8], [0.2, -1.0]]), np.array([0.1, -0.2, 0.3]), 0.5
    # The columns of W are made orthogonal, for the posterior to be a product of normals.
    W[:, 1] -= W[:, 0] * (W[:, 0] @ W[:, 1]) / (W[:, 0] @ W[:, 0])
    precision = np.eye(2) + W.T @ W / sigma**2
    gain = np.linalg.inv(precision) @ W.T / sigma**2
    log_var = np.log(stretch / np.diag(precision))
    encoder = keras.Sequential([keras.Input((3,)), layers.Dense(4)])
    encoder.set_weights([np.hstack([gain.T, np.zeros((3, 2))]), np.concatenate([-gain @ b, log_var])])
    decoder = keras.Sequential([keras.Input((2,)), layers.Dense(3)])
    decoder.set_weights([W.T, b])
    truth = multivariate_normal(b, W @ W.T + sigma**2 * np.eye(3))
    model = VAE(encoder, decoder, likelihood="gaussian", pixel_std=sigma)
    return model, truth


def test_importance_weights_are_exact_where_the_posterior_is():
    model, truth = linear_gaussian()
    x = truth.rvs(7, random_state=0).astype(np.float32)
    for samples in (1, 5):
        assert importance_weighted_log_likelihood(model, x, samples) == pytest.approx(truth.logpdf(x), abs=1e-4)


def test_importance_weights_correct_a_wrong_posterior_as_samples_grow():
    model, truth = linear_gaussian(stretch=3.0)
    x = truth.rvs(200, random_state=0).astype(np.float32)
    gaps = [
        np.mean(truth.logpdf(x) - importance_weighted_log_likelihood(model, x, samples)) for samples in (1, 10, 1_000)
    ]
    assert gaps[0] > 3 * gaps[1] > 0 and gaps[0] > 0.5
    assert abs(gaps[2]) < 0.02


def test_importance_weights_do_not_depend_on_how_the_work_is_divided():
    model, truth = linear_gaussian(stretch=2.0)
    x = truth.rvs(30, random_state=0).astype(np.float32)
    large = importance_weighted_log_likelihood(model, x, 20_000, images_at_once=30, samples_at_once=20_000)
    small = importance_weighted_log_likelihood(model, x, 20_000, images_at_once=7, samples_at_once=3_000)
    assert large == pytest.approx(small, abs=0.05)


def test_importance_weights_need_pixels_in_the_range_of_the_likelihood(images):
    with pytest.raises(ValueError, match="divide by 255"):
        importance_weighted_log_likelihood(dense(seed=0), 255 * images, 10)


def test_importance_weights_do_not_underflow(images):
    model = dense(seed=0)
    estimate = importance_weighted_log_likelihood(model, images, 10)
    assert estimate.dtype == np.float64 and np.isfinite(estimate).all()
    assert (estimate < -400).all()  # e^-400 is not a number in float32: nothing may leave the logarithm
