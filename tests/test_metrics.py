import numpy as np
import pytest

from utils import metrics


def test_sse_sums_over_pixels_and_averages_over_images():
    black, white = np.zeros((3, 28, 28, 1), np.float32), np.ones((3, 28, 28, 1), np.float32)
    assert metrics.sse(black, white) == 784
    assert metrics.sse(black, black) == 0


def test_psnr_of_a_known_error_is_the_formula():
    images = np.full((2, 28, 28, 1), 0.5, np.float32)
    assert metrics.psnr(images, images + np.float32(0.1)) == pytest.approx(20, abs=1e-3)  # a tenth of the range
    off = images + np.array([0.1, 0.01], np.float32).reshape(2, 1, 1, 1)
    assert metrics.psnr(images, off) == pytest.approx(30, abs=1e-2)  # the mean of 20 and 40 dB, not the dB of a mean


def test_ssim_is_one_for_equal_images_and_sinks_with_noise(images):
    random = np.random.default_rng(0)
    noisy = [(images + s * random.normal(size=images.shape)).clip(0, 1).astype(np.float32) for s in (0.1, 0.5)]
    assert metrics.ssim(images, images) == pytest.approx(1)
    assert 0.9 > metrics.ssim(images, noisy[0]) > metrics.ssim(images, noisy[1])


@pytest.mark.parametrize("measure", [metrics.sse, metrics.psnr, metrics.ssim])
def test_shapes_that_would_broadcast_are_refused(measure):
    with pytest.raises(ValueError, match=r"shape \(2, 28, 28, 1\) but reconstructions \(28, 28, 1\)"):
        measure(np.zeros((2, 28, 28, 1)), np.zeros((28, 28, 1)))


def test_frechet_distance_of_shifted_and_of_scaled_gaussians_is_the_closed_form():
    features = np.random.default_rng(0).normal(size=(5_000, 8))
    assert metrics.frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet_distance(features, features + 3) == pytest.approx(8 * 9)
    centred = features - features.mean(axis=0)
    assert metrics.frechet_distance(centred, 2 * centred) == pytest.approx(np.cov(features.T).trace())  # (2 - 1)² tr C


def test_frechet_distance_agrees_with_the_matrix_square_root():
    from scipy.linalg import sqrtm

    random = np.random.default_rng(1)
    a, b = (random.normal(size=(500, 5)) @ random.normal(size=(5, 5)) for _ in range(2))
    expected = np.square(a.mean(0) - b.mean(0)).sum()
    expected += np.trace(np.cov(a.T) + np.cov(b.T) - 2 * sqrtm(np.cov(a.T) @ np.cov(b.T)).real)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected)
    assert metrics.frechet_distance(b, a) == pytest.approx(expected)


def test_frechet_distance_stands_dead_features():
    features = np.random.default_rng(0).normal(size=(100, 4))
    features[:, 2] = 0
    assert metrics.frechet_distance(features, features) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_needs_enough_images_and_equal_features():
    with pytest.raises(ValueError, match="8 vectors of 8 features"):
        metrics.frechet_distance(np.zeros((8, 8)), np.zeros((20, 8)))
    with pytest.raises(ValueError, match="same classifier"):
        metrics.frechet_distance(np.zeros((20, 8)), np.zeros((20, 9)))
