import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from utils.gan import GAN, LOSSES, ConditionalGAN, hinge, minimax, non_saturating
from utils.networks import dense_discriminator, dense_generator

LOGITS = np.linspace(-3, 3, 7, dtype=np.float32)[:, None]


def plane(averaging=0.99, seed=0, hidden=(32, 32), **options):
    """A GAN of points in the plane."""
    keras.utils.set_random_seed(0)
    generator = dense_generator(2, hidden, (2,), "linear")
    return GAN(generator, dense_discriminator((2,), hidden), 2, averaging=averaging, seed=seed, **options)


def compiled(model, rate=1e-3, loss="non_saturating"):
    model.compile(keras.optimizers.Adam(rate, 0.5), keras.optimizers.Adam(rate, 0.5), loss=loss)
    return model


def conditional(classes=3):
    keras.utils.set_random_seed(0)
    z, image, label = keras.Input((2,)), keras.Input((2,)), keras.Input((), dtype="int32")
    told = layers.Embedding(classes, 4)
    generator = keras.Model([z, label], layers.Dense(2)(layers.Concatenate()([z, told(label)])), name="generator")
    joined = layers.Concatenate()([image, layers.Embedding(classes, 4)(label)])
    discriminator = keras.Model([image, label], layers.Dense(1)(layers.Dense(16, "relu")(joined)), name="discriminator")
    return ConditionalGAN(generator, discriminator, 2, classes, seed=0)


def points(count=130, seed=0):
    return np.random.default_rng(seed).normal([3, -1], 0.5, (count, 2)).astype(np.float32)


def test_cross_entropy_losses_agree_with_probabilities():
    real, fake = 1 / (1 + np.exp(-LOGITS)), 1 / (1 + np.exp(-LOGITS[::-1] + 1))
    value = np.log(real).mean() + np.log(1 - fake).mean()
    for loss in (minimax, non_saturating):
        assert float(loss.discriminator(LOGITS, LOGITS[::-1] - 1)) == pytest.approx(-value, rel=1e-5)
    assert float(minimax.generator(LOGITS[::-1] - 1)) == pytest.approx(np.log(1 - fake).mean(), rel=1e-5)
    assert float(non_saturating.generator(LOGITS[::-1] - 1)) == pytest.approx(-np.log(fake).mean(), rel=1e-5)


def test_hinge_is_zero_beyond_the_margin():
    assert float(hinge.discriminator(LOGITS + 4, LOGITS - 4)) == 0
    assert float(hinge.discriminator(0 * LOGITS, 0 * LOGITS)) == 2
    assert float(hinge.generator(LOGITS + 1)) == pytest.approx(-1)


