"""Figures of merit. They take NumPy arrays and know no model."""

import numpy as np

__all__ = ["sse"]


def sse(images: np.ndarray, reconstructions: np.ndarray) -> float:
    """Sum of squared errors per image: summed over pixels, averaged over images (n, ...).

    Raises ValueError where the shapes differ (broadcasting would hide the mistake).
    """
    if images.shape != reconstructions.shape:
        raise ValueError(f"images have shape {images.shape} but reconstructions {reconstructions.shape}.")
    return float(np.square(images - reconstructions, dtype=np.float64).sum() / len(images))
