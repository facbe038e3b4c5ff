"""Train one model on several devices or workers (tf.distribute): what Keras leaves to be done, see chapter 11."""

import functools

import keras
import tensorflow as tf
from keras import ops

from utils.autoencoders import EncoderDecoder
from utils.base import optimizers_of, state_of
from utils.course.checkpoints import Checkpoint
from utils.course.pretrained import Training
from utils.course.session import session
from utils.course.training import Progress, recipe_of, train
from utils.gan import GAN, ConditionalGAN

_strategy = functools.cache(tf.distribute.MirroredStrategy)


def mirrored(*devices: str) -> tf.distribute.Strategy:
    """The `MirroredStrategy` of these devices, always the same object: with a second one, the next training fails."""
    return _strategy(devices)


def normal(shape, generator):
    """Standard normal numbers, of shape (batch, ...), that do not depend on how many replicas share the batch.

    The generators of all replicas are in the same state and would draw the same numbers. So each replica draws for the
    whole batch and takes its own rows.
    """
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return keras.random.normal(shape, seed=generator)
    drawn = keras.random.normal((context.num_replicas_in_sync * shape[0], *shape[1:]), seed=generator)
    first = context.replica_id_in_sync_group * shape[0]
    return drawn[first : first + shape[0]]


def replicated(model, strategy):
    """A copy of a compiled model of this course, with other weights, that trains under the strategy."""
    copy = type(model).from_config(model.get_config())
    copy.compile_from_config(model.get_compile_config())
    copy.jit_compile = model.jit_compile
    for source in (copy, getattr(copy, "sampling", None)):
        if hasattr(source, "normal"):
            source.normal = functools.partial(normal, generator=source.seed_generator)
    # Keras sums gradients over the replicas, and averages what several workers report over its first axis.
    replicas, compute_loss, step = strategy.num_replicas_in_sync, copy.compute_loss, copy.train_step
    if isinstance(model, GAN):
        for optimizer in optimizers_of(copy):
            optimizer.loss_scale_factor = replicas  # `apply` divides gradients by it, and no one multiplies losses
    else:
        copy.compute_loss = lambda *args, **kwargs: compute_loss(*args, **kwargs) / replicas
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        copy.train_step = lambda data: {name: ops.reshape(value, (1,)) for name, value in step(data).items()}
    return copy


def assign(variables, others) -> None:
    """Give variables the values of others."""
    for variable, other in zip(variables, others, strict=True):
        variable.assign(other.numpy())


def fit_replicated(model, x, strategy, *, epochs, batch_size, name=None, callbacks=()) -> Training:
    """Train a copy of a compiled model under the strategy; the model gets its state at the end.

    `x` is an array of images (n, ...); the last, partial batch of an epoch is left out. `batch_size` is that of all
    replicas together, a multiple of their number. With a `name`, a training that was cut off continues from its last
    epoch, as in `fit_or_load`. Raises ValueError if the model needs pairs, or if data or batches do not fit.
    """
    if not isinstance(model, EncoderDecoder | GAN) or isinstance(model, ConditionalGAN) or not hasattr(x, "shape"):
        raise ValueError("fit_replicated trains an Autoencoder, VAE or GAN on an array of images, not on pairs.")
    replicas = strategy.num_replicas_in_sync
    if batch_size > len(x) or batch_size % replicas:
        raise ValueError(f"batch_size is {batch_size}: choose a multiple of {replicas} that is at most {len(x)}.")
    recipe, state = recipe_of(model, x, None, epochs, batch_size), state_of(model)
    with strategy.scope():
        copy = replicated(model, strategy)
        assign(state_of(copy), state)
        checkpoint = Checkpoint(name, copy, recipe, writes=strategy.extended.should_checkpoint) if name else None
        progress = Progress(name or model.name, epochs, checkpoint)
        training = train(copy, x, None, recipe, progress, callbacks, whole_batches=True)
        assign(state, state_of(copy))
    if checkpoint:
        checkpoint.remove()
    keras.utils.set_random_seed(session.seed)
    return training
