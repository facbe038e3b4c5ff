import numpy as np
import pytest
from sklearn.svm import SVC

from utils.drawn.digits import draw_digits


def test_same_seed_same_bytes():
    first, again, other = (draw_digits(500, seed) for seed in (7, 7, 8))
    assert first[0].tobytes() == again[0].tobytes() and (first[1] == again[1]).all()
    assert first[0].tobytes() != other[0].tobytes()
    for name, values in first[2].items():
        assert (values == again[2][name]).all()


def test_shapes_types_and_classes():
    images, labels, factors = draw_digits(1000)
    assert images.shape == (1000, 28, 28) and images.dtype == np.uint8
    assert set(labels) == set(range(10))
    assert images.max() == 255 and images.min() == 0
    assert all(values.shape == (1000,) for values in factors.values())


def test_at_least_one_digit():
    with pytest.raises(ValueError, match="count is 0: draw at least one digit"):
        draw_digits(0)


def test_factors_are_those_of_the_picture():
    images, labels, factors = draw_digits(3000)
    ink = images / images.sum(axis=(1, 2), keepdims=True)
    y, x = np.mgrid[:28, :28]
    center_x, center_y = (ink * x).sum(axis=(1, 2)), (ink * y).sum(axis=(1, 2))
    # Not exactly, because the ink counts only once where strokes cross.
    assert np.corrcoef(center_x, factors["shift_x"])[0, 1] > 0.9
    assert np.corrcoef(center_y, factors["shift_y"])[0, 1] > 0.9
    dx, dy = x - center_x[:, None, None], y - center_y[:, None, None]
    leaning = -(ink * dx * dy).sum(axis=(1, 2)) / (ink * dy**2).sum(axis=(1, 2))
    ones = labels == 1
    straight = factors["slant"] - np.tan(np.deg2rad(-factors["rotation"]))  # a rotation slants a one as well
    assert np.corrcoef(leaning[ones], straight[ones])[0, 1] > 0.95
    area = factors["width"] * factors["size"]  # of a straight line
    assert np.corrcoef(images.mean(axis=(1, 2))[ones], area[ones])[0, 1] > 0.9


def test_a_classifier_of_its_own_recognizes_it():
    images, labels, _ = draw_digits(6000)
    pixels = images.reshape(len(images), -1) / 255
    machine = SVC(C=10, gamma=0.02).fit(pixels[:4000], labels[:4000])
    assert machine.score(pixels[4000:], labels[4000:]) >= 0.97


def test_a_classifier_of_real_mnist_recognizes_it(real_mnist):
    pixels, labels = real_mnist.train
    machine = SVC(C=10, gamma=0.02).fit(pixels[:4000].reshape(4000, -1), labels[:4000])
    drawn, classes, _ = draw_digits(1500)
    right = machine.predict(drawn.reshape(1500, -1) / 255) == classes
    assert right.mean() >= 0.90
    assert min(right[classes == digit].mean() for digit in range(10)) >= 0.80
