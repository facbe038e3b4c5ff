"""Sliders over a decoder or a generator, for a notebook with a running kernel; elsewhere a picture."""

import base64
import io

import ipywidgets
import keras
import numpy as np
from PIL import Image, ImageDraw

from utils.gan import ConditionalGAN
from utils.vae import VAE

__all__ = ["explore_attributes", "explore_classes", "explore_plane"]

SIDE = 280  # pixels of a picture on the page


class _Explorer(ipywidgets.VBox):
    """Controls above the picture that `draw` makes of their values, drawn again whenever one of them moves.

    Args:
        draw: function (name=value, ...) -> image (height, width), or (height, width, 3), in [0, 1].
        controls: name -> widget with a `value`.
    """

    def __init__(self, draw, controls: dict):
        self._draw, self._controls = draw, controls
        self.picture = ipywidgets.Image(format="png")
        super().__init__([*controls.values(), self.picture])
        for control in controls.values():
            control.observe(self._redraw, "value")
        self._redraw()

    def _redraw(self, change=None):
        image = self._draw(**{name: control.value for name, control in self._controls.items()})
        buffer = io.BytesIO()
        _enlarged(image).save(buffer, "png")
        self.picture.value = buffer.getvalue()

    def _repr_mimebundle_(self, **kwargs):
        """With the picture, for pages on which no kernel moves the sliders."""
        picture = base64.b64encode(self.picture.value).decode()
        return {**super()._repr_mimebundle_(**kwargs), "image/png": picture}


def _enlarged(image) -> Image.Image:
    array = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    picture = Image.fromarray(array)
    return picture.resize((SIDE * array.shape[1] // array.shape[0], SIDE), Image.Resampling.NEAREST)


def _slider(name: str, limit: float) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(0.0, min=-limit, max=limit, step=limit / 50, description=name)


def _means(vae: VAE, z) -> np.ndarray:
    """As `VAE.decode`, of a few vectors: without `predict`, which takes longer to start than they take to decode."""
    return vae.pixels(vae.decoder(np.float32(z), training=False))


def explore_plane(vae: VAE, limit=3.0) -> ipywidgets.VBox:
    """A cursor in the plane of a VAE with two latents, each from -limit to limit, and the image that it decodes to.

    Images have shape (28, 28, 1). Raises ValueError for another number of latents.
    """
    if vae.latent_dim != 2:
        raise ValueError(f"This VAE has {vae.latent_dim} latents: a plane has two.")
    ticks = limit * (np.arange(20) - 9.5) / 10  # the middles of twenty tiles
    grid = np.stack(np.meshgrid(ticks, -ticks), axis=-1).reshape(-1, 2)
    tiles = _means(vae, grid)[..., 0].reshape(20, 20, 28, 28)
    plane = (
        Image.fromarray(np.rint(255 * np.hstack(np.hstack(tiles))).astype(np.uint8)).resize((SIDE, SIDE)).convert("RGB")
    )

    def draw(z_1, z_2):
        marked, column, row = plane.copy(), (z_1 / limit + 1) / 2 * SIDE, (1 - z_2 / limit) / 2 * SIDE
        ImageDraw.Draw(marked).ellipse((column - 6, row - 6, column + 6, row + 6), outline="#e69f00", width=3)
        digit = _enlarged(_means(vae, [[z_1, z_2]])[0, ..., 0]).convert("RGB")
        return np.hstack([np.asarray(marked), np.asarray(digit)]) / 255

    return _Explorer(draw, {"z_1": _slider("z_1", limit), "z_2": _slider("z_2", limit)})


def explore_attributes(vae: VAE, image, directions: dict[str, np.ndarray], limit=1.0) -> ipywidgets.VBox:
    """An image and a slider for each attribute: its code, moved along directions (latent_dim,), and decoded.

    A slider says how many times its direction is added, -limit to limit. The image has shape (height, width, channels).
    """
    code = vae.encode(image[None])[0][0]

    def draw(**steps):
        moved = code + sum(steps[name] * direction for name, direction in directions.items())
        decoded = _means(vae, moved[None])[0]
        return np.hstack([image, decoded]).squeeze()

    return _Explorer(draw, {name: _slider(name, limit) for name in directions})


def explore_classes(gan: ConditionalGAN, seed=0) -> ipywidgets.VBox:
    """A digit to choose and a style slider, which turns one random latent vector into another on the circle of both."""
    start, end = np.random.default_rng(seed).normal(size=(2, gan.latent_dim)).astype(np.float32)

    def draw(digit, style):
        z = np.float32(np.cos(style) * start + np.sin(style) * end)
        return keras.ops.convert_to_numpy(gan.averaged_generator([z[None], np.int32([digit])], training=False))[
            0, ..., 0
        ]

    digits = ipywidgets.Dropdown(options=range(gan.num_classes), description="digit")
    return _Explorer(draw, {"digit": digits, "style": _slider("style", float(np.pi))})
