import numpy as np
import pytest
from scipy.stats import spearmanr

from utils import metrics
from utils.drawn.digits import draw_digits
from utils.drawn.factors import mutual_information_gap, slant, stroke_width


def test_sse_sums_over_pixels_and_averages_over_images():
    black, white = np.zeros((3, 28, 28, 1), np.float32), np.ones((3, 28, 28, 1), np.float32)
    assert metrics.sse(black, white) == 784
    assert metrics.sse(black, black) == 0
    off = black + np.array([1, 2, 3], np.float32).reshape(3, 1, 1, 1)
    assert metrics.sse(off, black) == metrics.sse(black, off) == 784 * (1 + 4 + 9) / 3  # of any range


@pytest.mark.parametrize("dtype", [np.uint8, bool, np.int64, np.float16, np.float64])
def test_figures_do_not_depend_on_the_type_of_the_images(dtype, images):
    black, white = np.zeros((1, 28, 28, 1), dtype), np.ones((1, 28, 28, 1), dtype)
    assert metrics.sse(black, white) == metrics.sse(white, black) == 784
    assert metrics.psnr(black, white) == metrics.psnr(white, black) == 0
    one, other = images[:5] > 0.5, images[5:10] > 0.5
    for measure in (metrics.sse, metrics.psnr, metrics.ssim):
        expected = measure(one.astype(np.float32), other.astype(np.float32))
        assert measure(one.astype(dtype), other.astype(dtype)) == expected


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


def test_an_exact_reconstruction_has_an_infinite_psnr(images):
    assert metrics.psnr(images, images) == np.inf


@pytest.mark.parametrize("measure", [metrics.sse, metrics.psnr, metrics.ssim])
def test_pairs_that_cannot_be_compared(measure, images):
    with pytest.raises(ValueError, match=r"shape \(2, 28, 28, 1\), but reconstructions \(28, 28, 1\)"):
        measure(np.zeros((2, 28, 28, 1)), np.zeros((28, 28, 1)))  # would broadcast
    with pytest.raises(ValueError, match="the selection is empty"):
        measure(images[:0], images[:0])
    broken = np.where(images > 0.5, np.nan, images)
    with pytest.raises(ValueError, match="images hold values that are not finite"):
        measure(broken, images)
    with pytest.raises(ValueError, match="reconstructions hold values that are not finite"):
        measure(images, broken)


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ssim])
def test_figures_of_a_range(measure, images):
    with pytest.raises(ValueError, match=r"images have values from 0 to 255.*divide by 255"):
        measure((255 * images).astype(np.uint8), images)
    with pytest.raises(ValueError, match=r"reconstructions have values from 0 to 255.*divide by 255"):
        measure(images, 255 * images)
    with pytest.raises(ValueError, match="images have values from -1 to 1"):
        measure(2 * images - 1, images)
    with pytest.raises(ValueError, match=r"shape \(64, 28, 28\): give \(n, height, width, channels\)"):
        measure(images[..., 0], images[..., 0])
    assert np.isfinite(measure(images, 1.2 * images - 0.1))  # as a linear decoder may leave the range


def test_ssim_needs_room_for_its_window():
    with pytest.raises(ValueError, match="at least 11 × 11 pixels"):
        metrics.ssim(np.zeros((1, 10, 28, 1)), np.zeros((1, 10, 28, 1)))


def test_precision_punishes_bad_samples_and_recall_missing_ones():
    random = np.random.default_rng(0)
    real = np.concatenate([random.normal(0, 1, (1_500, 4)), random.normal(20, 1, (1_500, 4))])
    same = np.concatenate([random.normal(0, 1, (1_500, 4)), random.normal(20, 1, (1_500, 4))])
    precision, recall = metrics.precision_recall(real, same)
    assert precision > 0.9 and recall > 0.9
    half = np.concatenate([same[:1_500], random.normal(-20, 1, (1_500, 4))])  # one kind is missing, another is wrong
    assert metrics.precision_recall(real, half) == pytest.approx((precision / 2, recall / 2), abs=0.03)
    assert metrics.precision_recall(real, real) == (1, 1)


def test_a_ball_reaches_to_the_neighbor_that_was_asked_for():
    real, generated = np.array([[0.0], [1.0], [3.0]]), np.array([[-0.9], [4.5], [100.0]])
    assert metrics.precision_recall(real, generated, neighbors=1)[0] == pytest.approx(2 / 3)  # radii 1, 1 and 2
    assert metrics.precision_recall(real, generated + 2.6, neighbors=2)[0] == pytest.approx(1 / 3)  # radii 3, 2 and 3


