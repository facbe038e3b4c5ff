import keras
import numpy as np
import pytest
import zoo

from utils import runtime, training
from utils.stacking import pretrain_greedily, stacked


def dense_blocks():
    """Two blocks, 784 -> 12 -> 5."""
    keras.utils.set_random_seed(0)
    return zoo.two_blocks()


def weights(blocks):
    return [[part.get_weights() for part in pair] for pair in blocks]


def same(a, b):
    return all((x == y).all() for x, y in zip(a, b, strict=True))


def greedily(blocks, images, name=None):
    return pretrain_greedily(blocks, images, noise=0.3, epochs=30, batch_size=32, learning_rate=1e-2, name=name)


def test_each_block_learns_on_the_codes_of_the_one_before_which_is_frozen(images, monkeypatch):
    blocks, seen, given = dense_blocks(), [], []
    whole = training.fit_or_load

    def watched(model, inputs, **options):
        seen.append(weights(blocks))
        given.append(inputs)
        return whole(model, inputs, **options)

    monkeypatch.setattr("utils.stacking.fit_or_load", watched)
    trainings = greedily(blocks, images)
    assert all(training.history["loss"][-1] < training.history["loss"][0] for training in trainings)
    assert given[0] is images and (given[1] == blocks[0][0].predict(images, verbose=0)).all()
    after = weights(blocks)
    assert not same(seen[0][0][0], seen[1][0][0])  # the first block learned in its turn ...
    assert same(seen[1][0][0], after[0][0]) and same(seen[1][0][1], after[0][1])  # ... and not in the second's
    assert not same(seen[1][1][0], after[1][0])


def test_the_stack_is_the_blocks_one_on_the_other_and_shares_their_weights(images):
    blocks = dense_blocks()
    model = stacked(blocks)
    codes = blocks[1][0].predict(blocks[0][0].predict(images, verbose=0), verbose=0)
    assert model.encode(images) == pytest.approx(codes, abs=1e-6)
    logits = blocks[0][1].predict(blocks[1][1].predict(codes, verbose=0), verbose=0)
    assert model.reconstruct(images) == pytest.approx(1 / (1 + np.exp(-logits)), abs=1e-5)
    before = weights(blocks)
    model.compile("adam")
    model.fit(images, epochs=1, verbose=0)
    assert not same(before[0][0], weights(blocks)[0][0])


def test_the_noise_acts_in_training_only(images, monkeypatch):
    shallow = []
    whole = training.fit_or_load
    monkeypatch.setattr(
        "utils.stacking.fit_or_load", lambda model, *a, **o: shallow.append(model) or whole(model, *a, **o)
    )
    greedily(dense_blocks(), images)
    for model, inputs in zip(shallow, (images, np.ones((4, 12), np.float32)), strict=True):
        first, second = (model(inputs[:1], training=True).numpy() for _ in range(2))
        assert not np.allclose(first, second)
        assert np.array_equal(model(inputs[:1]), model(inputs[:1]))


def test_pretrained_blocks_are_loaded(images):
    runtime.session.mode, runtime.session.dataset = "retrain", "MNIST"
    blocks = dense_blocks()
    greedily(blocks, images, name="tiny")
    runtime.session.mode = "standard"
    again = dense_blocks()
    assert [training.loaded for training in greedily(again, images, name="tiny")] == [True, True]
    assert all(
        same(a, b) for x, y in zip(weights(blocks), weights(again), strict=True) for a, b in zip(x, y, strict=True)
    )
