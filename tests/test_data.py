import hashlib
import http.server
import io
import os
import pickle
import socket
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from utils import data
from utils.course import downloads
from utils.course.session import session
from utils.drawn.digits import draw_digits

SHAPES = {"x_train": (60_000, 28, 28), "y_train": (60_000,), "x_test": (10_000, 28, 28), "y_test": (10_000,)}


@pytest.fixture(scope="module")
def mnist_arrays():
    """Arrays in MNIST's layout."""
    arrays = {name: np.zeros(shape, np.uint8) for name, shape in SHAPES.items()}
    arrays["x_train"][:, 0, 0] = np.arange(60_000) % 256
    arrays["y_train"][:] = np.arange(60_000) % 10
    return arrays


@pytest.fixture(scope="module")
def payload(mnist_arrays):
    return archive(mnist_arrays)


@pytest.fixture
def mnist_file(mnist_arrays, payload, monkeypatch):
    """The bytes of such a file, accepted as MNIST."""
    monkeypatch.setattr(downloads, "CONTENT_SHA256", downloads.checksum(mnist_arrays))
    monkeypatch.setattr(downloads, "FILE_SHA256", hashlib.sha256(payload).hexdigest())
    return payload


def archive(arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(downloads, "MNIST_URL", "http://127.0.0.1:9/mnist.npz")  # nobody listens there
    monkeypatch.delenv("MNIST_PATH", raising=False)
    session.mode = "quick"


@pytest.fixture
def server(monkeypatch):
    """Serves `server.answer`: (status, bytes announced, bytes sent); `silent_after` names where it stops for good."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, announced, sent = self.server.answer
            if self.server.silent_after == "nothing":
                return self.server.over.wait(30)
            self.send_response(status)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.write(sent)
            if self.server.silent_after == "half":
                self.wfile.flush()
                self.server.over.wait(30)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        running.silent_after, running.over = None, threading.Event()
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(downloads, "MNIST_URL", f"http://127.0.0.1:{running.server_port}/mnist.npz")
        monkeypatch.delenv("MNIST_PATH", raising=False)
        yield running
        running.over.set()
        running.shutdown()


def test_real_mnist_is_split_as_documented(real_mnist):
    for part, size in (("train", 50_000), ("validation", 10_000), ("test", 10_000)):
        images, labels = getattr(real_mnist, part)
        assert images.shape == (size, 28, 28, 1) and images.dtype == np.float32
        assert labels.shape == (size,) and labels.dtype == np.int32
        assert images.min() == 0 and images.max() == 1
    assert list(real_mnist.train[1][:5]) == [5, 0, 4, 1, 9]
    assert real_mnist.source == "MNIST" and session.comparable


def test_mnist_path_comes_first(mnist_file, tmp_path, monkeypatch, capsys):
    path = tmp_path / "내 파일" / "given.npz"
    path.parent.mkdir()
    path.write_bytes(mnist_file)
    monkeypatch.setenv("MNIST_PATH", str(path))
    digits = data.load_mnist()
    assert capsys.readouterr().out == (
        "Found MNIST in the file that MNIST_PATH names.\n"
        "MNIST: 50,000 training, 10,000 validation and 10,000 test images.\n"
    )
    assert (digits.train[0][:256, 0, 0, 0] == np.arange(256, dtype=np.float32) / 255).all()
    assert (digits.validation[1] == np.arange(50_000, 60_000) % 10).all()


def test_mnist_path_may_be_relative_to_the_course(mnist_file, tmp_path, monkeypatch):
    (tmp_path / "given.npz").write_bytes(mnist_file)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(downloads, "COURSE", tmp_path)
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("MNIST_PATH", "given.npz")
    assert data.load_mnist().source == "MNIST"


def test_missing_mnist_path_is_an_error(monkeypatch):
    monkeypatch.setenv("MNIST_PATH", "nowhere.npz")
    with pytest.raises(FileNotFoundError, match=r"MNIST_PATH is .*nowhere.npz.*correct it, or unset it"):
        data.load_mnist()


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "pickle", "missing", "shape", "dtype", "checksum"])
def test_a_wrong_file_is_named_and_left_alone(damage, mnist_arrays, mnist_file, tmp_path, monkeypatch):
    arrays = dict(mnist_arrays)
    words = "cannot be read as .npz"
    if damage == "missing":
        del arrays["y_test"]
        words = "y_test is not a file in the archive"
    elif damage == "shape":
        arrays["x_test"] = arrays["x_test"][:9000]
        words = "is not MNIST: its checksum differs"
    elif damage == "dtype":
        arrays["x_train"] = arrays["x_train"].astype(np.float16)
        words = "is not MNIST: its checksum differs"
    elif damage == "checksum":
        arrays["x_train"] = arrays["x_train"] + (np.arange(60_000) == 0).astype(np.uint8)[:, None, None]
        words = "is not MNIST: its checksum differs"
    elif damage == "pickle":
        arrays = {name: np.array([{}], object) for name in arrays}
    content = {"truncated": mnist_file[:5000], "text": b"<html>404</html>", "empty": b""}.get(damage)
    content = archive(arrays) if content is None else content
    path = tmp_path / "given.npz"
    path.write_bytes(content)
    monkeypatch.setenv("MNIST_PATH", str(path))
    with pytest.raises(ValueError, match=words):
        data.load_mnist()
    assert path.read_bytes() == content


def test_download_is_kept_and_found_again(server, mnist_file, capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(downloads, "CACHE", tmp_path / "내 강의 자료" / "mnist.npz")
    server.answer = 200, len(mnist_file), mnist_file
    data.load_mnist()
    sizes = "MNIST: 50,000 training, 10,000 validation and 10,000 test images.\n"
    assert capfd.readouterr() == (f"Downloaded MNIST and saved it as data/mnist.npz.\n{sizes}", "")
    server.answer = 404, 0, b""
    data.load_mnist()
    assert capfd.readouterr() == (f"Found MNIST in data/mnist.npz.\n{sizes}", "")
    assert [path.name for path in downloads.CACHE.parent.iterdir()] == ["mnist.npz"]
    assert downloads.CACHE.read_bytes() == mnist_file


@pytest.mark.parametrize("fault", ["cut", "404", "garbage", "silent", "stalled"])
def test_failed_download_leaves_nothing_and_the_course_goes_on(fault, server, mnist_file, monkeypatch, capfd):
    monkeypatch.setattr(downloads, "SECONDS_TO_ANSWER", 0.2)
    session.mode = "quick"
    half = mnist_file[: len(mnist_file) // 2]
    server.answer, server.silent_after, reason = {
        "cut": ((200, len(mnist_file), half), None, "incomplete"),
        "404": ((404, 0, b""), None, "404"),
        "garbage": ((200, 4, b"oops"), None, "hash does not match"),
        "silent": ((200, len(mnist_file), mnist_file), "nothing", "timed out"),
        "stalled": ((200, len(mnist_file), half), "half", "timed out"),
    }[fault]
    assert data.load_mnist().source == "stand-in digits"
    output, errors = capfd.readouterr()
    first, second, third = output.splitlines()
    assert first.startswith("MNIST could not be downloaded (") and reason in first and "do not compare" in second
    assert third == "stand-in digits: 2,000 training, 300 validation and 300 test images." and not errors
    assert not downloads.CACHE.parent.exists()
    assert not session.comparable and socket.getdefaulttimeout() is None


def test_damaged_cache_is_set_aside_and_replaced(server, mnist_file, capsys):
    downloads.CACHE.parent.mkdir()
    downloads.CACHE.write_bytes(mnist_file[:1000])
    server.answer = 200, len(mnist_file), mnist_file
    assert data.load_mnist().source == "MNIST"
    assert "The file was renamed to mnist.npz.damaged." in capsys.readouterr().out
    assert downloads.CACHE.read_bytes() == mnist_file
    assert downloads.CACHE.with_name("mnist.npz.damaged").read_bytes() == mnist_file[:1000]


def test_folder_that_cannot_be_written(server, mnist_file, tmp_path, capsys):
    (tmp_path / "data").write_text("a file where the folder should be")  # root ignores permission bits
    server.answer = 200, len(mnist_file), mnist_file
    assert data.load_mnist().source == "MNIST"
    assert "data/mnist.npz cannot be written" in capsys.readouterr().out


def test_cache_that_is_a_folder(server, mnist_file, capsys):
    downloads.CACHE.mkdir(parents=True)
    server.answer = 200, len(mnist_file), mnist_file
    assert data.load_mnist().source == "MNIST"
    assert "data/mnist.npz cannot be written" in capsys.readouterr().out


def test_stand_in_without_network(no_network, monkeypatch):
    monkeypatch.setenv("MNIST_PATH", "")  # counts as unset
    digits = data.load_mnist()
    assert digits.source == "stand-in digits" == session.dataset
    drawn, labels, _ = draw_digits(2600, seed=0)
    for part, first, last in (("train", 0, 2000), ("validation", 2000, 2300), ("test", 2300, 2600)):
        images, classes = getattr(digits, part)
        assert (images[..., 0] == drawn[first:last].astype(np.float32) / 255).all() and (
            classes == labels[first:last]
        ).all()
    assert len(session.dataset_checksum) == 64


FUZZ = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


class Boom:
    """Pickled, it would run code when it is read."""

    def __reduce__(self):
        return os.mkdir, ("it_ran",)


SMALL = {name: np.zeros((3, *shape[1:]), np.uint8) for name, shape in SHAPES.items()}


@FUZZ
@given(
    content=st.binary(max_size=500)
    | st.tuples(
        st.sampled_from(sorted(SMALL)),
        st.sampled_from([np.ones(5), np.zeros((2, 2), np.uint8), np.array([Boom()])]),
    ).map(lambda change: archive(SMALL | dict([change])))
)
@example(content=archive(SMALL)[:-40])
@example(content=pickle.dumps(Boom()))
def test_any_bytes_as_mnist_are_named_and_left_alone(content, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "any.npz"
    path.write_bytes(content)
    monkeypatch.setenv("MNIST_PATH", str(path))
    with pytest.raises(ValueError, match=r"MNIST_PATH is .*any.npz', which (cannot be read as .npz|is not MNIST)"):
        data.load_mnist()
    assert path.read_bytes() == content
    assert [found.name for found in tmp_path.iterdir()] == ["any.npz"]


NOISES = {
    "gaussian": (data.add_gaussian_noise, {"sigma": 0.5}),
    "dropout": (data.drop_pixels, {"rate": 0.3}),
    "salt and pepper": (data.add_salt_and_pepper, {"rate": 0.3}),
    "binarization": (data.binarize, {}),
}


@pytest.mark.parametrize("name", NOISES)
def test_noise_is_seeded_pure_and_stays_in_range(name, images):
    noise, parameters = NOISES[name]
    before = images.copy()
    noisy = noise(images, seed=1, **parameters)
    assert (images == before).all()
    assert noisy.dtype == np.float32 and noisy.shape == images.shape
    assert noisy.min() >= 0 and noisy.max() <= 1
    assert (noisy == noise(images, seed=1, **parameters)).all()
    assert (noisy != noise(images, seed=2, **parameters)).any()
    if parameters:
        assert (noise(images, seed=1, **dict.fromkeys(parameters, 0)) == images).all()


@pytest.mark.parametrize("name", NOISES)
def test_noise_takes_other_types_and_empty_selections(name, images):
    noise, parameters = NOISES[name]
    white = images > 0.5
    expected = noise(white.astype(np.float32), seed=1, **parameters)
    for dtype in (bool, np.uint8, np.int64, np.float64):
        noisy = noise(white.astype(dtype), seed=1, **parameters)
        assert noisy.dtype == np.float32 and (noisy == expected).all()
    assert noise(images[:0], seed=1, **parameters).shape == (0, 28, 28, 1)


@pytest.mark.parametrize("name", NOISES)
def test_noise_refuses_what_is_not_in_range(name, images):
    noise, parameters = NOISES[name]
    with pytest.raises(ValueError, match="not finite"):
        noise(np.where(images > 0.5, np.nan, images), seed=1, **parameters)
    if name == "dropout":  # which keeps any range
        assert (noise(255 * images, seed=1, **parameters) == 255 * noise(images, seed=1, **parameters)).all()
        return
    for wrong in ((255 * images).astype(np.uint8), 255 * images):
        with pytest.raises(ValueError, match=r"from 0 to 255, but \[0, 1\] is needed: divide by 255"):
            noise(wrong, seed=1, **parameters)
    with pytest.raises(ValueError, match="from -1 to 1"):
        noise(2 * images - 1, seed=1, **parameters)


def test_noise_does_what_it_says():
    gray = np.full((100, 28, 28, 1), 0.5, np.float32)
    assert data.add_gaussian_noise(gray, 0.1, seed=0).std() == pytest.approx(0.1, rel=0.01)
    dropped = data.drop_pixels(gray, 0.3, seed=0)
    assert set(np.unique(dropped)) == {0, 0.5}
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.01)
    peppered = data.add_salt_and_pepper(gray, 0.3, seed=0)
    assert (peppered == 0).mean() == pytest.approx(0.15, abs=0.01)
    assert (peppered == 1).mean() == pytest.approx(0.15, abs=0.01)


def test_every_image_may_have_its_own_noise_level(images):
    sigma = np.linspace(0, 0.5, len(images)).reshape(-1, 1, 1, 1)
    off = np.abs(data.add_gaussian_noise(images, sigma, seed=0) - images).mean(axis=(1, 2, 3))
    assert off[0] == 0 and off[-1] > off[16] > 0


@pytest.mark.parametrize(
    ("noise", "strength", "message"),
    [
        (data.add_gaussian_noise, -0.1, "sigma is -0.1: a standard deviation is 0 or more"),
        (data.add_gaussian_noise, np.nan, "sigma is nan"),
        (data.add_gaussian_noise, np.array([0.1, -0.1]).reshape(2, 1, 1, 1), "a standard deviation is 0 or more"),
        (data.drop_pixels, 1.1, "rate is 1.1: it is a fraction of the pixels, between 0 and 1"),
        (data.add_salt_and_pepper, -0.5, "rate is -0.5"),
        (data.add_salt_and_pepper, np.nan, "rate is nan"),
    ],
)
def test_impossible_strengths(noise, strength, message, images):
    with pytest.raises(ValueError, match=message):
        noise(images[:2], strength, seed=0)


def test_binarization_keeps_the_mean(images):
    once = data.binarize(images, seed=0)
    assert set(np.unique(once)) == {0, 1}
    average = np.mean([data.binarize(images, seed=seed) for seed in range(400)], axis=0)
    assert np.abs(average - images).max() < 0.15  # six standard deviations of 400 draws


def test_noisy_pairs_cover_every_image_once_an_epoch(images):
    pairs = data.NoisyPairs(images, data.drop_pixels, batch_size=24, seed=0, rate=0.5)
    assert [len(pairs[i][1]) for i in range(len(pairs))] == [24, 24, 16]
    clean = np.concatenate([pairs[i][1] for i in range(len(pairs))])
    assert sorted(image.sum() for image in clean) == sorted(image.sum() for image in images)
    assert not (clean == images).all()  # shuffled


def test_noisy_pairs_draw_new_noise_and_a_new_order_in_every_epoch(images):
    pairs, same = (data.NoisyPairs(images, data.drop_pixels, 64, seed=0, rate=0.5) for _ in range(2))
    noisy, clean = pairs[0]
    assert (noisy == same[0][0]).all() and (clean == same[0][1]).all()
    assert ((noisy == clean) | (noisy == 0)).all()
    pairs.on_epoch_end()
    again, clean_again = pairs[0]
    assert not (clean_again == clean).all()
    back = [np.flatnonzero((clean_again == image).all(axis=(1, 2, 3)))[0] for image in clean]
    assert not (again[back] == noisy).all()


def test_noisy_pairs_are_the_batches_of_the_first_edition(images):
    pairs = data.NoisyPairs(images, data.add_gaussian_noise, 24, seed=7, sigma=0.5)
    pairs.on_epoch_end()
    noisy, clean = pairs[1]
    assert (clean == images[np.random.default_rng([7, 1]).permutation(64)[24:48]]).all()
    normal = np.random.default_rng((7, 1, 1)).standard_normal((24, 28, 28, 1), dtype=np.float32)
    assert (noisy == (clean + np.float32(0.5) * normal).clip(0, 1)).all()
    binarized = data.DynamicallyBinarized(images, 24, seed=7)
    uniform = np.random.default_rng((7, 0, 2)).random((16, 28, 28, 1), dtype=np.float32)
    order = np.random.default_rng([7, 0]).permutation(64)
    assert (binarized[2] == (uniform < images[order[48:]])).all()


def test_noisy_pairs_know_what_decides_them(images):
    pairs = data.NoisyPairs(images, data.add_gaussian_noise, 24, seed=3, sigma=0.25)
    assert pairs.images is images and pairs.noise is data.add_gaussian_noise and pairs.parameters == {"sigma": 0.25}
    assert (pairs.batch_size, pairs.seed) == (24, 3)
    binarized = data.DynamicallyBinarized(images, 32, seed=1)
    assert binarized.noise is data.binarize and binarized.parameters == {}


def test_noisy_pairs_refuse_at_once_what_would_fail_in_an_epoch(images):
    with pytest.raises(ValueError, match="batch_size is 0: a batch has at least one image"):
        data.NoisyPairs(images, data.drop_pixels, 0, seed=0, rate=0.5)
    with pytest.raises(TypeError, match="sigma"):
        data.NoisyPairs(images, data.drop_pixels, 8, seed=0, sigma=0.5)
    with pytest.raises(ValueError, match="rate is 2"):
        data.NoisyPairs(images, data.drop_pixels, 8, seed=0, rate=2)
    one_wrong = images.copy()
    for value, message in ((255, "divide by 255"), (-1, "from -1 to 1"), (np.nan, "not finite")):
        one_wrong[40, 3, 3, 0] = value
        for build in (
            lambda: data.NoisyPairs(one_wrong, data.add_gaussian_noise, 8, seed=0, sigma=0.5),
            lambda: data.DynamicallyBinarized(one_wrong, 8, seed=0),
        ):
            with pytest.raises(ValueError, match=message):
                build()
    assert len(data.NoisyPairs(images[:0], data.drop_pixels, 8, seed=0, rate=0.5)) == 0


def test_dynamic_binarization_draws_anew_each_epoch(images):
    def epoch(batches):
        drawn = [batches[number] for number in range(len(batches))]
        batches.on_epoch_end()
        return drawn

    batches = data.DynamicallyBinarized(images, 24, seed=0)
    first, second = epoch(batches), epoch(batches)
    assert [len(batch) for batch in first] == [24, 24, 16]
    assert set(np.unique(np.concatenate(first))) == {0, 1}
    one_image = data.DynamicallyBinarized(images[:1], 1, seed=0)
    assert (epoch(one_image)[0] != epoch(one_image)[0]).any()
    assert any((a != b).any() for a, b in zip(first, second, strict=True))
    again = data.DynamicallyBinarized(images, 24, seed=0)
    assert all((a == b).all() for a, b in zip(first, epoch(again), strict=True))


def test_flat_keeps_every_pixel(images):
    assert (data.flat(images) == images.reshape(64, 784)).all()
    assert data.flat(images[:0]).shape == (0, 784)


def test_few_labels_are_balanced():
    labels = np.arange(1000) % 10
    chosen = data.few_labels(labels, 100, seed=0)
    assert len(set(chosen)) == 100
    assert (np.bincount(labels[chosen]) == 10).all()
    assert (chosen == data.few_labels(labels, 100, seed=0)).all()
    assert (chosen != data.few_labels(labels, 100, seed=1)).any()


@pytest.mark.parametrize(
    ("labels", "count", "message"),
    [
        (np.arange(1000) % 10, 0, "count is 0: choose a positive multiple of the 10 classes"),
        (np.arange(1000) % 10, 105, "count is 105: choose"),
        (np.arange(1000) % 10, -10, "count is -10: choose a positive multiple"),
        (np.arange(1000) % 10, 1_010, "101 labels per class, but class 0 has 100: choose at most 1000"),
        (np.arange(0), 10, r"labels have shape \(0,\): give the class of each example"),
        (np.eye(10)[np.arange(100) % 10], 10, r"labels have shape \(100, 10\): give the class"),
    ],
)
def test_labels_that_cannot_be_chosen(labels, count, message):
    with pytest.raises(ValueError, match=message):
        data.few_labels(labels, count, seed=0)
