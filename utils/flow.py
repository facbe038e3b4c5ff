"""Flow matching: a network learns the velocity that carries noise to data, and sampling follows it."""

from itertools import pairwise

import keras
import numpy as np
from keras import ops

from utils.autoencoders import sum_per_image
from utils.base import OwnLoss
from utils.checks import check_images, check_labels


@keras.saving.register_keras_serializable("course")
class FlowMatching(OwnLoss):
    """Carries noise to data along a learned velocity (Lipman et al. 2023; Liu et al. 2023): `fit(x)` or `fit(x, y)`.

    Training is regression: data x, noise ε from N(0, I) and a time t give the point z_t = (1 - t) ε + t x, where the
    target of the network is x - ε. The loss is the squared error, a sum per example, averaged over the batch. Raises
    ValueError if the network does not fit, or an argument is impossible.

    Args:
        network: Keras model of z (batch, dim), t (batch, 1) and, for labels, integers (batch,); returns (batch, dim).
        num_classes: labels are 0 to num_classes - 1, and num_classes stands for "no label"; 0 for data without labels.
        label_dropout: share of the training examples whose label is dropped, so that `guidance` can be used.
        seed: of the draws in training; None draws one.
    """

    own_loss = "the loss of a flow is the squared error of its velocity."
    networks, options = ("network",), ("num_classes", "label_dropout", "seed")

    def __init__(self, network, num_classes=0, label_dropout=0.2, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.network, self.num_classes, self.label_dropout, self.seed = network, num_classes, label_dropout, seed
        _check_arguments(self)
        self.seed_generator = keras.random.SeedGenerator(seed)
        self(network.inputs)  # builds it, so that it can be saved and exported untrained

    def call(self, inputs, training=False):
        return ops.cast(self.network(inputs, training=training), "float32")  # z, t, and labels if any -> (batch, dim)

    def draw_times(self, shape):
        """Times in (0, 1), most of them in the middle: the sigmoid of standard normal numbers (Esser et al. 2024)."""
        return ops.sigmoid(keras.random.normal(shape, seed=self.seed_generator))

    def path(self, epsilon, x, t):
        """The point between noise and data at time t, and the velocity there: (batch, dim) each."""
        return (1 - t) * epsilon + t * x, x - epsilon

    def regression(self, data):
        """The network's inputs and its target, for a batch of data and labels."""
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        x, batch = ops.cast(x, "float32"), ops.shape(x)[0]
        epsilon = keras.random.normal(ops.shape(x), seed=self.seed_generator)
        t = self.draw_times((batch, 1))
        z, velocity = self.path(epsilon, x, t)
        if y is None:
            return [z, t], velocity
        dropped = keras.random.uniform((batch,), seed=self.seed_generator) < self.label_dropout
        return [z, t, ops.where(dropped, self.num_classes, y)], velocity

    def train_step(self, data):
        return super().train_step(self.regression(data))

    def test_step(self, data):
        return super().test_step(self.regression(data))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.mean(sum_per_image(ops.square(y - y_pred))) + self.penalties()

    def sample(self, count, labels=None, seed=0, **options) -> np.ndarray:
        """`count` examples (count, dim), with labels (count,) if it knows any: noise from N(0, I), by `transport`."""
        noise = np.random.default_rng(seed).normal(size=(count, self.network.output_shape[-1]))
        return self.transport(noise.astype(np.float32), labels, **options)

    def transport(self, z, labels=None, guidance=0.0, steps=20, method="heun") -> np.ndarray:
        """Carry noise z (n, dim) to data (n, dim), in equal steps from t = 0 to 1 by Euler's or by Heun's method.

        A step of Heun's method needs two velocities and is exact to second order. Labels are (n,); None stands for "no
        label". With guidance w, the velocity is v(label) + w (v(label) - v(no label)) (Ho and Salimans 2022).
        """
        labels = _check_transport(self, z, labels, guidance, steps, method)
        z = ops.convert_to_tensor(z, "float32")
        for t, after in pairwise(np.linspace(0, 1, steps + 1, dtype=np.float32)):
            v = self.velocity(z, t, labels, guidance)
            if method == "heun":
                v = (v + self.velocity(z + (after - t) * v, after, labels, guidance)) / 2
            z = z + (after - t) * v
        return ops.convert_to_numpy(z)

    def check_data(self, x, y=None):
        """Raises ValueError for data, or labels, that the model cannot be trained on."""
        check_images(x, self.network.output_shape[1:], name="data")
        if (y is None) == bool(self.num_classes):
            raise ValueError("A flow with num_classes needs labels, fit(x, y); without, it takes none: fit(x).")
        if y is not None:
            check_labels(y, self.num_classes, len(x))

    def velocity(self, z, t, labels, w):
        """The velocity (n, dim) at places z (n, dim) and the time t, for labels (n,) with guidance w."""
        inputs = [z, ops.full((len(z), 1), t)]
        v = self([*inputs, labels] if self.num_classes else inputs) if len(z) else z
        return v + w * (v - self([*inputs, ops.full_like(labels, self.num_classes)])) if w and len(z) else v


def _check_arguments(flow):
    shapes = [tuple(tensor.shape) for tensor in flow.network.inputs]
    expected = [flow.network.output_shape, (None, 1), *[(None,)] * bool(flow.num_classes)]
    if shapes != expected:
        raise ValueError(f"The network takes inputs of shapes {shapes}, but here it needs {expected}: z, t and labels.")
    if not 0 <= flow.label_dropout < 1:
        raise ValueError(f"label_dropout is {flow.label_dropout}: choose 0 (no label is dropped) or more, but below 1.")


def _check_transport(flow, z, labels, guidance, steps, method):
    check_images(z, flow.network.output_shape[1:], name="noise")
    if method not in ("euler", "heun"):
        raise ValueError(f"method is {method!r}: choose 'euler' or 'heun'.")
    if steps < 1:
        raise ValueError(f"steps is {steps}: at least one step leads from noise to data.")
    if labels is None and guidance:
        raise ValueError("Guidance strengthens a label: give labels, or guidance=0.")
    if labels is None:
        return np.full(len(z), flow.num_classes, np.int32)
    check_labels(labels, flow.num_classes, len(z))
    return np.asarray(labels, np.int32)
