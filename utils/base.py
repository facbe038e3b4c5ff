"""What all models of the course share: how they are saved, the Keras habits, and a training that stops at NaN."""

import keras
import numpy as np
from keras import ops

from utils.checks import check_training_data


class TwoNetworks(keras.Model):
    """A model of networks: a subclass names them in `networks`, and its other constructor arguments in `options`."""

    networks: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def get_config(self):
        networks = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.networks}
        return {**super().get_config(), **networks, **{name: getattr(self, name) for name in self.options}}

    @classmethod
    def from_config(cls, config):
        networks = {name: keras.saving.deserialize_keras_object(config[name]) for name in cls.networks}
        return cls(**{**config, **networks})


class OwnLoss(TwoNetworks):
    """A model with one optimizer that defines its own loss: the Keras habits, and checks of the data.

    A subclass defines `call`, `compute_loss` and `check_data`, and says in `own_loss` how its loss is chosen. Before it
    is saved or exported it has to be built: it calls itself on a `keras.Input`.
    """

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """As `keras.Model.compile`, without `loss`: raises ValueError for one, because it would be ignored."""
        if loss is not None:
            raise ValueError(f"loss={loss!r} would be ignored: {self.own_loss}")
        super().compile(optimizer, **kwargs)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))
        self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *args, callbacks=None, **kwargs):
        """As `keras.Model.fit`; raises ValueError for data that do not fit, FloatingPointError as `StopAtNonFinite`."""
        x = check_training_data(x, y, self.check_data, kwargs.get("steps_per_epoch"), kwargs.get("sample_weight"))
        return super().fit(x, y, *args, callbacks=keras.tree.flatten([StopAtNonFinite(), callbacks or []]), **kwargs)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """As `keras.Model.evaluate`; raises ValueError for data that do not fit."""
        x = check_training_data(x, y, self.check_data, kwargs.get("steps"), kwargs.get("sample_weight"))
        return super().evaluate(x, y, *args, **kwargs)

    def penalties(self):
        """The sum of the penalties of the layers' regularizers, which half precision leaves in half precision."""
        return sum(ops.cast(penalty, "float32") for penalty in self.losses)


def predict(network, inputs):
    """Outputs of a network for all inputs, arrays (n, ...) or a list of such; n may be 0."""
    if not len(inputs[0] if isinstance(inputs, list) else inputs):
        empty = [np.zeros((0, *output.shape[1:]), np.float32) for output in network.outputs]
        return empty if len(empty) > 1 else empty[0]
    return network.predict(inputs, batch_size=1000, verbose=0)


def optimizers_of(model) -> list:
    """The model's optimizers: two for a GAN, otherwise one."""
    names = ("optimizer", "generator_optimizer", "discriminator_optimizer")
    return [optimizer for name in names if (optimizer := getattr(model, name, None)) is not None]


def state_of(model) -> list:
    """The variables that the rest of a training depends on: weights, averages, seeds, and the optimizers' own.

    Metrics are not among them, because they start anew with each epoch. An optimizer without variables gets them.
    """
    for optimizer in optimizers_of(model):
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
    return [*model.variables, *(variable for optimizer in optimizers_of(model) for variable in optimizer.variables)]


def assign(variables, values) -> None:
    """Give each of the variables its value."""
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class StopAtNonFinite(keras.callbacks.Callback):
    """Stops a training whose loss or weights are no longer finite, and brings back the state before that epoch.

    The state is that of `state_of`: weights and optimizers. Raises FloatingPointError.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.good = epoch, [variable.numpy() for variable in state_of(self.model)]

    def on_train_batch_end(self, batch, logs=None):
        if not np.isfinite(list((logs or {}).values())).all():
            self._stop("A loss")

    def on_epoch_end(self, epoch, logs=None):
        if not all(np.isfinite(weight).all() for weight in self.model.get_weights()):
            self._stop("A weight")

    def _stop(self, what):
        assign(state_of(self.model), self.good)
        raise FloatingPointError(
            f"{what} was not finite in epoch {self.epoch + 1}, so training stopped. Weights and optimizer are those "
            "from before this epoch. Look for inputs that are not finite, or lower the learning rate."
        )
