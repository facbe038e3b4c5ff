import json
import shutil
import sys
import time
import types

import numpy as np
import pytest

from tools import bench, explorers, references
from utils.autoencoders import Autoencoder
from utils.course.training import recipe_of
from utils.networks import dense_decoder, dense_encoder


def small():
    return bench.compiled(Autoencoder(dense_encoder(2, (4,)), dense_decoder(2, (4,))))


def test_a_model_and_its_memory_are_measured(monkeypatch):
    monkeypatch.setattr(bench, "SECONDS", 0.05)
    monkeypatch.setitem(bench.MODELS, "small", (small, 64, None))
    found = bench.measure("small")
    assert found["parameters"] == small().count_params() and found["pace"] > 0 and found["memory"] > 100


def test_without_the_module_resource_there_is_no_figure_of_memory(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on native Windows
    assert np.isnan(bench.peak_memory())


def test_the_time_of_a_picture_is_the_median_in_milliseconds(monkeypatch):
    ticks = iter(np.cumsum([0, 1, 0, 2, 0, 3] + 17 * [0, 4]))
    monkeypatch.setattr(time, "perf_counter", lambda: next(ticks))

    class Control:
        value = 0

    assert bench.frame_time(Control()) == 4000 and Control.value == 0


def test_every_reference_is_measured_before_what_is_compared_with_it():
    order = list(reversed(bench.MODELS))
    for name, (_, _, reference) in bench.MODELS.items():
        assert reference is None or order.index(reference) < order.index(name)


def test_references_have_the_published_numbers_of_weights():
    gan = references.tutorial_dcgan()
    assert gan.discriminator.count_params() == 212_865
    assert gan.generator.count_params() == 2_330_944


def test_the_tutorial_makes_images_between_0_and_1_and_logits():
    gan = references.tutorial_dcgan()
    assert (gan.generator.name, gan.discriminator.name) == ("generator", "discriminator")
    assert (gan.generator.input_shape, gan.generator.output_shape) == ((None, 100), (None, 28, 28, 1))
    assert (gan.discriminator.input_shape, gan.discriminator.output_shape) == ((None, 28, 28, 1), (None, 1))
    images = gan.generator(np.random.default_rng(0).normal(size=(3, 100))).numpy()
    assert 0 <= images.min() < images.max() <= 1


def test_the_recorded_reference_trained_these_networks_to_the_end():
    record = json.loads((references.FOLDER / "09_tutorial.json").read_bytes())
    images, epochs = np.zeros((1, 28, 28, 1), np.float32), references.EPOCHS
    recipe = recipe_of(references.tutorial_dcgan(), images, None, epochs, references.BATCH_SIZE)
    del recipe["examples"]  # of real MNIST
    assert json.loads(json.dumps(recipe)).items() <= record["recipe"].items()
    outcome = record["outcome"]
    assert len(outcome["core_seconds"]) == epochs == 2 * len(outcome["frechet"])
    with np.load(references.FOLDER / "09_tutorial.npz") as samples:
        assert [int(epoch) for epoch in samples] == list(references.SHOWN)


def test_every_second_epoch_of_the_reference_is_measured():
    judge = types.SimpleNamespace(frechet=lambda samples, images: len(samples) / len(images))
    distance, logs = references.Distance(judge, np.zeros(3)), [{"seconds": 1.0} for _ in range(4)]
    distance.set_model(types.SimpleNamespace(sample=np.zeros))
    for epoch in range(4):
        distance.on_epoch_end(epoch, logs[epoch])
    assert [entry.get("frechet") for entry in logs] == [None, 1.0, None, 1.0]


def test_without_chromium_there_are_no_times_of_explorers(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert bench.page_times() == {}


@pytest.fixture(scope="module")
def loaded():
    """The models of the explorers, which are kept; within a test data/pretrained is empty."""
    for data in explorers.FILES.values():
        data()


@pytest.mark.browser
@pytest.mark.skipif(not (shutil.which("chromium") or shutil.which("google-chrome")), reason="needs Chromium")
def test_each_explorer_is_timed_in_chromium(loaded):
    times = bench.page_times()
    assert times.keys() == explorers.EXPLORERS.keys()
    assert all(0 < median <= slowest for median, slowest in times.values())


def test_a_browser_that_measures_nothing_is_an_error(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: sys.executable)
    monkeypatch.setattr(explorers, "write", lambda folder: None)
    with pytest.raises(SystemExit, match="The explorers could not be measured"):
        bench.page_times()
