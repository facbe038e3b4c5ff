"""Figures of merit: NumPy arrays in, numbers out. Unsuitable shapes and values raise ValueError."""

import numpy as np
import tensorflow as tf
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from utils.checks import check_images


def sse(images, reconstructions) -> float:
    """Sum of squared errors per image: summed over pixels, averaged over images (n, ...) of any range."""
    images, reconstructions = _pair(images, reconstructions)
    return float(_squared_error(images, reconstructions).sum() / len(images))


def psnr(images, reconstructions) -> float:
    """Peak signal-to-noise ratio in dB, averaged over images (n, height, width, channels) in [0, 1].

    For one image it is -10 log10 of the mean squared error of its pixels. 20 dB is an error of a tenth of the range,
    every further 6 dB halve it, and a perfect reconstruction has an infinite PSNR.
    """
    images, reconstructions = _pair(images, reconstructions, limits=(0, 1))
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(_squared_error(images, reconstructions).mean(axis=(1, 2, 3))).mean())


def ssim(images, reconstructions) -> float:
    """Structural similarity (Wang et al. 2004), at most 1, averaged over images (n, height, width, channels) in [0, 1].

    Compares local means, contrasts and patterns under a Gaussian window of 11 × 11 pixels.
    """
    images, reconstructions = _pair(images, reconstructions, limits=(0, 1))
    if min(images.shape[1:3]) < 11:
        raise ValueError(f"images have shape {images.shape}: SSIM needs at least 11 × 11 pixels.")
    return float(tf.reduce_mean(tf.image.ssim(np.float32(images), np.float32(reconstructions), max_val=1.0)))


def _squared_error(a, b) -> np.ndarray:
    return np.square(np.subtract(a, b, dtype=np.float64))  # of bytes, the difference itself would overflow


def _pair(images, reconstructions, limits=None) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays. With `limits`, they are images of that range, (n, height, width, channels)."""
    images, reconstructions = np.asarray(images), np.asarray(reconstructions)
    if images.shape != reconstructions.shape:
        raise ValueError(f"images have shape {images.shape}, but reconstructions {reconstructions.shape}.")
    if not images.size:
        raise ValueError("There are no images to compare: the selection is empty.")
    if limits and images.ndim != 4:
        raise ValueError(f"images have shape {images.shape}: give (n, height, width, channels).")
    check_images(images, limits=limits)
    # A linear decoder may leave the range a little, so only what leaves it by far (bytes, say) is refused.
    close = limits is None or (reconstructions.min() > -10 and reconstructions.max() < 10)
    check_images(reconstructions, limits=None if close else limits, name="reconstructions")
    return images, reconstructions


def frechet_distance(features_a, features_b) -> float:
    """Fréchet distance between two sets of feature vectors, (n, d) and (m, d), each modeled as a Gaussian.

    |mean_a - mean_b|² + trace(C_a + C_b - 2 (C_a C_b)^½) with the covariances C (Dowson and Landau 1982; for features
    of a classifier, Heusel et al. 2017); 0 for equal sets. Each needs more vectors than features: otherwise its
    covariance is singular.
    """
    a, b = (np.float64(features) for features in _features(features_a, features_b))
    if (fewest := min(len(a), len(b))) <= a.shape[1]:
        raise ValueError(f"{fewest} vectors do not determine the covariance of {a.shape[1]} features: use more images.")
    cov_a, cov_b = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    # trace((A B)^½) = trace((A^½ B A^½)^½), and that matrix is symmetric: its eigenvalues are real.
    values, vectors = np.linalg.eigh(cov_a)
    root_a = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    root = np.sqrt(np.linalg.eigvalsh(root_a @ cov_b @ root_a).clip(0)).sum()
    return float(max(0.0, np.square(a.mean(0) - b.mean(0)).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root))


def frechet_of_real_images(features, training, validation, test) -> dict[str, float]:
    """Fréchet distances of real images from the test images: to be shown beside every other distance from them.

    `features` maps images to vectors (n, d), as the method of the judge does, which has not seen the validation images.
    """
    target, known = features(test), np.random.default_rng(0).permutation(features(training))
    blocks = [frechet_distance(block, target) for block in np.array_split(known, 5)]
    return {
        "training images (mean of five random blocks)": float(np.mean(blocks)),
        "validation images (unseen)": frechet_distance(features(validation), target),
    }


def precision_recall(real, generated, neighbors=3) -> tuple[float, float]:
    """Improved precision and recall of generated images, each in [0, 1] (Kynkäänniemi et al. 2019, eq. 1 and 2).

    Each set of features, (n, d) and (m, d), is modeled as a union of balls: one around each vector, with the distance
    to its `neighbors`-th nearest neighbor in the same set as radius. Precision, the fraction of generated vectors
    inside the real set, measures quality; recall, the fraction of real vectors inside the generated set, measures
    variety. Both depend on n and m, so compare only scores of equal n and m, each above `neighbors`.
    """
    real, generated = _features(real, generated)
    if neighbors < 1:
        raise ValueError(f"neighbors is {neighbors}: choose at least 1.")
    if (fewest := min(len(real), len(generated))) <= neighbors:
        raise ValueError(f"With {fewest} vectors, none has {neighbors} neighbors: use more images.")
    return _fraction_within(generated, real, neighbors), _fraction_within(real, generated, neighbors)


def _fraction_within(points, centers, neighbors) -> float:
    nearest = NearestNeighbors(n_neighbors=neighbors + 1, algorithm="brute").fit(centers)
    radii = nearest.kneighbors(centers)[0][:, -1]  # the nearest neighbor of a center is the center itself
    found = 0
    for start in range(0, len(points), 1_000):  # the matrix of all distances would take gigabytes
        found += (pairwise_distances(points[start : start + 1_000], centers) <= radii).any(axis=1).sum()
    return float(found / len(points))


def _features(a, b) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(a), np.asarray(b)
    if a.ndim != 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(f"Features have shapes {a.shape} and {b.shape}: give (n, d) and (m, d) of one classifier.")
    for features in (a, b):
        check_images(features, name="features")
    return a, b
