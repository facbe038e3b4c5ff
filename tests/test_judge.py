import numpy as np
import pytest

from utils.course import judge, pretrained, results
from utils.course.session import COURSE, session


@pytest.fixture
def committed(monkeypatch):
    monkeypatch.setattr(pretrained, "PRETRAINED", COURSE / "data" / "pretrained")
    monkeypatch.setattr(results, "RESULTS", COURSE / "data" / "results.json")
    return judge.load_judge()


def test_it_is_small():
    assert (COURSE / "data" / "pretrained" / "judge.npz").stat().st_size <= 2e6


def test_it_recognizes_test_images(committed, real_mnist):
    images, labels = real_mnist.test
    classes, confidence = committed.classify(images)
    assert (classes == labels).mean() >= 0.994
    assert confidence.shape == labels.shape and 0.1 < confidence.min() and confidence.max() <= 1
    assert confidence[classes == labels].mean() > confidence[classes != labels].mean()


def test_frechet_grows_as_images_get_worse(committed, real_mnist):
    images, _ = real_mnist.test
    half, other = images[:1_000], images[1_000:2_000]
    noise = np.random.default_rng(0).normal(size=half.shape)
    distances = [committed.frechet((half + s * noise).clip(0, 1).astype(np.float32), other) for s in (0, 0.2, 0.5)]
    assert distances == sorted(distances) and distances[1] > 2 * distances[0]


def test_frechet_sees_a_missing_class(committed, real_mnist):
    images, labels = real_mnist.test
    half, other = images[:1_000], images[1_000:2_000]
    assert committed.frechet(half[labels[:1_000] != 1], other) > 2 * committed.frechet(half, other)


def test_it_is_the_same_in_every_mode_and_says_how_good_it_is(committed, images, capsys):
    session.mode = "quick"  # an instrument is not trained by those who measure with it
    again = judge.load_judge()
    assert (again.features(images) == committed.features(images)).all()
    assert "% of the MNIST test images right" in capsys.readouterr().out


def test_without_its_files_it_says_what_to_do():
    with pytest.raises(ValueError, match=r"judge cannot be loaded: there is no judge.json in data/pretrained"):
        judge.load_judge()
