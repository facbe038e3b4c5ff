import keras
import numpy as np
import pytest
import tensorflow as tf

from utils.autoencoders import Autoencoder, cross_entropy, squared_error
from utils.metrics import sse
from utils.networks import convolutional_decoder, convolutional_encoder, dense_decoder, dense_encoder


def dense(latent_dim=3, **options):
    return Autoencoder(dense_encoder(latent_dim, (16,)), dense_decoder(latent_dim, (16,)), **options)


def convolutional(latent_dim=3, **options):
    parts = convolutional_encoder(latent_dim, (2, 3)), convolutional_decoder(latent_dim, (3, 2))
    return Autoencoder(*parts, **options)


def test_losses_sum_over_pixels_and_average_over_the_batch():
    targets = np.random.default_rng(0).random((3, 4, 4, 1), dtype=np.float32)
    outputs = np.random.default_rng(1).normal(size=(3, 4, 4, 1)).astype(np.float32)
    assert float(squared_error(targets, outputs)) == pytest.approx(((targets - outputs) ** 2).sum() / 3, rel=1e-5)
    p = 1 / (1 + np.exp(-outputs.astype(np.float64)))
    expected = -(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum() / 3
    assert float(cross_entropy(targets, outputs)) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_extreme_logits_is_finite_and_exact():
    targets = np.array([[0.0, 1.0]], np.float32)
    assert float(cross_entropy(targets, np.array([[-1e4, 1e4]], np.float32))) == 0
    assert float(cross_entropy(targets, np.array([[1e4, -1e4]], np.float32))) == 2e4


def test_the_gradient_of_cross_entropy_is_p_minus_x():
    logits = tf.constant([[-20.0, -1.0, 0.0, 1.0, 20.0]])
    targets = np.array([[1.0, 0.3, 0.7, 0.0, 0.5]], np.float32)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = cross_entropy(targets, logits)
    assert tape.gradient(loss, logits).numpy() == pytest.approx(tf.sigmoid(logits).numpy() - targets, abs=1e-6)


def test_cross_entropy_is_least_at_the_target():
    p = np.float32(0.3)
    targets = np.full((1, 1), p, np.float32)
    logits = np.linspace(-3, 3, 601, dtype=np.float32)
    losses = [float(cross_entropy(targets, np.full((1, 1), logit))) for logit in logits]
    assert logits[np.argmin(losses)] == pytest.approx(np.log(p / (1 - p)), abs=0.02)
    assert min(losses) == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p), abs=1e-4)


@pytest.mark.parametrize("build", [dense, convolutional])
@pytest.mark.parametrize("reconstruction_loss", ["squared_error", "cross_entropy"])
def test_training_lowers_the_loss_that_was_asked_for(build, reconstruction_loss, images):
    keras.utils.set_random_seed(0)
    model = build(reconstruction_loss=reconstruction_loss)
    model.compile(keras.optimizers.Adam(1e-2))
    history = model.fit(images, epochs=8, batch_size=16, validation_data=(images,), verbose=0).history
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    if reconstruction_loss == "squared_error":
        assert history["val_loss"][-1] == pytest.approx(sse(images, model.reconstruct(images)), rel=1e-4)


@pytest.mark.parametrize("build", [dense, convolutional])
def test_shapes(build, images):
    model = build(5)
    codes = model.encode(images)
    assert codes.shape == (64, 5)
    assert model.decode(codes).shape == model.reconstruct(images).shape == images.shape
    assert 0 < model.reconstruct(images).min() < model.reconstruct(images).max() < 1
    assert (model.decode(codes) == model.reconstruct(images)).all()


def test_targets_other_than_the_input(images):
    model = dense()
    model.compile("sgd")
    black = np.zeros_like(images)
    expected = sse(black, model.reconstruct(images))
    assert model.evaluate(images, black, batch_size=64, verbose=0) == pytest.approx(expected, rel=1e-5)


def test_regularizers_of_the_layers_count(images):
    encoder = dense_encoder(3, (16,))
    encoder.add(keras.layers.ActivityRegularization(l2=1.0))
    model = Autoencoder(encoder, dense_decoder(3, (16,)))
    model.compile("sgd")
    without = sse(images, model.reconstruct(images))
    assert model.evaluate(images, batch_size=64, verbose=0) > without + 1e-3


def test_any_decoder_trains_in_half_precision(images):
    keras.config.set_dtype_policy("mixed_float16")
    try:
        encoder = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Conv2D(2, 2, 2, activity_regularizer="l2")])
        decoder = keras.Sequential([keras.Input((14, 14, 2)), keras.layers.Conv2DTranspose(1, 2, 2)])
        model = Autoencoder(encoder, decoder, output="linear")
        model.compile("adam", jit_compile=False)
        assert np.isfinite(model.fit(images, verbose=0).history["loss"]).all()
    finally:
        keras.config.set_dtype_policy("float32")


def test_linear_data(images):
    encoder = dense_encoder(1, (8,), input_shape=(2,))
    model = Autoencoder(encoder, dense_decoder(1, (8,), output_shape=(2,)), output="linear")
    points = np.random.default_rng(0).normal(3, 1, (100, 2)).astype(np.float32)
    assert model.reconstruct(points).shape == (100, 2)
    model.compile("adam")
    assert model.evaluate(points, batch_size=100, verbose=0) == pytest.approx(
        sse(points, model.reconstruct(points)), rel=1e-5
    )


def test_the_same_seed_gives_the_same_weights(images):
    trained = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        model = convolutional()
        model.compile("adam")
        model.fit(images, epochs=2, verbose=0)
        trained.append(model.get_weights())
    assert all((a == b).all() for a, b in zip(*trained, strict=True))
