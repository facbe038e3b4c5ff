import os

import keras
import numpy as np
import pytest

from utils import data
from utils.course import checkpoints, downloads, pretrained, results, session, studies
from utils.drawn.digits import draw_digits


@pytest.fixture(autouse=True)
def fresh_session(monkeypatch, tmp_path):
    """Every test starts in standard mode with seed 0, and can write neither results nor pretrained files."""
    monkeypatch.setattr(session.session, "__dict__", dict(vars(session.Session())))
    monkeypatch.setattr(results, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(pretrained, "PRETRAINED", tmp_path / "pretrained")
    monkeypatch.setattr(studies, "STUDIES", tmp_path / "studies")
    monkeypatch.setattr(checkpoints, "CHECKPOINTS", tmp_path / "checkpoints")
    monkeypatch.setattr(downloads, "CACHE", tmp_path / "data" / "mnist.npz")


@pytest.fixture(scope="session", autouse=True)
def without_xla():
    """Keras compiles with XLA unless it is told not to, for seconds each time: only the tests that ask for it do."""
    owner = next(kind for kind in keras.Model.__mro__ if "compile" in vars(kind))
    compile_ = owner.compile
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, "compile", lambda *args, **kwargs: compile_(*args, **{"jit_compile": False} | kwargs))
        yield


@pytest.fixture
def real_mnist(monkeypatch):
    """Real MNIST, where MNIST_PATH names it or an earlier run has downloaded it."""
    monkeypatch.setattr(downloads, "CACHE", session.COURSE / "data" / "mnist.npz")
    if not os.environ.get("MNIST_PATH") and not downloads.CACHE.is_file():
        pytest.skip("needs real MNIST: set MNIST_PATH, or `make run` once with a network")
    return data.load_mnist()


@pytest.fixture
def images():
    """64 stand-in digits, float32 (64, 28, 28, 1) in [0, 1]."""
    drawn, _, _ = draw_digits(64, seed=1)
    return drawn[..., None].astype(np.float32) / 255


@pytest.fixture
def retraining(fresh_session):
    """A session in retrain mode, on what counts as real data."""
    found = session.session
    found.mode, found.dataset, found.dataset_checksum = "retrain", "MNIST", "abc"
