import time

import numpy as np
from sklearn.svm import SVC

from utils.synthetic import draw_digits


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


def test_fast_enough():
    draw_digits(100)
    start = time.process_time()
    draw_digits(5000)
    assert time.process_time() - start < 1  # of one core, whatever else the machine does


def test_factors_are_those_of_the_picture():
    images, labels, factors = draw_digits(3000)
    ink = images / images.sum(axis=(1, 2), keepdims=True)
    y, x = np.mgrid[:28, :28]
    centre_x, centre_y = (ink * x).sum(axis=(1, 2)), (ink * y).sum(axis=(1, 2))
    # Not exactly: where strokes cross, the ink of both counts once.
    assert np.corrcoef(centre_x, factors["shift_x"])[0, 1] > 0.9
    assert np.corrcoef(centre_y, factors["shift_y"])[0, 1] > 0.9
    dx, dy = x - centre_x[:, None, None], y - centre_y[:, None, None]
    leaning = -(ink * dx * dy).sum(axis=(1, 2)) / (ink * dy**2).sum(axis=(1, 2))
    ones = labels == 1
    straight = factors["slant"] - np.tan(np.deg2rad(-factors["rotation"]))  # a turn leans a one as well
    assert np.corrcoef(leaning[ones], straight[ones])[0, 1] > 0.95
    area = factors["width"] * factors["size"]  # of a straight line
    assert np.corrcoef(images.mean(axis=(1, 2))[ones], area[ones])[0, 1] > 0.9


def test_a_classifier_of_its_own_recognises_it():
    images, labels, _ = draw_digits(6000)
    pixels = images.reshape(len(images), -1) / 255
    machine = SVC(C=10, gamma=0.02).fit(pixels[:4000], labels[:4000])
    assert machine.score(pixels[4000:], labels[4000:]) >= 0.97


def test_a_classifier_of_real_mnist_recognises_it(real_mnist):
    pixels, labels = real_mnist.train
    machine = SVC(C=10, gamma=0.02).fit(pixels[:8000].reshape(8000, -1), labels[:8000])
    drawn, classes, _ = draw_digits(3000)
    right = machine.predict(drawn.reshape(3000, -1) / 255) == classes
    assert right.mean() >= 0.90
    assert min(right[classes == digit].mean() for digit in range(10)) >= 0.80
