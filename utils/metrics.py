"""Figures of merit. They take NumPy arrays and know no model."""

import numpy as np
import tensorflow as tf
from skimage.morphology import skeletonize
from sklearn.metrics import mutual_info_score, pairwise_distances
from sklearn.neighbors import NearestNeighbors

__all__ = [
    "frechet_distance",
    "mutual_information_gap",
    "precision_recall",
    "psnr",
    "slant",
    "sse",
    "ssim",
    "stroke_width",
]

BINS = 20  # of mutual_information_gap, as in Locatello et al. 2019


def sse(images: np.ndarray, reconstructions: np.ndarray) -> float:
    """Sum of squared errors per image: summed over pixels, averaged over images (n, ...).

    Raises ValueError where the shapes differ (broadcasting would hide the mistake).
    """
    _check_shapes(images, reconstructions)
    return float(np.square(images - reconstructions, dtype=np.float64).sum() / len(images))


def psnr(images: np.ndarray, reconstructions: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, averaged over images (n, 28, 28, 1) with pixels in [0, 1].

    For one image it is -10 log10 of the mean squared error of its pixels: 20 dB is an error of a tenth of the
    range, and every 6 dB halve it. Infinite where an image is reproduced exactly. Raises ValueError where the
    shapes differ.
    """
    _check_shapes(images, reconstructions)
    return float(tf.reduce_mean(tf.image.psnr(images, reconstructions, max_val=1.0)))


def ssim(images: np.ndarray, reconstructions: np.ndarray) -> float:
    """Structural similarity (Wang et al. 2004), at most 1, averaged over images (n, 28, 28, 1) in [0, 1].

    Compares local means, contrasts and patterns under a Gaussian window of 11 × 11 pixels. Raises ValueError
    where the shapes differ.
    """
    _check_shapes(images, reconstructions)
    return float(tf.reduce_mean(tf.image.ssim(images, reconstructions, max_val=1.0)))


def _check_shapes(images: np.ndarray, reconstructions: np.ndarray) -> None:
    if images.shape != reconstructions.shape:
        raise ValueError(f"images have shape {images.shape} but reconstructions {reconstructions.shape}.")


def frechet_distance(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Fréchet distance between two sets of feature vectors (n, d) and (m, d), each taken as a Gaussian.

    |mean_a - mean_b|² + trace(C_a + C_b - 2 (C_a C_b)^½) with the covariances C (Dowson and Landau 1982;
    on features of a classifier, Heusel et al. 2017). Zero for equal sets, and never below.

    Raises:
        ValueError: the sets have features of different length, or one has no more vectors than features, so
            that its covariance would be singular.
    """
    if features_a.shape[1:] != features_b.shape[1:]:
        raise ValueError(f"Features have shapes {features_a.shape} and {features_b.shape}: use the same classifier.")
    for features in (features_a, features_b):
        if len(features) <= features.shape[1]:
            raise ValueError(
                f"{len(features)} vectors of {features.shape[1]} features do not fix a covariance: give more images."
            )
    mean_a, mean_b = features_a.mean(axis=0, dtype=np.float64), features_b.mean(axis=0, dtype=np.float64)
    cov_a, cov_b = np.cov(features_a.T, dtype=np.float64), np.cov(features_b.T, dtype=np.float64)
    # trace((A B)^½) = trace((A^½ B A^½)^½), and that matrix is symmetric: its eigenvalues are real.
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    root = np.sqrt(np.linalg.eigvalsh(root_a @ cov_b @ root_a).clip(0)).sum()
    return float(max(0.0, np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root))


def precision_recall(real: np.ndarray, generated: np.ndarray, neighbours: int = 3) -> tuple[float, float]:
    """Improved precision and recall of generated images, each in 0..1 (Kynkäänniemi et al. 2019, equations 1 and 2).

    Each set of feature vectors is taken as the union of balls, around each vector as far as its `neighbours`-th nearest
    of the same set. Precision is the share of generated vectors that lie in the real set: are they good? Recall is the
    share of real ones that lie in the generated set: are all kinds there?

    Args:
        real, generated: features (n, d) and (m, d). The more, the finer: compare only scores of the same n and m.

    Raises:
        ValueError: the sets have features of different length, or one has no more vectors than `neighbours`.
    """
    if real.shape[1:] != generated.shape[1:]:
        raise ValueError(f"Features have shapes {real.shape} and {generated.shape}: use the same classifier.")
    if (fewest := min(len(real), len(generated))) <= neighbours:
        raise ValueError(f"{fewest} vectors have no {neighbours} neighbours each: give more images.")
    return _share_within(generated, real, neighbours), _share_within(real, generated, neighbours)


def _share_within(points, centres, neighbours) -> float:
    """The share of points that lie in a ball around one of the centres."""
    nearest = NearestNeighbors(n_neighbors=neighbours + 1, algorithm="brute").fit(centres)
    radii = nearest.kneighbors(centres)[0][:, -1]  # the nearest of a centre is itself
    found = 0
    for start in range(0, len(points), 1_000):  # a matrix of all distances would take gigabytes
        found += (pairwise_distances(points[start : start + 1_000], centres) <= radii).any(axis=1).sum()
    return float(found / len(points))


def mutual_information_gap(codes: np.ndarray, factors: dict[str, np.ndarray]) -> dict[str, float]:
    """How much more the best latent tells of each factor than the second best: a share of all, in 0..1.

    For each factor v, (I(z_best; v) - I(z_second; v)) / H(v), with the mutual information I of single latents and
    the entropy H, estimated from counts (Chen et al. 2018, eq. 6, whose MIG is the mean over the factors). At most
    20 different values count as they are, any others in 20 bins of equal width (Locatello et al. 2019). From few
    images the gap of noise is small but not 0: take thousands.

    Args:
        codes: (n, latent_dim), at least two latents.
        factors: name -> known values (n,).

    Raises:
        ValueError: fewer than two latents, a factor that does not vary, or codes and factors of different length.
    """
    if codes.ndim != 2 or codes.shape[1] < 2:
        raise ValueError(f"codes have shape {codes.shape}: a gap needs (n, latent_dim) with at least two latents.")
    latents, gaps = [_classes(latent) for latent in codes.T], {}
    for name, values in factors.items():
        if values.shape != codes.shape[:1]:
            raise ValueError(f"{name} has shape {values.shape}, but there are codes of {len(codes)} images.")
        classes = _classes(values)
        if np.ptp(classes) == 0:
            raise ValueError(f"{name} is {values[0]:g} in every image: give factors that vary.")
        second, best = sorted(mutual_info_score(classes, latent) for latent in latents)[-2:]
        gaps[name] = float((best - second) / mutual_info_score(classes, classes))  # I(v; v) is H(v)
    return gaps


def _classes(values: np.ndarray) -> np.ndarray:
    different, index = np.unique(values, return_inverse=True)
    if len(different) <= BINS:
        return index
    return np.digitize(values, np.histogram_bin_edges(values, BINS)[1:-1])


def slant(images: np.ndarray) -> np.ndarray:
    """Shear of digits (n, 28, 28) or (n, 28, 28, 1) in [0, 1], from their moments: float64 (n,).

    Pixels to the right per pixel upwards, as in `utils.synthetic`: the slope of the line that predicts x from y,
    every pixel weighted with its ink. Positive leans to the right.

    Raises:
        ValueError: grey values outside [0, 1], an image without ink, or with ink in one row only.
    """
    ink = _ink(images)
    ink /= ink.sum(axis=(1, 2), keepdims=True)
    y, x = np.mgrid[: ink.shape[1], : ink.shape[2]]
    dx, dy = (axis - (ink * axis).sum(axis=(1, 2), keepdims=True) for axis in (x, y))
    spread = (ink * dy**2).sum(axis=(1, 2))
    if (flat := np.flatnonzero(spread < 1e-9)).size:
        raise ValueError(f"Image {flat[0]} has ink in one row only: it leans nowhere. Leave such images out.")
    return -(ink * dx * dy).sum(axis=(1, 2)) / spread  # rows are counted downwards


def stroke_width(images: np.ndarray) -> np.ndarray:
    """Width of the pen in pixels, of digits (n, 28, 28) or (n, 28, 28, 1) in [0, 1]: float64 (n,).

    The ink (sum of the grey values) over the length of the stroke. That length is measured along the skeleton of
    the pixels with more than half of the largest grey value, in steps of 1 and, diagonally, √2. A skeleton ends half
    a width before the stroke does, so the width w solves ink = w (length + w). Of nine drawn digits in ten it is
    right within a tenth.

    Raises:
        ValueError: grey values outside [0, 1], or an image without ink.
    """
    ink = _ink(images)
    bone = np.stack([skeletonize(image > image.max() / 2) for image in ink])
    right, down = bone[:, :, 1:] & bone[:, :, :-1], bone[:, 1:] & bone[:, :-1]
    # A diagonal step, unless a third pixel makes a corner of it.
    square = bone[:, 1:, 1:] * 1 + bone[:, 1:, :-1] + bone[:, :-1, 1:] + bone[:, :-1, :-1]
    diagonal = (square == 2) & ~(right[:, 1:] | right[:, :-1] | down[:, :, 1:] | down[:, :, :-1])
    length = right.sum(axis=(1, 2)) + down.sum(axis=(1, 2)) + np.sqrt(2) * diagonal.sum(axis=(1, 2))
    return (np.sqrt(length**2 + 4 * ink.sum(axis=(1, 2))) - length) / 2


def _ink(images: np.ndarray) -> np.ndarray:
    """Images (n, h, w) or (n, h, w, 1) as (n, h, w), float64; ValueError where that makes no sense as ink."""
    if images.shape[3:] not in ((), (1,)) or images.ndim < 3:
        raise ValueError(f"images have shape {images.shape}: give (n, 28, 28) or (n, 28, 28, 1).")
    if not (images.min() >= 0 and images.max() <= 1):
        raise ValueError(f"Grey values run from {images.min():g} to {images.max():g}: scale them into [0, 1] first.")
    ink = images.reshape(images.shape[:3]).astype(np.float64)
    if (blank := np.flatnonzero(~ink.any(axis=(1, 2)))).size:
        raise ValueError(f"Image {blank[0]} has no ink ({blank.size} of {len(ink)} are blank): leave such images out.")
    return ink
