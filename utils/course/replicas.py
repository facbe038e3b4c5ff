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


@functools.cache
def mirrored(*devices: str) -> tf.distribute.Strategy:
    """The `MirroredStrategy` of these devices: the same object each time.

    With a new one for each model, the second training fails: "Shape mismatch in the collective instance".
    """
    return tf.distribute.MirroredStrategy(list(devices))


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
    """A copy of a compiled model of this course, with other weights, that trains under the strategy.

    Losses, or a GAN's gradients, are divided by the number of replicas, because Keras sums gradients over them; and
    with several workers, what a step reports has an axis to average over.
    """
    copy = type(model).from_config(model.get_config())
    copy.compile_from_config(model.get_compile_config())
    copy.jit_compile = model.jit_compile
    for source in (copy, getattr(copy, "sampling", None)):
        if hasattr(source, "normal"):
            source.normal = functools.partial(normal, generator=source.seed_generator)
    replicas, compute_loss, step = strategy.num_replicas_in_sync, copy.compute_loss, copy.train_step
    if model.optimizer is None:  # a GAN, whose step leaves its losses as they are
        for optimizer in optimizers_of(copy):
            optimizer.loss_scale_factor = replicas  # `apply` divides by it
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

    With a `name`, a training that was cut off continues from its last epoch, as in `fit_or_load`.

    Args:
        model: an Autoencoder, VAE or GAN whose training has not begun.
        x: array of images (n, ...). The last, partial batch of an epoch is left out.
        epochs, callbacks: as for `keras.Model.fit`.
        batch_size: of all replicas together, a multiple of their number.

    Raises ValueError if the model needs pairs, or if the data or the size of the batches do not fit.
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
