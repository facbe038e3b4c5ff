"""Write README's strip of pictures from the outputs of the committed notebooks: `python -m tools.gallery`."""

import base64
import io

import nbformat
import numpy as np
from PIL import Image

from tools import COURSE

STRIP = COURSE / "data" / "gallery.png"
HEIGHT, GAP = 240, 12
# The notebook, and the end of the cell whose picture it is.
PICTURES = [
    ("01_autoencoder", '"deep": deep_images[first],\n}\nplotting.reconstructions(rows)'),
    ("03_denoising_autoencoder", '"restored": restored[some]})'),
    ("06_vae", 'quantiles, quantiles, "VAE")'),
    ("07_latent_attributes", 'axis_names=("hair slider", "sunglasses slider"))'),
    ("09_dcgan", "plotting.image_grid(samples[:40])"),
    ("10_cgan", 'titles=[f"z {k}" for k in range(1, 11)])'),
]


def picture(notebook: str, ending: str) -> Image.Image:
    """The first picture among the outputs of the one cell with this ending."""
    cells = nbformat.read(COURSE / "notebooks" / f"{notebook}.ipynb", as_version=4).cells
    (cell,) = [cell for cell in cells if cell.source.endswith(ending)]
    found = next(output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {}))
    return Image.open(io.BytesIO(base64.b64decode(found))).convert("RGB")


def row(pictures) -> np.ndarray:
    """Pictures side by side, all of one height."""
    scaled = [np.asarray(image.resize((HEIGHT * image.width // image.height, HEIGHT))) for image in pictures]
    return np.hstack(with_gaps(scaled, (HEIGHT, GAP, 3)))


def with_gaps(parts, gap) -> list[np.ndarray]:
    """The parts, and white of this shape between them."""
    white = np.full(gap, 255, np.uint8)
    return [piece for part in parts for piece in (part, white)][:-1]


def main() -> None:
    found = [picture(*which) for which in PICTURES]
    rows = [Image.fromarray(row(part)) for part in (found[:3], found[3:])]
    width = min(strip.width for strip in rows)
    scaled = [np.asarray(strip.resize((width, strip.height * width // strip.width))) for strip in rows]
    Image.fromarray(np.vstack(with_gaps(scaled, (GAP, width, 3)))).quantize(256, kmeans=1).save(STRIP, optimize=True)


if __name__ == "__main__":
    main()
