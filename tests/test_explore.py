import base64
import io
import types

import ipywidgets
import keras
import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter
from keras import layers
from PIL import Image

from utils.explore import explore_attributes, explore_classes, explore_plane
from utils.gan import ConditionalGAN
from utils.vae import VAE

VIEW = "application/vnd.jupyter.widget-view+json"


class TinyVAE:
    """What an explorer uses of a VAE. Brightness is the sum of the code, and every image has the code 0."""

    def __init__(self, latent_dim, shape=(28, 28, 1)):
        self.latent_dim, self.shape = latent_dim, shape
        self.encoder = types.SimpleNamespace(input_shape=(None, *shape))

    def encode(self, images):
        return np.zeros((len(images), self.latent_dim), np.float32), None

    def decoder(self, z, training):
        assert not training and z.dtype == np.float32
        return np.broadcast_to(z.sum(axis=1).reshape(-1, 1, 1, 1), (len(z), *self.shape))

    def pixels(self, outputs):
        return 1 / (1 + np.exp(-outputs))


def brightness_of_class_and_style(inputs, training):
    z, label = inputs
    assert not training and z.dtype == np.float32 and z.shape == (1, 4)
    value = label[0] / 20 + 0.5 * (z[0, 0] > 0)
    return np.full((1, 28, 28, 1), value, np.float32)


GAN = types.SimpleNamespace(latent_dim=4, num_classes=10, averaged_generator=brightness_of_class_and_style)
IMAGE, COLOR_IMAGE = np.zeros((28, 28, 1), np.float32), np.zeros((32, 32, 3), np.float32)
EXPLORERS = {
    "plane": (lambda: explore_plane(TinyVAE(2)), {"z_1": 1.0, "z_2": -2.5}, (280, 560)),
    "plane of color images": (lambda: explore_plane(TinyVAE(2, (32, 32, 3))), {"z_1": 1.0}, (280, 560)),
    "attributes": (
        lambda: explore_attributes(TinyVAE(3), IMAGE, {"width": np.array([1.0, 0, 0]), "slant": np.array([0, 5.0, 0])}),
        {"width": 0.5, "slant": -1.0},
        (280, 560),
    ),
    "attributes of a color image": (
        lambda: explore_attributes(TinyVAE(3, (32, 32, 3)), COLOR_IMAGE, {"hair": np.ones(3)}),
        {"hair": 0.5},
        (280, 560),
    ),
    "classes": (lambda: explore_classes(GAN), {"digit": 3, "style": 3.0}, (280, 280)),
}


def small_vae(latent_dim):
    encoder = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(2 * latent_dim)])
    decoder = keras.Sequential([keras.Input((latent_dim,)), layers.Dense(784), layers.Reshape((28, 28, 1))])
    return VAE(encoder, decoder)


def small_gan():
    z, label, image = keras.Input((4,)), keras.Input((), dtype="int32"), keras.Input((28, 28, 1))
    joined = layers.Concatenate()([z, layers.Embedding(10, 3)(label)])
    pixels = layers.Reshape((28, 28, 1))(layers.Dense(784, "sigmoid")(joined))
    seen = layers.Concatenate()([layers.Flatten()(image), layers.Embedding(10, 3)(label)])
    generator, discriminator = keras.Model([z, label], pixels), keras.Model([image, label], layers.Dense(1)(seen))
    return ConditionalGAN(generator, discriminator, latent_dim=4, num_classes=10)


EXPLORERS |= {
    "plane of a VAE": (lambda: explore_plane(small_vae(2)), {"z_1": 1.0, "z_2": -2.5}, (280, 560)),
    "attributes of a VAE": (
        lambda: explore_attributes(small_vae(3), IMAGE, {"hair": np.ones(3, np.float32)}),
        {"hair": 0.5},
        (280, 560),
    ),
    "classes of a GAN": (lambda: explore_classes(small_gan()), {"digit": 3, "style": 3.0}, (280, 280)),
}


def pixels(explorer):
    return np.array(Image.open(io.BytesIO(explorer.picture.value)))


@pytest.mark.parametrize("name", EXPLORERS)
def test_the_picture_follows_each_control(name):
    build, moves, size = EXPLORERS[name]
    explorer = build()
    controls = {control.description: control for control in explorer.children[:-1]}
    assert moves.keys() <= controls.keys()
    pictures = [explorer.picture.value]
    for control, value in moves.items():
        controls[control].value = value
        pictures.append(explorer.picture.value)
    assert len(set(pictures)) == len(pictures)
    assert pixels(explorer).shape[:2] == size


def test_the_picture_shows_what_the_controls_say():
    explorer = explore_attributes(TinyVAE(3), IMAGE, {"width": np.array([1.0, 0, 0])})
    assert (pixels(explorer)[:, :280] == 0).all() and (pixels(explorer)[:, 280:] == 128).all()
    explorer.children[0].value = 1.0
    assert (pixels(explorer)[:, 280:] == round(255 / (1 + np.exp(-1)))).all()


@pytest.mark.parametrize("version", ["8", "7"])
@pytest.mark.parametrize("name", EXPLORERS)
def test_a_page_without_a_kernel_shows_the_picture(name, version, monkeypatch):
    if version == "7":  # which displays itself, and has no other representation
        monkeypatch.setattr(ipywidgets.DOMWidget, "_ipython_display_", lambda self: None, raising=False)
        monkeypatch.delattr(ipywidgets.Widget, "_repr_mimebundle_", raising=False)
    explorer = EXPLORERS[name][0]()
    data, _ = DisplayFormatter().format(explorer)
    assert data[VIEW] == {"version_major": 2, "version_minor": 0, "model_id": explorer.model_id}
    assert base64.b64decode(data["image/png"]) == explorer.picture.value


def test_what_cannot_be_explored():
    with pytest.raises(ValueError, match="has 3 latents: choose one with two"):
        explore_plane(TinyVAE(3))
    with pytest.raises(ValueError, match=r"images have shape \(1, 28, 28\)"):
        explore_attributes(TinyVAE(3), IMAGE[..., 0], {})
    with pytest.raises(ValueError, match="divide by 255"):
        explore_attributes(TinyVAE(3), IMAGE + 255, {})
