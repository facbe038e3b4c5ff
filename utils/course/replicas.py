"""Train one model on several devices or workers (tf.distribute): what Keras leaves to be done, see chapter 11."""

import contextlib
import functools

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from utils.autoencoders import EncoderDecoder
from utils.base import optimizers_of, state_of
from utils.checks import check_training_data
from utils.course.checkpoints import Checkpoint, Progress, shuffled_epochs
from utils.course.pretrained import Training
from utils.course.session import session
from utils.course.training import AfterEpoch, recipe_of
from utils.gan import GAN, ConditionalGAN


@functools.cache
def mirrored(*devices: str) -> tf.distribute.Strategy:
    """The `MirroredStrategy` of these devices: the same object each time.

    A new object counts its collective operations from the start, as the earlier ones did. So the second model that a
    process trains, under a strategy object of its own, fails: "Shape mismatch in the collective instance".
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
    """A copy of a compiled model of this course, in the same state, that trains under the strategy.

    Three things differ from the original: noise is drawn by `normal`; losses, or a GAN's gradients, are divided by the
    number of replicas, because Keras sums gradients over them; and with several workers, what a step reports has an
    axis to average over.
    """
    with strategy.scope():
        copy = type(model).from_config(model.get_config())
        copy.compile_from_config(model.get_compile_config())
    # XLA on a CPU compiles for seconds, and does not gain them back.
    copy.jit_compile = model.jit_compile and bool(tf.config.list_physical_devices("GPU"))
    for source in (copy, getattr(copy, "sampling", None)):
        if hasattr(source, "normal"):
            source.normal = functools.partial(normal, generator=source.seed_generator)
    replicas = strategy.num_replicas_in_sync
    if model.optimizer is None:  # a GAN
        for optimizer in optimizers_of(copy):
            optimizer.apply = _with_mean_gradients(optimizer.apply, replicas)
    else:
        compute_loss = copy.compute_loss
        copy.compute_loss = lambda *args, **kwargs: compute_loss(*args, **kwargs) / replicas
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        copy.train_step = _in_a_row(copy.train_step)
    copy_state(model, copy)
    return copy


def _with_mean_gradients(apply, replicas):
    def divided(gradients, variables=None):
        return apply([gradient / replicas for gradient in gradients], variables)

    return divided


def _in_a_row(step):
    """Keras averages what a step reports over the first axis if there are several workers, so add one."""

    def reshaped(data):
        return {name: ops.reshape(value, (1,)) for name, value in step(data).items()}

    return reshaped


def copy_state(source, target) -> None:
    """Give a model the state of another one, which has been compiled in the same way."""
    values = [variable.numpy() for variable in state_of(source)]
    scope = target.distribute_strategy.scope if target.distribute_strategy else contextlib.nullcontext
    with scope():
        for variable, value in zip(state_of(target), values, strict=True):
            variable.assign(value)


def fit_replicated(model, x, strategy, *, epochs, batch_size, name=None, callbacks=()) -> Training:
    """Train a copy of a compiled model under the strategy; the model gets its state at the end.

    With a `name`, a training that was cut off continues from its last epoch, as in `fit_or_load`. Two things do not
    work, because Keras averages the first batch over the replicas to build the model from it: pairs (x, y), where
    there are several workers, and batches that do not divide evenly.

    Args:
        model: an Autoencoder, VAE or GAN whose training has not begun.
        x: array of images (n, ...). The last, partial batch of an epoch is left out.
        strategy: a `tf.distribute.Strategy`.
        epochs, callbacks: as for `keras.Model.fit`.
        batch_size: of all replicas together, a multiple of their number.
        name: of the checkpoint; None for none.

    Raises:
        ValueError: the model needs pairs, the data do not fit it, or the batch size does not fit data and replicas.
    """
    if not isinstance(model, EncoderDecoder | GAN) or isinstance(model, ConditionalGAN) or not hasattr(x, "shape"):
        raise ValueError(
            "fit_replicated trains an Autoencoder, VAE or GAN on an array of images: with several workers, Keras "
            "cannot train on pairs, such as images and labels."
        )
    replicas = strategy.num_replicas_in_sync
    if batch_size > len(x) or batch_size % replicas:
        raise ValueError(
            f"batch_size is {batch_size} for {len(x)} examples and {replicas} replicas together: choose a multiple of "
            f"{replicas} that is at most {len(x)}."
        )
    recipe = recipe_of(model, x, None, epochs, batch_size)
    check_training_data(x, None, model.check_data)
    keras.utils.set_random_seed(session.seed)
    trained = replicated(model, strategy)
    checkpoint = Checkpoint(name, trained, recipe) if name else None
    with strategy.scope():
        progress = checkpoint.resume(writes(strategy)) if checkpoint else Progress()
    after_epoch = AfterEpoch(progress, epochs, name or model.name, None, checkpoint if writes(strategy) else None)
    stream = shuffled_epochs((np.asarray(x),), batch_size, session.seed, progress.epochs, epochs, whole_batches=True)
    trained.fit(
        stream.map(lambda images: images),  # not (images,): several workers cannot average tuples
        epochs=epochs,
        initial_epoch=progress.epochs,
        steps_per_epoch=len(x) // batch_size,
        shuffle=False,
        callbacks=[*callbacks, after_epoch],
        verbose=0,
    )
    copy_state(trained, model)
    if checkpoint and writes(strategy):
        checkpoint.remove()
    keras.utils.set_random_seed(session.seed)
    return Training(progress.history, progress.seconds, False, recipe)


def writes(strategy) -> bool:
    """True for the one worker that writes files; the others read them."""
    resolver = getattr(strategy, "cluster_resolver", None)
    if resolver is None or resolver.task_type in (None, "", "chief"):
        return True
    return (resolver.task_type, resolver.task_id) == ("worker", 0) and "chief" not in resolver.cluster_spec().jobs
