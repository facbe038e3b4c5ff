"""Sliders for a decoder or a generator in a notebook with a running kernel; without one, a still picture."""

import base64
import io

import ipywidgets
import numpy as np
from PIL import Image, ImageDraw

from utils.checks import check_images

SIDE = 280  # height of the picture in pixels


class _Explorer(ipywidgets.VBox):
    """Controls, name -> widget with a value, above the picture that `draw` makes of their values.

    `draw` is a function (name=value, ...) -> image (height, width) or (height, width, 3), in [0, 1].
    """

    _ipython_display_ = None  # of ipywidgets 7, which would hide _repr_mimebundle_ and with it the still picture

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
        """The widget, and the picture for pages without a kernel."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {
            "text/plain": "Sliders and a picture: run the notebook to move them.",
            "image/png": base64.b64encode(self.picture.value).decode(),
            "application/vnd.jupyter.widget-view+json": view,
        }


def _enlarged(image) -> Image.Image:
    array = np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)
    size = (SIDE * array.shape[1] // array.shape[0], SIDE)
    return Image.fromarray(array).resize(size, Image.Resampling.NEAREST)


def _slider(name: str, limit: float) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(0.0, min=-limit, max=limit, step=limit / 50, description=name)


def _decode(vae, z) -> np.ndarray:
    """As `VAE.decode`, but without `predict`, which takes longer to start than a few codes take to decode."""
    return np.asarray(vae.pixels(vae.decoder(np.float32(z), training=False)))


def explore_plane(vae, limit=3.0) -> ipywidgets.VBox:
    """Move a cursor in the latent plane of a VAE, from -limit to limit, and see the image that it decodes to.

    Raises ValueError if the VAE does not have two latents.
    """
    if vae.latent_dim != 2:
        raise ValueError(f"This VAE has {vae.latent_dim} latents: choose one with two.")
    ticks = limit * (np.arange(20) - 9.5) / 10  # the centers of twenty tiles
    tiles = _decode(vae, np.stack(np.meshgrid(ticks, -ticks), axis=-1).reshape(-1, 2))
    sheet = np.hstack(np.hstack(tiles.reshape(20, 20, *tiles.shape[1:]))).squeeze()
    plane = Image.fromarray(np.rint(255 * sheet.clip(0, 1)).astype(np.uint8)).resize((SIDE, SIDE)).convert("RGB")

    def draw(z_1, z_2):
        marked, column, row = plane.copy(), (z_1 / limit + 1) / 2 * SIDE, (1 - z_2 / limit) / 2 * SIDE
        ImageDraw.Draw(marked).ellipse((column - 6, row - 6, column + 6, row + 6), outline="#e69f00", width=3)
        image = _enlarged(_decode(vae, [[z_1, z_2]])[0].squeeze()).convert("RGB")
        return np.hstack([np.asarray(marked), np.asarray(image)]) / 255

    return _Explorer(draw, {"z_1": _slider("z_1", limit), "z_2": _slider("z_2", limit)})


def explore_attributes(vae, image, directions: dict[str, np.ndarray], limit=1.0) -> ipywidgets.VBox:
    """Change attributes of an image (height, width, channels) in [0, 1] with one slider per latent direction.

    A slider says how many times its direction, (latent_dim,), is added to the code of the image, from -limit to limit.
    The picture shows the image beside the decoded code. Raises ValueError if the image does not fit the VAE.
    """
    check_images(image[None], vae.encoder.input_shape[1:], limits=(0, 1))
    code = vae.encode(image[None])[0][0]

    def draw(**steps):
        moved = code + sum(steps[name] * direction for name, direction in directions.items())
        return np.hstack([image, _decode(vae, moved[None])[0]]).squeeze()

    return _Explorer(draw, {name: _slider(name, limit) for name in directions})


def explore_classes(gan, seed=0) -> ipywidgets.VBox:
    """Choose a digit and a style of a conditional GAN; the style rotates one random latent vector toward another."""
    start, end = np.random.default_rng(seed).normal(size=(2, gan.latent_dim)).astype(np.float32)

    def draw(digit, style):
        z = np.float32(np.cos(style) * start + np.sin(style) * end)
        return np.asarray(gan.averaged_generator([z[None], np.int32([digit])], training=False))[0].squeeze()

    digits = ipywidgets.Dropdown(options=range(gan.num_classes), description="digit")
    return _Explorer(draw, {"digit": digits, "style": _slider("style", float(np.pi))})
