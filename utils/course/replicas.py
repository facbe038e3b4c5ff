"""Train one model on several devices or workers (tf.distribute): what Keras leaves to be done."""

import contextlib

import keras
import tensorflow as tf
from keras import ops

__all__ = ["copy_state", "normal", "optimizers_of", "replicated", "state_of", "writes"]


def normal(shape, generator, dtype=None):
    """As `keras.random.normal`, of shape (batch, ...), in a training or on its own.

    Under a strategy a batch is divided among replicas whose generators are all in the same state, and would draw the
    same numbers. So each draws for the whole batch, and takes its own rows: together they draw what one device would.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return keras.random.normal(shape, dtype=dtype, seed=generator)
    drawn = keras.random.normal((context.num_replicas_in_sync * shape[0], *shape[1:]), dtype=dtype, seed=generator)
    first = context.replica_id_in_sync_group * shape[0]
    return drawn[first : first + shape[0]]


def optimizers_of(model) -> list:
    """Of a GAN, its two; of another model, its one."""
    names = ("optimizer", "generator_optimizer", "discriminator_optimizer")
    return [optimizer for name in names if (optimizer := getattr(model, name, None)) is not None]


def state_of(model) -> list:
    """The variables that the rest of a training depends on: weights, averages, seeds, and those of the optimizers.

    Metrics are not among them: they start anew with each epoch. Optimizers that have no variables yet get them.
    """
    for optimizer in optimizers_of(model):
        if not optimizer.built:
            optimizer.build(model.trainable_variables)
    return [*model.variables, *(variable for optimizer in optimizers_of(model) for variable in optimizer.variables)]


def copy_state(source, target) -> None:
    """Give a model, compiled as another one is, the other one's state."""
    values = [variable.numpy() for variable in state_of(source)]
    scope = target.distribute_strategy.scope if target.distribute_strategy else contextlib.nullcontext
    with scope():
        for variable, value in zip(state_of(target), values, strict=True):
            variable.assign(value)


def replicated(model, strategy, batch):
    """A copy of a compiled and built model, in the same state, that trains under the strategy.

    `batch` is some of what it will be trained on, (x,) or (x, y).
    """
    with strategy.scope():
        copy = type(model).from_config(model.get_config())
        copy.compile_from_config(model.get_compile_config())
    copy.jit_compile = model.jit_compile
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        copy.train_step, copy.test_step = _in_a_row(copy.train_step), _in_a_row(copy.test_step)
    # Before `fit`, Keras averages a batch over the replicas to build loss and metrics from it. That fails for pairs
    # where there are several workers, and for batches that do not divide evenly. So build them here, and leave it out.
    if model.loss is not None:
        copy.test_on_batch(*batch)
    copy._maybe_symbolic_build = lambda **_: None
    copy_state(model, copy)
    return copy


def _in_a_row(step):
    """Keras averages what a step reports over the first axis where there are several workers, so give it one."""

    def reshaped(data):
        return {name: ops.reshape(value, (1,)) for name, value in step(data).items()}

    return reshaped


def writes(strategy) -> bool:
    """True for the one worker that writes files; the others read them."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or resolver.task_type in (None, "", "chief"):
        return True
    return (resolver.task_type, resolver.task_id) == ("worker", 0) and "chief" not in resolver.cluster_spec().jobs