def test_frechet_distance_of_shifted_and_of_scaled_gaussians_is_the_closed_form():
    features = np.random.default_rng(0).normal(size=(5_000, 8))
    assert metrics.frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert metrics.frechet_distance(features, features + 3) == pytest.approx(8 * 9)
    centered = features - features.mean(axis=0)
    assert metrics.frechet_distance(centered, 2 * centered) == pytest.approx(
        np.cov(features.T).trace()
    )  # (2 - 1)² tr C


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


def test_frechet_distances_of_real_images_are_those_of_random_blocks_and_of_unseen_images():
    random = np.random.default_rng(0)
    training, validation, test = (
        random.normal(size=(500, 2)),
        random.normal(1, size=(100, 2)),
        random.normal(size=(100, 2)),
    )
    ordered = training[np.argsort(training[:, 0])]  # blocks in this order would be far from the test images
    known, unseen = metrics.frechet_of_real_images(lambda images: images, ordered, validation, test).values()
    assert 0 < known < 0.2 and unseen == metrics.frechet_distance(validation, test) > 1


def test_frechet_distance_needs_enough_images():
    with pytest.raises(ValueError, match="8 vectors do not determine the covariance of 8 features"):
        metrics.frechet_distance(np.zeros((8, 8)), np.zeros((20, 8)))


def test_frechet_distance_of_one_feature_and_of_bytes():
    random = np.random.default_rng(0)
    feature = random.normal(size=(50, 1))
    assert metrics.frechet_distance(feature, feature + 2) == pytest.approx(4)
    counts = random.integers(0, 256, (2, 50, 3)).astype(np.uint8)
    assert metrics.frechet_distance(*counts) == pytest.approx(metrics.frechet_distance(*counts.astype(float)))


@pytest.mark.parametrize("measure", [metrics.frechet_distance, metrics.precision_recall])
def test_features_that_cannot_be_compared(measure):
    for a, b in (((20, 8), (20, 9)), ((20,), (20,)), ((20, 8), (20,))):
        with pytest.raises(ValueError, match="of one classifier"):
            measure(np.zeros(a), np.zeros(b))
    with pytest.raises(ValueError, match="features hold values that are not finite"):
        measure(np.zeros((20, 8)), np.full((20, 8), np.nan))
    with pytest.raises(ValueError, match="use more images"):
        measure(np.zeros((20, 8)), np.zeros((0, 8)))


def test_precision_recall_needs_as_many_images_as_neighbors():
    with pytest.raises(ValueError, match="With 3 vectors, none has 3 neighbors: use more images"):
        metrics.precision_recall(np.zeros((9, 2)), np.zeros((3, 2)))
    with pytest.raises(ValueError, match="neighbors is 0: choose at least 1"):
        metrics.precision_recall(np.zeros((9, 2)), np.zeros((9, 2)), neighbors=0)


@pytest.fixture
def factors():
    """Three independent factors of 10,000 images: two continuous ones and a yes or no."""
    random = np.random.default_rng(0)
    draws = {"a": random.uniform(-1, 1, 10_000), "b": random.uniform(0, 5, 10_000)}
    return draws | {"c": random.integers(0, 2, 10_000).astype(np.float32)}


def gaps(codes, factors):
    return np.array(list(mutual_information_gap(np.stack(list(codes), axis=1), factors).values()))


def test_the_gap_is_one_for_the_factors_and_zero_for_noise(factors):
    assert list(mutual_information_gap(np.stack(list(factors.values()), axis=1), factors)) == list(factors)
    assert (gaps(factors.values(), factors) > 0.98).all() and (gaps(factors.values(), factors) <= 1).all()
    noise = np.random.default_rng(1).normal(size=(5, 10_000))
    assert (gaps(noise, factors) >= 0).all() and (gaps(noise, factors) < 0.01).all()


def test_the_gap_of_a_yes_or_no_is_the_share_of_its_entropy(factors):
    half_told = factors["c"].copy()
    half_told[::2] = 2  # says nothing of every other image
    noise = np.random.default_rng(1).normal(size=10_000)
    assert gaps([half_told, noise], factors)[2] == pytest.approx(0.5, abs=0.02)


def test_the_gap_is_zero_where_two_latents_share_a_factor(factors):
    a, b, c = factors["a"], factors["b"] * 0.4 - 1, factors["c"]
    turned = gaps([(a + b) / np.sqrt(2), (a - b) / np.sqrt(2), c], factors)
    assert (turned[:2] < 0.03).all() and turned[2] > 0.98
    doubled = gaps([a, b, c, 3 * a + 1], factors)
    assert doubled[0] == pytest.approx(0, abs=0.01) and doubled[1] > 0.98


