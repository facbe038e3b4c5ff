"""What all models of the course share: two networks, how they are saved, and a training that stops at NaN."""

import keras
import numpy as np


class TwoNetworks(keras.Model):
    """A model of two networks: a subclass names them in `networks`, its other constructor arguments in `options`."""

    networks: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    def get_config(self):
        networks = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.networks}
        return {**super().get_config(), **networks, **{name: getattr(self, name) for name in self.options}}

    @classmethod
    def from_config(cls, config):
        networks = {name: keras.saving.deserialize_keras_object(config[name]) for name in cls.networks}
        return cls(**{**config, **networks})


def predict(network, inputs):
    """Outputs of a network for all inputs, arrays (n, ...) or a list of such; n may be 0."""
    count = len(inputs[0] if isinstance(inputs, list) else inputs)
    if count == 0:
        return np.zeros((0, *network.output_shape[1:]), np.float32)
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
        for variable, value in zip(state_of(self.model), self.good, strict=True):
            variable.assign(value)
        raise FloatingPointError(
            f"{what} was not finite in epoch {self.epoch + 1}, so training stopped. Weights and optimizer are those "
            "from before this epoch. Look for inputs that are not finite, or lower the learning rate."
        )
