"""A description of a model is the same on every release of Keras, and differs where the course decided differently."""

import json
import subprocess
import sys

import keras
import pytest
import zoo
from keras import layers

from utils import runtime
from utils.fingerprint import describe

RECORDS = sorted((runtime.COURSE / "data" / "pretrained").glob("*.json"))


class Normalization(layers.BatchNormalization):
    """As a later release may have it: with one more option, which is on."""

    def __init__(self, momentum=0.99, renorm_decay=0.99, **kwargs):
        super().__init__(momentum=momentum, **kwargs)
        self.renorm_decay = renorm_decay

    def get_config(self):
        return {**super().get_config(), "renorm_decay": self.renorm_decay}


def model(normalization=layers.BatchNormalization, units=3, **options):
    image = keras.Input((4, 4, 1))
    places = layers.Conv2D(2, 3, use_bias=False)(image)
    places = normalization(momentum=0.9, **options)(places)
    return keras.Model(image, layers.Dense(units)(layers.Flatten()(places)))


def test_an_option_of_a_later_release_changes_nothing(monkeypatch):
    today = describe(model())
    monkeypatch.setattr(layers, "BatchNormalization", keras.saving.register_keras_serializable("test")(Normalization))
    later = json.dumps(describe(model(Normalization))).replace("Normalization", "BatchNormalization")
    assert json.loads(later) == today
    assert "renorm" in json.dumps(describe(model(Normalization, renorm_decay=0.5)))


def test_a_description_is_plain_json_without_names_or_defaults():
    described = describe(
        keras.Sequential([keras.Input((3,)), layers.Dense(2, "relu", name="mine"), layers.Dropout(0.5)])
    )
    assert (
        json.loads(json.dumps(described))
        == described
        == {
            "class": "Sequential",
            "layers": [
                {"batch_shape": [None, 3], "class": "InputLayer"},
                {"activation": "relu", "class": "Dense", "units": 2},
                {"class": "Dropout", "rate": 0.5},
            ],
        }
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda: model(units=3), lambda: model(units=4)),
        (lambda: layers.Dense(3), lambda: layers.Dense(3, use_bias=False)),
        (lambda: layers.Dense(3), lambda: layers.Dense(3, kernel_initializer="zeros")),
        (lambda: keras.optimizers.Adam(1e-3), lambda: keras.optimizers.Adam(2e-3)),
        (lambda: keras.optimizers.Adam(), lambda: keras.optimizers.Adam(beta_1=0.5)),
        (lambda: keras.optimizers.Adam(), lambda: keras.optimizers.RMSprop()),
        (lambda: "mse", lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
        (
            lambda: keras.losses.SparseCategoricalCrossentropy(),
            lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
    ],
)
def test_what_was_decided_is_kept(one, other):
    assert describe(one()) == describe(one()) != describe(other())


def test_the_connections_of_a_functional_model_are_kept():
    def joined(swapped):
        a, b = keras.Input((3,)), keras.Input((3,))
        both = [layers.Dense(2)(a), layers.Dense(2)(b)]
        return keras.Model([a, b], layers.Subtract()(both[::-1] if swapped else both))

    assert describe(joined(False)) == describe(joined(False)) != describe(joined(True))


@pytest.mark.parametrize("name", zoo.BUILDERS)
def test_a_model_keeps_its_description_when_it_is_built_again(name):
    assert describe(zoo.build(name)) == describe(zoo.build(name))


@pytest.mark.parametrize("path", RECORDS, ids=[path.stem for path in RECORDS])
def test_records_hold_no_name_and_no_option_that_nobody_chose(path):
    recipe = json.dumps(json.loads(path.read_bytes())["recipe"])
    for word in ("renorm", "dtype", "registered_name", "quantization", '"name"', "kernel_initializer"):
        assert word not in recipe


def test_every_record_fits_what_the_chapters_ask_for(real_mnist):
    """Under the release of Keras that is installed; `make test-colab` asks the same under Colab's."""
    command = [sys.executable, "-m", "tests.recipes"]
    run = subprocess.run(command, cwd=runtime.COURSE, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr[-2000:]
