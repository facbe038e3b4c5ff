"""Factors of images: slant and stroke width measured on digits, and how well single latents stand for known factors.

Unsuitable shapes and values raise ValueError.
"""

import numpy as np
from skimage.morphology import skeletonize
from sklearn.metrics import mutual_info_score

from utils.checks import check_images

BINS = 20  # of mutual_information_gap, as in Locatello et al. 2019


def mutual_information_gap(codes, factors: dict[str, np.ndarray]) -> dict[str, float]:
    """How much more the most informative latent says about each factor than the second, as a fraction in [0, 1].

    For codes (n, latent_dim) and each factor v (n,): (I(z_best; v) - I(z_second; v)) / H(v), with the mutual
    information I of single latents and the entropy H, both estimated from counts (Chen et al. 2018, eq. 6, whose MIG
    is the mean over the factors). Up to 20 different values are counted as they are, others in 20 bins of equal width
    (Locatello et al. 2019). The gap of pure noise is above 0 for few images, so use thousands.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.shape[1] < 2 or not len(codes):
        raise ValueError(f"codes have shape {codes.shape}: give (n, latent_dim), n > 0, with at least two latents.")
    latents, gaps = [_classes(latent, "codes") for latent in codes.T], {}
    for name, values in factors.items():
        values = np.asarray(values)
        if values.shape != codes.shape[:1]:
            raise ValueError(f"{name} has shape {values.shape}, but there are codes of {len(codes)} images.")
        classes = _classes(values, f"values of {name}")
        if np.ptp(classes) == 0:
            raise ValueError(f"{name} is {values[0]} in every image: give factors that vary.")
        second, best = sorted(mutual_info_score(classes, latent) for latent in latents)[-2:]
        gaps[name] = float((best - second) / mutual_info_score(classes, classes))  # I(v; v) is H(v)
    return gaps


def _classes(values: np.ndarray, name: str) -> np.ndarray:
    check_images(values, name=name)
    different, index = np.unique(values, return_inverse=True)
    if len(different) <= BINS:
        return index
    return np.digitize(values, np.histogram_bin_edges(values, BINS)[1:-1])


def slant(images) -> np.ndarray:
    """Shear of digits (n, height, width) or (n, height, width, 1) in [0, 1]: float64 (n,), positive to the right.

    In pixels to the right per pixel upward, as in `utils.drawn.digits`: the slope of the line that predicts x from y
    when every pixel is weighted with its ink. Every image needs ink in at least two rows.
    """
    ink = _ink(images)
    ink /= ink.sum(axis=(1, 2), keepdims=True)
    y, x = np.mgrid[: ink.shape[1], : ink.shape[2]]
    dx, dy = (axis - (ink * axis).sum(axis=(1, 2), keepdims=True) for axis in (x, y))
    spread = (ink * dy**2).sum(axis=(1, 2))
    if (flat := np.flatnonzero(spread < 1e-9)).size:
        raise ValueError(f"Image {flat[0]} has ink in one row only, so it has no slant: remove such images.")
    return -(ink * dx * dy).sum(axis=(1, 2)) / spread  # rows are counted downward


def stroke_width(images) -> np.ndarray:
    """Width of the pen in pixels, for digits (n, height, width) or (n, height, width, 1) in [0, 1]: float64 (n,).

    The amount of ink, which is the sum of the pixels, over the length of the stroke. The length is measured along the
    skeleton of the pixels above half of the maximum, in steps of 1 or, diagonally, √2. A skeleton ends half a width
    before the stroke does, so the width w solves ink = w (length + w). For nine in ten drawn digits, the result is
    correct within 10 %. Every image needs ink.
    """
    ink = _ink(images)
    bone = np.array([skeletonize(image > image.max() / 2) for image in ink], bool).reshape(ink.shape)
    right, down = bone[:, :, 1:] & bone[:, :, :-1], bone[:, 1:] & bone[:, :-1]
    # A diagonal step, unless a third pixel turns it into a corner.
    square = bone[:, 1:, 1:] * 1 + bone[:, 1:, :-1] + bone[:, :-1, 1:] + bone[:, :-1, :-1]
    diagonal = (square == 2) & ~(right[:, 1:] | right[:, :-1] | down[:, :, 1:] | down[:, :, :-1])
    length = right.sum(axis=(1, 2)) + down.sum(axis=(1, 2)) + np.sqrt(2) * diagonal.sum(axis=(1, 2))
    return (np.sqrt(length**2 + 4 * ink.sum(axis=(1, 2))) - length) / 2


def _ink(images) -> np.ndarray:
    """Images (n, h, w) or (n, h, w, 1) as (n, h, w), float64."""
    images = np.asarray(images)
    if images.shape[3:] not in ((), (1,)) or images.ndim < 3:
        raise ValueError(f"images have shape {images.shape}: give (n, height, width) or (n, height, width, 1).")
    check_images(images, limits=(0, 1))
    ink = images.reshape(images.shape[:3]).astype(np.float64)
    if (blank := np.flatnonzero(~ink.any(axis=(1, 2)))).size:
        raise ValueError(f"Image {blank[0]} has no ink ({blank.size} of {len(ink)} are blank): remove such images.")
    return ink
