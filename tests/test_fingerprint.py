"""A description of a model is the same on every release of Keras, and differs where the course decided differently."""

import json
import linecache

import keras
import numpy as np
import pytest
import tensorflow as tf
import zoo
from keras import layers

from utils.course.fingerprint import describe, describe_code, differences
from utils.course.session import COURSE, scaled
from utils.course.studies import study
from utils.data import drop_pixels


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


def test_records_hold_no_name_and_no_option_that_nobody_chose():
    for path in (COURSE / "data" / "pretrained").glob("*.json"):
        recipe = json.dumps(json.loads(path.read_bytes())["recipe"])
        for word in ("renorm", "dtype", "registered_name", "quantization", '"name"', "kernel_initializer"):
            assert word not in recipe, path.name


# arrays


IMAGES = np.random.default_rng(0).random((50, 4, 4, 1), np.float32)


@pytest.mark.parametrize(
    "other",
    [
        IMAGES[:25],
        IMAGES[::-1],
        1 - IMAGES,
        IMAGES[..., ::-1, :],
        np.concatenate([IMAGES[:-1], IMAGES[:1]]),
        255 * IMAGES,
    ],
    ids=["half", "reversed", "negative", "mirrored", "one image", "bytes"],
)
def test_other_examples_differ(other):
    assert differences({"x": describe(IMAGES)}, {"x": describe(other)})


def test_rounding_makes_no_other_examples_and_another_draw_of_noise_does():
    noisy = {seed: describe(drop_pixels(IMAGES, 0.5, seed)) for seed in (0, 1)}
    rounded = describe(drop_pixels(IMAGES, 0.5, 0) + np.float32(1e-8))
    assert not differences({"x": noisy[0]}, {"x": rounded}) and differences({"x": noisy[0]}, {"x": noisy[1]})


def test_arrays_of_another_source_may_be_any():
    assert not differences({"x": describe(IMAGES)}, {"x": describe(IMAGES[:9] / 2)}, same_data=False)
    assert differences({"x": describe(IMAGES), "n": 1}, {"x": describe(IMAGES), "n": 2}, same_data=False) == [
        "n 1 there, 2 here"
    ]


def test_values_of_all_kinds_become_json():
    thing = {
        "a": (1, 2.0, None, True),
        3: np.float32(0.1),
        "x": np.zeros((0, 4)),
        "t": tf.ones(2),
        "w": np.array(["b"]),
    }
    assert json.loads(json.dumps(describe(thing))) == describe(thing)
    with pytest.raises(ValueError, match="A Random cannot be described"):
        describe(__import__("random").Random())


# code of a notebook


def cell(source, **names):
    """The last function or class of a notebook's cell, in whose kernel these names are known."""
    place = f"<cell {len(linecache.cache)}>"
    linecache.cache[place] = len(source), None, source.splitlines(keepends=True), place
    namespace = {"__name__": "__main__", **names}
    exec(compile(source, place, "exec"), namespace)
    return list(namespace.values())[-1]


MEASURE = """
def helper(x):
    return x + 1

def measure(x, rate=0.5, *, steps=3):
    return helper(x) * rate + steps
"""


@pytest.mark.parametrize(
    "other",
    [
        MEASURE.replace("rate=0.5", "rate=0.6"),
        MEASURE.replace("steps=3", "steps=4"),
        MEASURE.replace("x + 1", "x + 2"),
        MEASURE.replace("* rate", "/ rate"),
    ],
    ids=["default", "keyword default", "function that is called", "own code"],
)
def test_other_code_differs(other):
    assert describe_code(cell(MEASURE)) == describe_code(cell(MEASURE)) != describe_code(cell(other))


def test_a_default_counts_with_the_value_that_it_had():
    source = "def measure(x, rate=RATE, images=IMAGES):\n    return x * rate"
    found = [
        describe_code(cell(source, RATE=rate, IMAGES=images))
        for rate, images in ((1, IMAGES), (2, IMAGES), (1, 1 - IMAGES))
    ]
    assert found[0] != found[1] and found[0] != found[2]


def test_comments_docstrings_and_white_space_are_no_code():
    explained = MEASURE.replace("return x + 1", '"""Adds."""\n    # as we saw\n\n    return x  +  1')
    assert describe_code(cell(explained)) == describe_code(cell(MEASURE))


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def measure(x):\n    return x * RATE", "RATE"),
        ("def measure(x):\n    return [x * RATE for _ in range(3)]", "RATE"),
        ("def helper(x):\n    return x * RATE\n\ndef measure(x):\n    return helper(x)", "RATE"),
        (
            "def outer():\n    rate = 2\n    def f(x):\n        return x * rate\n    return f\nmeasure = outer()",
            "rate",
        ),
        ("class Measure:\n    def call(self, x):\n        return x * RATE", "RATE"),
    ],
    ids=["function", "comprehension", "function that is called", "closure", "method"],
)
def test_a_value_from_outside_is_refused(source, name):
    with pytest.raises(ValueError, match=f"reads '{name}' from outside: make it an argument"):
        describe_code(cell(source, RATE=0.5))


def test_a_study_refuses_a_value_from_outside():
    with pytest.raises(ValueError, match="reads 'RATE' from outside"):
        study("tiny", cell("def measure(x):\n    return x * RATE", RATE=0.5), x=1)


def test_modules_functions_and_classes_may_come_from_outside():
    source = "def measure(x):\n    return np.sqrt(scaled(x, 1)) + len(Sequence([x]))"
    described = describe_code(cell(source, np=np, scaled=scaled, Sequence=list))
    assert list(described) == ["measure"]
    assert describe_code(drop_pixels) == "utils.data.drop_pixels"


def test_a_class_counts_with_its_values_and_bases():
    source = "class Base:\n    RATE = 1\n\nclass Measure(Base):\n    def call(self, x):\n        return x"
    found = [
        describe_code(cell(text))
        for text in (source, source.replace("= 1", "= 2"), source.replace("return x", "return 2"))
    ]
    assert found[0] != found[1] and found[0] != found[2]


def test_batches_of_a_notebook_count_with_their_code():
    source = "class Batches(keras.utils.PyDataset):\n    def __getitem__(self, number):\n        return number"
    kinds = [cell(text, keras=keras) for text in (source, source, source.replace("return number", "return -number"))]
    found = [describe(kind()) for kind in kinds]
    assert found[0] == found[1] != found[2]
