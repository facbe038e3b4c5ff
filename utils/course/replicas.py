"""Train one model on several devices or workers (tf.distribute): the lines that chapter 11 explains, packaged."""

import keras
import tensorflow as tf
from keras import ops

from utils.autoencoders import EncoderDecoder
from utils.base import assign, optimizers_of, state_of
from utils.course.checkpoints import Checkpoint
from utils.course.pretrained import Training
from utils.course.session import session
from utils.course.training import Progress, recipe_of, train
from utils.gan import GAN, ConditionalGAN


def normal(shape, generator):
    """Standard normal numbers (batch, ...) of this replica: its rows of those that are drawn for the whole batch."""
    context = tf.distribute.get_replica_context()
    drawn = keras.random.normal((context.num_replicas_in_sync, *shape), seed=generator)
    return drawn[context.replica_id_in_sync_group]


def replicated(model, strategy):
    """A copy of a compiled model of this course, with other weights, that trains under the strategy."""
    copy, replicas = type(model).from_config(model.get_config()), strategy.num_replicas_in_sync
    copy.compile_from_config(model.get_compile_config())
    compute_loss, step = copy.compute_loss, copy.train_step
    for source in (copy, getattr(copy, "sampling", None)):
        if hasattr(source, "normal"):  # as Sampling and GAN do, which own a seed_generator
            source.normal = lambda shape, generator=source.seed_generator: normal(shape, generator)
    copy.compute_loss = lambda *args, **kwargs: compute_loss(*args, **kwargs) / replicas
    if isinstance(model, GAN):  # it has no compute_loss
        for optimizer in optimizers_of(copy):
            optimizer.loss_scale_factor = replicas  # `apply` divides the gradients by it
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        copy.train_step = lambda data: {name: ops.reshape(value, (1,)) for name, value in step(data).items()}
    return copy


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
        assign(state_of(copy), [variable.numpy() for variable in state])
        checkpoint = Checkpoint(name, copy, recipe, writes=strategy.extended.should_checkpoint) if name else None
        progress = Progress(name or model.name, epochs, checkpoint)
        training = train(copy, x, None, recipe, progress, callbacks, whole_batches=True)
        assign(state, [variable.numpy() for variable in state_of(copy)])
    if checkpoint:
        checkpoint.remove()
    keras.utils.set_random_seed(session.seed)
    return training
