"""Write README's strip of pictures from the outputs of the committed notebooks: `python -m tools.gallery`."""

import base64
import io

import nbformat
from PIL import Image

from tools import COURSE

STRIP = COURSE / "data" / "gallery.png"
HEIGHT, GAP = 240, 12
# The notebook, and the end of the cell whose picture it is.
PICTURES = [
    ("01_autoencoder", '"PCA": pca_images[first].clip(0, 1), "autoencoder": deep_images[first]}\n)'),
    ("03_denoising_autoencoder", '"restored": restored[some]})'),
    ("06_vae", 'quantiles, quantiles, "VAE")'),
    ("07_latent_attributes", 'axis_names=("hair slider", "sunglasses slider"))'),
    ("09_dcgan", "plotting.image_grid(samples[:40])"),
    ("10_cgan", "for label in range(10)})"),
]


def picture(notebook: str, ending: str) -> Image.Image:
    """The first picture among the outputs of the one cell with this ending."""
    cells = nbformat.read(COURSE / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (cell,) = [cell for cell in cells if cell.source.endswith(ending)]
    found = next(output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {}))
    return Image.open(io.BytesIO(base64.b64decode(found))).convert("RGB")


def row(pictures) -> Image.Image:
    """Pictures side by side, all of one height."""
    scaled = [image.resize((HEIGHT * image.width // image.height, HEIGHT)) for image in pictures]
    whole = Image.new("RGB", (sum(image.width + GAP for image in scaled) - GAP, HEIGHT), "white")
    left = 0
    for image in scaled:
        whole.paste(image, (left, 0))
        left += image.width + GAP
    return whole


def main() -> None:
    found = [picture(*which) for which in PICTURES]
    rows = [row(found[:3]), row(found[3:])]
    width = min(strip.width for strip in rows)
    rows = [strip.resize((width, strip.height * width // strip.width)) for strip in rows]
    whole = Image.new("RGB", (width, sum(strip.height + GAP for strip in rows) - GAP), "white")
    top = 0
    for strip in rows:
        whole.paste(strip, (0, top))
        top += strip.height + GAP
    whole.quantize(64).save(STRIP, optimize=True)


if __name__ == "__main__":
    main()
