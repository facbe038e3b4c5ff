import base64
import io

import numpy as np
import pytest
import zoo
from IPython.core.formatters import DisplayFormatter
from PIL import Image

from utils.interactive import explore_attributes, explore_classes, explore_plane
from utils.vae import VAE


def vae(latent_dim, likelihood="bernoulli"):
    parts = zoo.dense_encoder(2 * latent_dim, (512, 256)), zoo.dense_decoder(latent_dim, (256, 512))
    return VAE(*parts, likelihood=likelihood, seed=0)


IMAGE = zoo.digits(1)[0][0]
EXPLORERS = {
    "plane": (lambda: explore_plane(vae(2)), {"z_1": 1.0, "z_2": -2.0}, (280, 560)),
    "attributes": (
        lambda: explore_attributes(vae(3), IMAGE, {"width": np.array([1.0, 0, 0]), "slant": np.array([0, 5.0, 0])}),
        {"width": 0.5, "slant": -1.0},
        (280, 560),
    ),
    "gaussian attributes": (
        lambda: explore_attributes(vae(3, "gaussian"), IMAGE, {"width": np.ones(3)}),
        {"width": 0.5},
        (280, 560),
    ),
    "classes": (lambda: explore_classes(zoo.build("cgan")), {"digit": 3, "style": 1.0}, (280, 280)),
}


@pytest.mark.parametrize("name", EXPLORERS)
def test_the_picture_follows_each_control(name):
    build, moves, size = EXPLORERS[name]
    explorer = build()
    controls = {control.description: control for control in explorer.children[:-1]}
    assert list(controls) == list(moves)
    pictures = [explorer.picture.value]
    for control, value in moves.items():
        controls[control].value = value
        pictures.append(explorer.picture.value)
    assert len(set(pictures)) == len(pictures)
    assert np.array(Image.open(io.BytesIO(pictures[-1]))).shape[:2] == size


@pytest.mark.parametrize("name", EXPLORERS)
def test_a_page_without_a_kernel_shows_the_picture(name):
    """With ipywidgets 7, too: what IPython displays is asserted, not only what the method returns."""
    explorer = EXPLORERS[name][0]()
    data, _ = DisplayFormatter().format(explorer)
    view = data["application/vnd.jupyter.widget-view+json"]
    assert view == {"version_major": 2, "version_minor": 0, "model_id": explorer.model_id}
    assert "text/plain" in data
    assert base64.b64decode(data["image/png"]) == explorer.picture.value


def test_a_plane_has_two_latents():
    with pytest.raises(ValueError, match="has 3 latents: a plane has two"):
        explore_plane(vae(3))
