"""Every model and every layer of the course: through a file, through its configuration, and in another process."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo

from utils.base import optimizers_of, state_of
from utils.course.fingerprint import describe
from utils.networks import MinibatchStandardDeviation
from utils.vae import Sampling


def around(layer, inputs=1):
    """A model of one layer."""
    given = [keras.Input((4,)) for _ in range(inputs)]
    return keras.Model(given, layer(given if inputs > 1 else given[0]))


LAYERS = {
    "sampling": lambda: around(Sampling(seed=3), inputs=2),
    "deviation": lambda: around(MinibatchStandardDeviation()),
}
MODELS = ("autoencoder", "convolutional", "stacked", "vae", "vae_gaussian", "gan", "cgan", "flow", "judge")
TRAINED = ("autoencoder", "vae", "gan", "cgan", "flow", "judge")  # of each class one
NAMES = [*MODELS, *LAYERS]


def inputs(name, model):
    if name in LAYERS:
        return [np.random.default_rng(i).normal(size=(5, 4)).astype(np.float32) for i in range(len(model.inputs))]
    return zoo.inputs(model)


def same(a, b):
    return all(np.array_equal(one, two) for one, two in zip(a, b, strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All models in files, some of them after a little training."""
    folder = tmp_path_factory.mktemp("saved")
    for name in NAMES:
        model = LAYERS[name]() if name in LAYERS else zoo.build(name)
        if name in TRAINED:
            model.fit(**zoo.lessons(name), verbose=0)
        model.save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.npz", *zoo.outputs(model, inputs(name, model)))
        np.savez(folder / f"{name}.state.npz", *[np.asarray(variable) for variable in state_of(model)])
    return folder


def stored(path):
    with np.load(path) as file:
        return list(file.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_back_from_its_file(name, folder):
    model = keras.models.load_model(folder / f"{name}.keras")
    assert same(zoo.outputs(model, inputs(name, model)), stored(folder / f"{name}.npz"))
    assert model.compiled == (name in MODELS)
    for optimizer in optimizers_of(model):
        assert int(optimizer.iterations) == 3 * (name in TRAINED)
    kept = zip(state_of(model), stored(folder / f"{name}.state.npz"), strict=True)
    # A generator starts anew from its seed: Keras writes no generator's state.
    assert all(np.array_equal(one, two) for one, two in kept if one.name != "seed_generator_state")
    if name in ("autoencoder", "vae", "gan"):
        model.fit(**zoo.lessons(name), verbose=0)


@pytest.mark.parametrize("name", [name for name in MODELS if name != "judge"])  # which is Keras's own
def test_a_loaded_model_is_exported_and_returns_the_same(name, folder, tmp_path):
    model = keras.models.load_model(folder / f"{name}.keras")
    model.export(tmp_path / name, verbose=False)
    exported = tf.saved_model.load(tmp_path / name)
    returned = keras.tree.flatten(exported.serve(inputs(name, model)))
    for one, two in list(zip(returned, stored(folder / f"{name}.npz"), strict=True))[name.startswith("vae") :]:
        assert one.numpy() == pytest.approx(two, abs=1e-5)  # of a VAE the moments, which do not depend on its noise


@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_back_from_its_configuration(name):
    model = LAYERS[name]() if name in LAYERS else zoo.build(name)
    config = model.get_config()
    json.dumps(config)
    again = type(model).from_config(config)
    assert describe(again) == describe(model)
    again.set_weights(model.get_weights())
    given = inputs(name, model)
    assert same(zoo.outputs(again, given), zoo.outputs(model, given))


def test_another_process_loads_every_model_by_its_file_alone(folder):
    subprocess.run([sys.executable, zoo.__file__, "load", folder, *MODELS], check=True, capture_output=True)
    for name in MODELS:
        assert same(stored(folder / f"{name}.outputs.npz"), stored(folder / f"{name}.npz")), name


def test_no_class_of_the_course_is_forgotten():
    """What Keras may be asked to load is in the zoo or among the layers."""
    registered = {name for name in keras.saving.get_custom_objects() if name.startswith("course>")}
    tried = {type(zoo.build(name)).__name__ for name in MODELS} | {"Sampling", "MinibatchStandardDeviation"}
    assert registered and registered <= {f"course>{name}" for name in tried}