@pytest.mark.parametrize("name", LOSSES)
def test_extreme_logits_give_finite_losses_and_gradients(name):
    logits = tf.constant([[-1e4], [1e4]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        losses = LOSSES[name].discriminator(logits, logits), LOSSES[name].generator(logits)
    assert all(np.isfinite(loss) and np.isfinite(tape.gradient(loss, logits)).all() for loss in losses)


def test_a_sure_discriminator_stops_the_gradient_of_minimax_only():
    logits = tf.constant([[-10.0]])  # what a discriminator says that has seen through the generator
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        losses = minimax.generator(logits), non_saturating.generator(logits)
    saturated, not_saturated = (abs(tape.gradient(loss, logits).numpy().item()) for loss in losses)
    assert saturated < 1e-4 < 0.99 < not_saturated


@pytest.mark.parametrize("loss", LOSSES)
def test_fit_brings_the_samples_to_the_data(loss):
    model = compiled(plane(), rate=2e-3, loss=loss)
    before = np.linalg.norm(model.sample(500).mean(axis=0) - [3, -1])
    history = model.fit(points(2_000), batch_size=100, epochs=15, verbose=0).history
    assert np.linalg.norm(model.sample(500).mean(axis=0) - [3, -1]) < 0.3 * before
    assert history.keys() == {"d_loss", "g_loss", "d_real_accuracy", "d_fake_accuracy"}
    assert all(0 <= value <= 1 for value in history["d_real_accuracy"] + history["d_fake_accuracy"])


def test_the_first_step_reports_the_game_before_it():
    model = compiled(plane())
    real = points(64)
    model.discriminator.layers[-1].set_weights([np.zeros((32, 1)), np.array([1.0])])  # the logit is 1 for everything
    measured = model.train_on_batch(real, return_dict=True)
    assert measured["d_loss"] == pytest.approx(np.log1p(np.exp(-1)) + np.log1p(np.exp(1)), rel=1e-5)
    assert measured["g_loss"] == pytest.approx(np.log1p(np.exp(-1)), rel=1e-5)
    assert (measured["d_real_accuracy"], measured["d_fake_accuracy"]) == (1, 0)


def test_each_optimizer_moves_its_own_part():
    for frozen, moving in (("generator", "discriminator"), ("discriminator", "generator")):
        model = plane()
        rates = {f"{frozen}_optimizer": keras.optimizers.SGD(0.0), f"{moving}_optimizer": keras.optimizers.SGD(0.1)}
        model.compile(**rates)
        before = {part: getattr(model, part).get_weights() for part in (frozen, moving)}
        model.fit(points(), batch_size=32, verbose=0)
        after = {part: getattr(model, part).get_weights() for part in (frozen, moving)}
        assert all(map(np.array_equal, before[frozen], after[frozen]))
        assert not any(map(np.array_equal, before[moving][-2:], after[moving][-2:]))


def test_the_partial_batch_counts():
    model = compiled(plane())
    model.fit(points(130), batch_size=64, verbose=0)
    assert int(model.generator_optimizer.iterations) == int(model.discriminator_optimizer.iterations) == 3


def test_the_average_follows_the_generator_and_is_what_samples():
    model = compiled(plane(averaging=0.9))
    assert all(map(np.array_equal, model.averaged_generator.get_weights(), model.generator.get_weights()))
    start = model.generator.get_weights()[0]
    model.fit(points(64), batch_size=64, verbose=0)  # one step: decay 1/11
    expected = model.generator.get_weights()[0] * 10 / 11 + start / 11
    assert model.averaged_generator.get_weights()[0] == pytest.approx(expected, abs=1e-6)
    z = np.random.default_rng(5).normal(size=(7, 2)).astype(np.float32)
    assert model.sample(7, seed=5) == pytest.approx(model.averaged_generator(z).numpy(), abs=1e-6)
    assert np.array_equal(model(z), model.averaged_generator(z))


def test_parts_run_in_training_mode():
    generator = keras.Sequential([keras.Input((2,)), layers.Dense(2), layers.BatchNormalization()], name="generator")
    discriminator = keras.Sequential([keras.Input((2,)), layers.BatchNormalization(), layers.Dense(1)])
    model = compiled(GAN(generator, discriminator, 2, seed=0))
    model.fit(points(), verbose=0)
    for part, layer in ((generator, 1), (discriminator, 0)):
        assert not np.array_equal(part.layers[layer].moving_mean, np.zeros(2))
    followed = np.asarray(model.averaged_generator.layers[1].moving_mean)
    assert np.abs(followed).max() > 0 and not np.array_equal(followed, generator.layers[1].moving_mean)


def test_the_penalty_is_half_gamma_times_the_squared_gradient_of_the_logit():
    """A linear discriminator w x + b has the gradient w, so the penalty adds γ w to that of its loss."""
    moved = []
    for gradient_penalty in (0.0, 3.0):
        keras.utils.set_random_seed(0)
        discriminator = keras.Sequential([keras.Input((2,)), layers.Dense(1)], name="discriminator")
        model = GAN(dense_generator(2, (4,), (2,)), discriminator, 2, gradient_penalty=gradient_penalty, seed=0)
        before = discriminator.get_weights()
        model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1))
        model.train_on_batch(points(63))
        moved.append([a - b for a, b in zip(discriminator.get_weights(), before, strict=True)])
    without, with_penalty = moved
    assert with_penalty[0] - without[0] == pytest.approx(-0.1 * 3 * before[0], abs=1e-5)
    assert with_penalty[1] == pytest.approx(without[1])


def test_same_seed_same_weights():
    first, second = (compiled(plane()) for _ in range(2))
    for model in (first, second):
        model.fit(points(), batch_size=32, shuffle=False, verbose=0)
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))


def test_figures_are_weighted_by_the_size_of_the_batch():
    model = plane()
    model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
    real = points(130)
    logits = model.discriminator(real).numpy()[:, 0]
    real, last = real[np.argsort(logits)], model.discriminator.layers[-1]
    last.bias.assign(last.bias - np.sort(logits)[[40, 41]].mean())  # the first 41 are called generated
    found = model.fit(real, batch_size=100, shuffle=False, verbose=0).history
    assert found["d_real_accuracy"] == [pytest.approx(89 / 130, abs=1e-6)]  # and not the mean of 59/100 and 30/30


def test_labels_reach_both_parts():
    centres = np.array([[4, 0], [0, 4], [-4, -4]], np.float32)
    labels = np.arange(1_500) % 3
    real = centres[labels] + np.random.default_rng(0).normal(0, 0.2, (1_500, 2)).astype(np.float32)
    model = compiled(conditional(), rate=5e-3)
    model.fit(real, labels, batch_size=100, epochs=40, verbose=0)
    for label, centre in enumerate(centres):
        assert np.linalg.norm(model.sample(np.full(100, label)).mean(axis=0) - centre) < 1.5
