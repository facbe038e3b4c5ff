"""Flow matching: the regression, the velocity where it is known, and the integration."""

import keras
import numpy as np
import pytest
from keras import layers

from utils.flow import FlowMatching
from utils.networks import velocity_network


def fixed(velocity, dim=2, classes=0):
    """A flow whose velocity is a given function of symbolic z, t and labels."""
    inputs = [keras.Input((dim,)), keras.Input((1,))]
    if classes:
        inputs.append(keras.Input((), dtype="int32"))
    return FlowMatching(keras.Model(inputs, velocity(*inputs)), num_classes=classes)


def small(classes=0, dim=2, seed=0):
    keras.utils.set_random_seed(0)
    return FlowMatching(velocity_network(dim, classes, 32, 1), num_classes=classes, seed=seed)


def arrays(tensors):
    return [np.asarray(tensor) for tensor in tensors]


def test_the_target_leads_from_noise_to_data():
    x = np.random.default_rng(0).normal(3, 2, (5_000, 2)).astype(np.float32)
    (z, t), velocity = small().regression(x)
    z, t, velocity = arrays((z, t, velocity))
    assert z + (1 - t) * velocity == pytest.approx(x, abs=1e-5)
    epsilon = z - t * velocity
    assert epsilon.mean() == pytest.approx(0, abs=0.04) and epsilon.std() == pytest.approx(1, abs=0.03)
    assert np.log(t / (1 - t)).std() == pytest.approx(1, abs=0.04)  # logit-normal


def test_labels_are_dropped_as_often_as_it_says():
    x, labels = np.zeros((5_000, 2), np.float32), np.tile([0, 1], 2_500)
    (_, _, told), _ = small(classes=2).regression((x, labels))
    told = np.asarray(told)
    assert np.mean(told == 2) == pytest.approx(0.2, abs=0.02)
    assert np.all((told == 2) | (told == labels))


def test_it_learns_the_velocity_of_a_normal_distribution():
    """For data from N(m, s²), z_t is normal, and E[x - ε | z_t] is linear in z_t."""
    mean, std = 1.5, 0.5
    x = np.random.default_rng(0).normal(mean, std, (20_000, 1)).astype(np.float32)
    model = small(dim=1)
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-2, 1_200)))
    losses = model.fit(x, batch_size=200, epochs=12, verbose=0).history["loss"]
    t = np.repeat(np.float32([0.1, 0.5, 0.9]), 41)[:, None]
    variance = (1 - t) ** 2 + (t * std) ** 2
    z = t * mean + np.sqrt(variance) * np.tile(np.linspace(-1.5, 1.5, 41, dtype=np.float32), 3)[:, None]
    known = mean + (t * std**2 - (1 - t)) / variance * (z - t * mean)
    assert np.abs(model([z, t]) - known).max() < 0.3
    samples = model.sample(4_000)
    assert samples.mean() == pytest.approx(mean, abs=0.06) and samples.std() == pytest.approx(std, abs=0.05)
    assert model.evaluate(x[:2_000], verbose=0) == pytest.approx(losses[-1], rel=0.1)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2)])
def test_the_order_of_convergence(method, order):
    """dz/dt = z t carries z to z e^½. Twice as many steps divide the error by 2, or by 4."""
    flow = fixed(lambda z, t: layers.Multiply()([z, t]))
    start = np.float32([[1, -2]])
    errors = [
        np.abs(flow.transport(start, steps=steps, method=method) - start * np.exp(0.5)).max() for steps in (8, 16, 32)
    ]
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx([order] * 2, abs=0.2)


def test_guidance_goes_beyond_the_label():
    """A velocity that depends on the label alone moves the points by itself; the last label is "no label"."""
    values = np.float32([[1, 0], [0, 2], [0.5, 0.5]])
    embed = layers.Embedding(3, 2, embeddings_initializer=keras.initializers.Constant(values))
    flow = fixed(lambda z, t, label: embed(label), classes=2)
    z, labels = np.zeros((3, 2), np.float32), [0, 1, 1]
    expected = values[labels]
    assert flow.transport(z, labels, steps=3) == pytest.approx(expected, abs=1e-6)
    assert flow.transport(z) == pytest.approx(np.tile(values[2], (3, 1)), abs=1e-6)
    for guidance in (0.5, 2):
        guided = flow.transport(z, labels, guidance=guidance, steps=3)
        assert guided == pytest.approx(expected + guidance * (expected - values[2]), abs=1e-5)


def test_half_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        flow = small()
        flow.compile("adam", jit_compile=False)
        assert np.isfinite(flow.fit(np.ones((8, 2), np.float32), verbose=0).history["loss"]).all()
        assert flow.sample(3).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")


def test_a_seed_decides_the_samples():
    flow = small(classes=3)
    labels = [0, 1, 2]
    first, again, other = (flow.sample(3, labels, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.allclose(first, other)
    assert flow.sample(0, np.zeros(0, int)).shape == (0, 2)


def test_a_seed_decides_the_training():
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    losses = []
    for seed in (1, 1, 2):
        flow = small(seed=seed)
        flow.compile("adam")
        losses.append(flow.fit(x, batch_size=32, shuffle=False, verbose=0).history["loss"])
    assert losses[0] == pytest.approx(losses[1]) and losses[0] != pytest.approx(losses[2])


def test_a_moving_average_of_the_optimizer_takes_the_place_of_the_weights():
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    flow = small()
    flow.compile(keras.optimizers.Adam(0.1, use_ema=True, ema_momentum=0.9))
    flow.fit(x, batch_size=8, verbose=0)
    kept = [variable for variable in flow.optimizer.variables if "average" in variable.path]
    assert len(kept) == len(flow.trainable_variables)
    assert all(np.array_equal(one, two) for one, two in zip(kept, flow.trainable_variables, strict=True))


@pytest.mark.parametrize("classes", [0, 10])
def test_the_network_takes_labels_where_there_are_classes(classes):
    network = velocity_network(30, classes, units=16, blocks=2)
    assert [tuple(tensor.shape) for tensor in network.inputs] == [(None, 30), (None, 1), (None,)][: 2 + bool(classes)]
    assert network.output_shape == (None, 30)
    told = 64 * (1 + (classes + 1) * bool(classes) + 1)
    block = 32 + 16 * 17 + 16 * 65 + 16 * 17  # normalization, two dense layers, and what is told
    assert network.count_params() == told + 16 * (30 + 64 + 1) + 2 * block + 30 * 17
