import http.server
import io
import os
import threading
import time

import numpy as np
import pytest

from utils import data, runtime


@pytest.fixture
def mnist_file(monkeypatch):
    """Bytes of a file in MNIST's layout, and its checksums in the place of MNIST's."""
    arrays = {name: np.zeros(shape, np.uint8) for name, shape in data.SHAPES.items()}
    arrays["x_train"][:, 0, 0] = np.arange(60_000) % 256
    arrays["y_train"][:] = np.arange(60_000) % 10
    monkeypatch.setattr(data, "CHECKSUMS", {name: data._idx_checksum(array) for name, array in arrays.items()})
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(data, "MNIST_URL", "http://127.0.0.1:9/mnist.npz")  # nobody listens there
    monkeypatch.delenv("MNIST_PATH", raising=False)
    runtime.session.mode = "quick"


@pytest.fixture
def server(monkeypatch):
    """Serves `server.answer`: (status, bytes announced, bytes sent), late by `delay` seconds, and slow by `trickle`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, announced, sent = self.server.answer
            time.sleep(self.server.delay)
            self.send_response(status)
            self.send_header("Content-Length", str(announced))
            self.end_headers()
            self.wfile.flush()
            time.sleep(self.server.trickle)
            self.wfile.write(sent)

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        running.delay = running.trickle = 0
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setattr(data, "MNIST_URL", f"http://127.0.0.1:{running.server_port}/mnist.npz")
        monkeypatch.delenv("MNIST_PATH", raising=False)
        yield running
        running.shutdown()


def test_real_mnist_is_split_as_documented(real_mnist):
    for part, size in (("train", 50_000), ("validation", 10_000), ("test", 10_000)):
        images, labels = getattr(real_mnist, part)
        assert images.shape == (size, 28, 28, 1) and images.dtype == np.float32
        assert labels.shape == (size,) and labels.dtype == np.int32
        assert images.min() == 0 and images.max() == 1
    assert list(real_mnist.train[1][:5]) == [5, 0, 4, 1, 9]
    assert real_mnist.source == "MNIST" and runtime.session.comparable


def test_mnist_path_comes_first(mnist_file, tmp_path, monkeypatch, capsys):
    path = tmp_path / "given.npz"
    path.write_bytes(mnist_file)
    monkeypatch.setenv("MNIST_PATH", str(path))
    digits = data.load_mnist()
    assert "MNIST_PATH names" in capsys.readouterr().out
    assert (digits.train[0][:256, 0, 0, 0] == np.arange(256, dtype=np.float32) / 255).all()
    assert (digits.validation[1] == np.arange(50_000, 60_000) % 10).all()


def test_mnist_path_may_be_relative_to_the_course(mnist_file, tmp_path, monkeypatch):
    (tmp_path / "given.npz").write_bytes(mnist_file)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(data, "COURSE", tmp_path)
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.setenv("MNIST_PATH", "given.npz")
    assert data.load_mnist().source == "MNIST"


def test_missing_mnist_path_is_an_error(monkeypatch):
    monkeypatch.setenv("MNIST_PATH", "nowhere.npz")
    with pytest.raises(FileNotFoundError, match=r"nowhere.npz.*correct the path, or unset MNIST_PATH"):
        data.load_mnist()


@pytest.mark.parametrize("damage", ["truncated", "text", "empty", "pickle", "missing", "shape", "dtype", "checksum"])
def test_a_wrong_file_is_named_and_left_alone(damage, mnist_file, tmp_path, monkeypatch):
    arrays = dict(np.load(io.BytesIO(mnist_file)))
    words = "cannot be read as .npz"
    if damage == "missing":
        del arrays["y_test"]
        words = "y_test is missing"
    elif damage == "shape":
        arrays["x_test"] = arrays["x_test"][:9000]
        words = r"x_test is uint8 \(9000, 28, 28\), not uint8 \(10000, 28, 28\)"
    elif damage == "dtype":
        arrays["x_train"] = arrays["x_train"].astype(np.float16)
        words = "x_train is float16"
    elif damage == "checksum":
        arrays["x_train"][0, 0, 0] += 1
        words = "checksum of x_train differs"
    elif damage == "pickle":
        arrays = {name: np.array([{}], object) for name in arrays}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    content = {"truncated": mnist_file[:5000], "text": b"<html>404</html>", "empty": b""}.get(damage, buffer.getvalue())
    path = tmp_path / "given.npz"
    path.write_bytes(content)
    monkeypatch.setenv("MNIST_PATH", str(path))
    with pytest.raises(ValueError, match=words):
        data.load_mnist()
    assert path.read_bytes() == content


def test_download_is_kept_and_found_again(server, mnist_file, capsys):
    server.answer = 200, len(mnist_file), mnist_file
    data.load_mnist()
    assert "kept it as data/mnist.npz" in capsys.readouterr().out
    server.answer = 404, 0, b""
    data.load_mnist()
    assert "Found MNIST in data/mnist.npz" in capsys.readouterr().out
    assert [path.name for path in data.CACHE.parent.iterdir()] == ["mnist.npz"]


@pytest.mark.parametrize("fault", ["cut", "404", "garbage", "silent", "slow"])
def test_failed_download_leaves_nothing_and_the_course_goes_on(fault, server, mnist_file, monkeypatch, capsys):
    runtime.session.mode = "quick"
    server.answer = {
        "cut": (200, len(mnist_file), mnist_file[: len(mnist_file) // 2]),
        "404": (404, 0, b""),
        "garbage": (200, 4, b"oops"),
        "silent": (200, len(mnist_file), mnist_file),
        "slow": (200, len(mnist_file), mnist_file),
    }[fault]
    if fault == "silent":
        monkeypatch.setattr(data, "SECONDS_TO_ANSWER", 0.2)
        server.delay = 2.0
    elif fault == "slow":
        monkeypatch.setattr(data, "SECONDS_TO_DOWNLOAD", 0.2)
        server.trickle = 2.0
    assert data.load_mnist().source == "stand-in digits"
    printed = capsys.readouterr().out
    assert "could not be downloaded" in printed and "cannot be compared" in printed
    assert not data.CACHE.parent.exists() or not list(data.CACHE.parent.iterdir())
    assert not runtime.session.comparable


def test_damaged_cache_is_set_aside_and_replaced(server, mnist_file, capsys):
    data.CACHE.parent.mkdir()
    data.CACHE.write_bytes(mnist_file[:1000])
    server.answer = 200, len(mnist_file), mnist_file
    assert data.load_mnist().source == "MNIST"
    assert "set aside as mnist.npz.damaged" in capsys.readouterr().out
    assert data.CACHE.read_bytes() == mnist_file
    assert data.CACHE.with_name("mnist.npz.damaged").read_bytes() == mnist_file[:1000]


def test_cache_that_cannot_be_read(server, mnist_file, capsys):
    data.CACHE.mkdir(parents=True)  # root ignores permission bits
    server.answer = 200, len(mnist_file), mnist_file
    assert data.load_mnist().source == "MNIST"


def test_folder_that_cannot_be_written(server, mnist_file, monkeypatch, tmp_path, capsys):
    (tmp_path / "data").write_text("a file where the folder should be")  # root ignores permission bits
    server.answer = 200, len(mnist_file), mnist_file
    assert data.load_mnist().source == "MNIST"
    assert "could not keep it in data/" in capsys.readouterr().out


def test_stand_in_without_network(no_network):
    digits = data.load_mnist()
    assert digits.source == "stand-in digits"
    assert [len(part[0]) for part in (digits.train, digits.validation, digits.test)] == [2000, 500, 500]
    again = data.load_mnist()
    assert (digits.test[0] == again.test[0]).all()


@pytest.mark.parametrize(
    ("corrupt", "strength"),
    [(data.add_gaussian_noise, 0.5), (data.drop_pixels, 0.3), (data.add_salt_and_pepper, 0.3)],
)
def test_corruptions_are_seeded_pure_and_stay_in_range(corrupt, strength, images):
    before = images.copy()
    noisy = corrupt(images, strength, seed=1)
    assert (images == before).all()
    assert noisy.dtype == np.float32 and noisy.shape == images.shape
    assert noisy.min() >= 0 and noisy.max() <= 1
    assert (noisy == corrupt(images, strength, seed=1)).all()
    assert (noisy != corrupt(images, strength, seed=2)).any()
    assert (corrupt(images, 0, seed=1) == images).all()


def test_corruptions_do_what_they_say():
    grey = np.full((100, 28, 28, 1), 0.5, np.float32)
    assert data.add_gaussian_noise(grey, 0.1, seed=0).std() == pytest.approx(0.1, rel=0.01)
    dropped = data.drop_pixels(grey, 0.3, seed=0)
    assert set(np.unique(dropped)) == {0, 0.5}
    assert (dropped == 0).mean() == pytest.approx(0.3, abs=0.01)
    peppered = data.add_salt_and_pepper(grey, 0.3, seed=0)
    assert (peppered == 0).mean() == pytest.approx(0.15, abs=0.01)
    assert (peppered == 1).mean() == pytest.approx(0.15, abs=0.01)


def test_binarization_keeps_the_mean(images):
    once = data.binarize(images, seed=0)
    assert set(np.unique(once)) == {0, 1}
    assert (once == data.binarize(images, seed=0)).all()
    average = np.mean([data.binarize(images, seed=seed) for seed in range(400)], axis=0)
    assert np.abs(average - images).max() < 0.15  # six standard deviations of 400 draws


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


def test_few_labels_are_balanced():
    labels = np.arange(1000) % 10
    chosen = data.few_labels(labels, 100, seed=0)
    assert len(set(chosen)) == 100
    assert (np.bincount(labels[chosen]) == 10).all()
    assert (chosen == data.few_labels(labels, 100, seed=0)).all()
    assert (chosen != data.few_labels(labels, 100, seed=1)).any()


def test_mnist_path_is_not_touched_by_an_empty_value(no_network, monkeypatch):
    monkeypatch.setenv("MNIST_PATH", "")
    assert data.load_mnist().source == "stand-in digits"
    assert os.environ["MNIST_PATH"] == ""


def by_dropping(images, seed):
    return data.drop_pixels(images, 0.5, seed)


def test_noisy_pairs_cover_every_image_once_an_epoch(images):
    pairs = data.NoisyPairs(images, by_dropping, batch_size=24, seed=0)
    assert [len(pairs[i][1]) for i in range(len(pairs))] == [24, 24, 16]
    clean = np.concatenate([pairs[i][1] for i in range(len(pairs))])
    assert sorted(image.sum() for image in clean) == sorted(image.sum() for image in images)
    assert not (clean == images).all()  # shuffled


def test_noisy_pairs_draw_new_noise_and_a_new_order_in_every_epoch(images):
    pairs, same = (data.NoisyPairs(images, by_dropping, batch_size=64, seed=0) for _ in range(2))
    noisy, clean = pairs[0]
    assert (noisy == same[0][0]).all() and (clean == same[0][1]).all()
    assert ((noisy == clean) | (noisy == 0)).all()
    pairs.on_epoch_end()
    again, clean_again = pairs[0]
    assert not (clean_again == clean).all()
    back = [np.flatnonzero((clean_again == image).all(axis=(1, 2, 3)))[0] for image in clean]
    assert not (again[back] == noisy).all()


def test_every_image_may_have_its_own_noise_level(images):
    sigma = np.linspace(0, 0.5, len(images)).reshape(-1, 1, 1, 1)
    off = np.abs(data.add_gaussian_noise(images, sigma, seed=0) - images).mean(axis=(1, 2, 3))
    assert off[0] == 0 and off[-1] > off[16] > 0
    with pytest.raises(ValueError, match="a standard deviation is 0 or more"):
        data.add_gaussian_noise(images, -sigma, seed=0)