def test_the_gap_does_not_depend_on_order_scale_and_sign_of_the_latents(factors):
    random = np.random.default_rng(2)
    codes = [values + random.normal(scale=0.2, size=10_000) for values in factors.values()]
    moved = [-0.3 * codes[2] + 7, 2 * codes[0], np.full(10_000, 4.0), codes[1] - 100]  # and one that fell silent
    np.testing.assert_allclose(gaps(moved, factors), gaps(codes, factors), atol=0.02)


@pytest.mark.parametrize(
    ("latents", "changes", "message"),
    [
        (1, {}, r"shape \(10000, 1\).*at least two latents"),
        (2, {"c": np.ones(10_000)}, "c is 1.0 in every image"),
        (2, {"c": np.ones(10_000, bool)}, "c is True in every image"),
        (2, {"a": np.full(10_000, np.nan)}, "values of a hold values that are not finite"),
        (2, {"b": np.zeros(9_000)}, r"b has shape \(9000,\).*10000 images"),
    ],
)
def test_a_gap_that_makes_no_sense(factors, latents, changes, message):
    with pytest.raises(ValueError, match=message):
        mutual_information_gap(np.random.default_rng(0).normal(size=(10_000, latents)), factors | changes)


def test_the_gap_of_codes_that_are_none(factors):
    with pytest.raises(ValueError, match=r"shape \(0, 2\): give \(n, latent_dim\), n > 0"):
        mutual_information_gap(np.zeros((0, 2)), {"a": np.zeros(0)})
    with pytest.raises(ValueError, match="codes hold values that are not finite"):
        mutual_information_gap(np.full((10_000, 2), np.nan), factors)


def bar(width, shear=0.0):
    """An upright bar, 20 pixels long, sheared about its middle; edges as grey as their share of the pixel."""
    y, x = np.mgrid[:28, :28]
    away = np.abs(x - 13.5 - shear * (13.5 - y))
    return (width / 2 + 0.5 - away).clip(0, 1) * (np.abs(y - 13.5) < 10)


@pytest.mark.parametrize("shear", [-0.5, 0, 0.25, 1 / 3])
def test_slant_of_a_bar_is_its_shear(shear):
    images = np.stack([bar(width, shear) for width in (1, 2, 4)])
    np.testing.assert_allclose(slant(images), shear, atol=0.005)
    assert slant(images[..., None] * 0.3) == pytest.approx(slant(images))  # pale ink has the same slant


@pytest.mark.parametrize("width", [1, 2, 3, 4.5])
def test_stroke_width_of_a_bar_is_its_width(width):
    upright = bar(width)
    images = np.stack([upright, upright.T, np.roll(upright, 4, axis=1)])
    np.testing.assert_allclose(stroke_width(images[..., None]), width, rtol=0.12)


def test_stroke_width_of_a_diagonal_and_of_a_dot():
    dot = np.zeros((28, 28))
    dot[10, 10] = 1
    assert stroke_width(np.stack([dot, np.eye(28)])) == pytest.approx([1, 1 / np.sqrt(2)], abs=0.02)


def test_slant_and_stroke_width_of_drawn_digits_follow_what_was_drawn():
    drawn, labels, factors = draw_digits(3000)
    images = drawn / 255
    assert spearmanr(stroke_width(images), factors["width"]).statistic > 0.93
    assert np.abs(stroke_width(images) / factors["width"] - 1).mean() < 0.1
    leaning = factors["slant"] + np.tan(np.deg2rad(factors["rotation"]))  # a rotation slants, too
    assert spearmanr(slant(images), leaning).statistic > 0.85
    for digit, least in ((0, 0.93), (1, 0.95), (4, 0.7), (8, 0.95)):  # a 4 leans with the way it is written, too
        some = labels == digit
        assert spearmanr(slant(images[some]), leaning[some]).statistic > least


@pytest.mark.parametrize("measure", [slant, stroke_width])
def test_images_without_meaning_as_ink_are_refused(measure):
    blank = np.stack([bar(2), np.zeros((28, 28)), np.zeros((28, 28))])
    with pytest.raises(ValueError, match=r"Image 1 has no ink \(2 of 3 are blank\)"):
        measure(blank)
    with pytest.raises(ValueError, match=r"from 0 to 255.*divide by 255"):
        measure(blank * 255)
    with pytest.raises(ValueError, match="not finite"):
        measure(blank + np.nan)
    with pytest.raises(ValueError, match=r"shape \(28, 28\): give"):
        measure(bar(2))
    assert measure(blank[:0]).shape == measure(blank[:0, ..., None]).shape == (0,)
    binary = np.stack([bar(2), bar(4)]) > 0.5
    assert (measure(binary) == measure(binary.astype(float))).all()


def test_slant_needs_two_rows():
    line = np.zeros((2, 28, 28))
    line[0], line[1, 20, 4:20] = bar(2), 0.7
    with pytest.raises(ValueError, match="Image 1 has ink in one row"):
        slant(line)
