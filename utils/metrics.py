"""Figures of merit. They take NumPy arrays and know no model."""

import numpy as np
import tensorflow as tf

__all__ = ["frechet_distance", "psnr", "sse", "ssim"]


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
