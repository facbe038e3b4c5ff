"""Encoders, decoders, generators and discriminators: shapes, ranges, and what distinguishes them."""

import keras
import numpy as np
import pytest

from utils import networks
from utils.networks import MinibatchStandardDeviation, conditional_discriminator, conditional_generator

IMAGE = (None, 28, 28, 1)
SHAPES = {
    "dense_encoder": ((5,), IMAGE, (None, 5)),
    "dense_decoder": ((5,), (None, 5), IMAGE),
    "convolutional_encoder": ((5,), IMAGE, (None, 5)),
    "convolutional_decoder": ((5,), (None, 5), IMAGE),
    "dense_generator": ((5,), (None, 5), IMAGE),
    "dense_discriminator": ((), IMAGE, (None, 1)),
    "dcgan_generator": ((5,), (None, 5), IMAGE),
    "dcgan_discriminator": ((), IMAGE, (None, 1)),
    "conditional_generator": ((5, 4), [(None, 5), (None,)], IMAGE),
    "conditional_discriminator": ((4,), [IMAGE, (None,)], (None, 1)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_names_and_ranges(name):
    arguments, taken, returned = SHAPES[name]
    network = getattr(networks, name)(*arguments)
    assert network.name == name.split("_")[1]
    assert network.input_shape == taken and network.output_shape == returned
    if network.name == "generator":
        random = np.random.default_rng(0)
        shapes = taken if isinstance(taken, list) else [taken]
        inputs = [random.normal(size=(3, *shape[1:])) if len(shape) > 1 else np.arange(3) for shape in shapes]
        images = network(inputs if len(inputs) > 1 else inputs[0]).numpy()
        assert 0 <= images.min() < images.max() <= 1


@pytest.mark.parametrize("name", ["dense_encoder", "dense_discriminator", "dcgan_discriminator"])
def test_images_of_another_size(name):
    arguments = (5,) if name == "dense_encoder" else ()
    assert getattr(networks, name)(*arguments, input_shape=(8, 12, 3)).input_shape == (None, 8, 12, 3)
    assert networks.dense_decoder(5, output_shape=(8, 12, 3)).output_shape == (None, 8, 12, 3)


def test_every_pixel_of_a_transposed_convolution_gets_as_many_contributions():
    """Its kernel size is a multiple of its stride."""
    for network in (networks.convolutional_decoder(3), networks.dcgan_generator(3)):
        grown = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
        assert len(grown) == 2
        for layer in grown:
            assert all(size % stride == 0 for size, stride in zip(layer.kernel_size, layer.strides, strict=True))


def test_minibatch_standard_deviation_is_the_spread_of_the_batch():
    layer = MinibatchStandardDeviation()
    varied = np.float32([[0, 10], [2, 10], [4, 10]])  # standard deviations 1.633 and 0
    outputs, outputs_of_twins = layer(varied).numpy(), layer(varied[[1, 1, 1]]).numpy()
    assert outputs[:, :2] == pytest.approx(varied)
    assert outputs[:, 2] == pytest.approx(np.sqrt(8 / 3) / 2, abs=1e-3)
    assert outputs_of_twins[:, 2] == pytest.approx(0, abs=1e-3)
    assert layer.compute_output_shape((None, 2)) == (None, 3)


def test_the_conditional_networks_depend_on_the_label():
    keras.utils.set_random_seed(0)
    z, image = np.ones((2, 5), np.float32), np.full((2, 28, 28, 1), 0.5, np.float32)
    for network, given in ((conditional_generator(5), z), (conditional_discriminator(), image)):
        outputs = network([given, np.array([3, 7])]).numpy()
        assert np.abs(outputs[0] - outputs[1]).max() > 1e-4
