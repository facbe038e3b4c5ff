"""Every kind of model of the course, small, with something to learn from; and a program that tests run as a process.

`python tests/zoo.py train FOLDER EPOCHS NAME ...` trains under each name, as a notebook does, says so after each epoch,
and leaves the state in FOLDER/NAME.state.npz; with "parts" in place of "train" each training is cut off after two
epochs and continued, with "devices" or "worker" it runs under a strategy.
`python tests/zoo.py load FOLDER NAME ...` loads saved models by their files alone and writes what they make of the
inputs beside them.
"""

import contextlib
import functools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import utils  # noqa: F401  # isort: skip

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from utils.autoencoders import Autoencoder
from utils.base import state_of
from utils.course import checkpoints, pretrained, session
from utils.course.replicas import fit_replicated
from utils.course.training import cosine, fit_or_load
from utils.data import DynamicallyBinarized, NoisyPairs, drop_pixels, flat
from utils.drawn.digits import draw_digits
from utils.flow import FlowMatching
from utils.gan import GAN, ConditionalGAN
from utils.networks import (
    conditional_discriminator,
    conditional_generator,
    convolutional_decoder,
    convolutional_encoder,
    dcgan_discriminator,
    dcgan_generator,
    dense_decoder,
    dense_discriminator,
    dense_encoder,
    dense_generator,
    velocity_network,
)
from utils.vae import VAE


@functools.cache
def digits(count=96):
    """Stand-in digits, float32 (count, 28, 28, 1), and their labels."""
    drawn, labels, _ = draw_digits(count, seed=1)
    return drawn[..., None].astype(np.float32) / 255, labels


def adam():
    return keras.optimizers.Adam(cosine(1e-3, 100, warmup=3))


def with_one_optimizer(model):
    model.compile(adam())
    return model


def with_two_optimizers(model):
    model.compile(adam(), adam())
    return model


def stacked():
    """Encoders of encoders, as chapter 04 stacks them: 784 -> 12 -> 5 -> 12 -> 784."""

    def block(shape, code):
        up = [layers.Dense(int(np.prod(shape))), layers.Reshape(shape)]
        return (
            keras.Sequential([keras.Input(shape), layers.Flatten(), layers.Dense(code, "relu")]),
            keras.Sequential([keras.Input((code,)), *up]),
        )

    encoders, decoders = zip(block((28, 28, 1), 12), block((12,), 5), strict=True)
    return Autoencoder(keras.Sequential(encoders), keras.Sequential(decoders[::-1]))


def dense_vae(**options):
    return with_one_optimizer(VAE(dense_encoder(6, (16,)), dense_decoder(3, (16,)), seed=0, **options))


def judge():
    """A small classifier with all kinds of layers that the judge has, and its optimizer."""
    classifier = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=2),
            layers.Conv2D(4, 5, 4, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    classifier.compile(keras.optimizers.AdamW(cosine(3e-3, 100, 3), use_ema=True), loss, metrics=["accuracy"])
    return classifier


def dense_parts():
    return dense_generator(3, (16,)), dense_discriminator(hidden=(16,))


def dc_parts():
    return dcgan_generator(3, 8, (4, 4)), dcgan_discriminator((4, 4), 8)


def told_parts():
    return conditional_generator(3, 10, 8, (4, 4)), conditional_discriminator(10, (4, 4), 8)


BUILDERS = {
    "autoencoder": lambda: with_one_optimizer(Autoencoder(dense_encoder(3, (16,)), dense_decoder(3, (16,)))),
    "convolutional": lambda: with_one_optimizer(
        Autoencoder(convolutional_encoder(3, (4, 4)), convolutional_decoder(3, (4, 4)), "cross_entropy")
    ),
    "denoising": lambda: with_one_optimizer(Autoencoder(dense_encoder(3, (16,)), dense_decoder(3, (16,)))),
    "stacked": lambda: with_one_optimizer(stacked()),
    "vae": lambda: dense_vae(warm_up_steps=5),
    "vae_gaussian": lambda: dense_vae(likelihood="gaussian", pixel_std=0.5, beta=2.0),
    "vae_binarized": dense_vae,
    "gan": lambda: with_two_optimizers(GAN(*dense_parts(), 3, seed=0)),
    "dcgan": lambda: with_two_optimizers(GAN(*dc_parts(), 3, gradient_penalty=0.1, seed=0)),
    "cgan": lambda: with_two_optimizers(ConditionalGAN(*told_parts(), 3, 10, gradient_penalty=0.1, seed=0)),
    "flow": lambda: with_one_optimizer(FlowMatching(velocity_network(784, 10, 8, 1), num_classes=10, seed=0)),
    "judge": judge,
}
REPLICATED = [
    name for name in BUILDERS if name not in ("denoising", "vae_binarized", "cgan", "flow", "judge")
]  # from images


def build(name):
    """A compiled model with seeded weights."""
    keras.utils.set_random_seed(0)
    return BUILDERS[name]()


def lessons(name) -> dict:
    """What `fit_or_load` needs besides: x, and y or batch_size where there is one."""
    images, labels = digits()
    if name == "denoising":
        return {"x": NoisyPairs(images, drop_pixels, 32, seed=0, rate=0.5)}
    if name == "vae_binarized":
        return {"x": DynamicallyBinarized(images, 32, seed=0)}
    pairs = {"y": labels} if name in ("cgan", "flow", "judge") else {}
    return {"x": flat(images) if name == "flow" else images, **pairs, "batch_size": 32}


def inputs(model, count=5):
    """Something that the model takes, from a seeded generator."""
    random = np.random.default_rng(0)
    if isinstance(model, ConditionalGAN):
        return [random.normal(size=(count, 3)).astype(np.float32), np.arange(count)]
    if isinstance(model, FlowMatching):
        return [flat(digits(count)[0]), random.uniform(size=(count, 1)).astype(np.float32), np.arange(count)]
    if isinstance(model, GAN):
        return random.normal(size=(count, 3)).astype(np.float32)
    return digits(count)[0]


def outputs(model, given) -> list[np.ndarray]:
    """What the model makes of it, as arrays. The generators of its layers are set back before."""
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            variable.assign([7, 0])
    return [np.asarray(output) for output in keras.tree.flatten(model(given, training=False))]


class Say(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print(f"epoch {epoch + 1}", flush=True)


def start(folder):
    pretrained.PRETRAINED = checkpoints.CHECKPOINTS = folder
    session.setup(seed=0, mode="standard", deterministic=True)


def leave(folder, name, model, found):
    """The state of a trained model, without its generators (`fit_or_load` sets them back), and what it reported."""
    state = [np.asarray(variable) for variable in state_of(model) if variable.name != "seed_generator_state"]
    extra = {} if found.snapshots is None else {"snapshots": found.snapshots}
    np.savez(folder / f"{name}.state.npz", *state, history=np.stack(list(found.history.values())), **extra)


def train(folder, epochs, *names, callbacks=()):
    start(folder)
    for name in names:
        model = build(name)
        pictures = {"snapshot": lambda model=model: model.sample(4)} if name == "gan" else {}
        options = lessons(name) | pictures | {"name": name, "epochs": int(epochs)}
        leave(folder, name, model, fit_or_load(model, **options, callbacks=[Say(), *callbacks]))


class CutOff(keras.callbacks.Callback):
    """Stops a training at the start of its third epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def train_in_two_parts(folder, epochs, *names):
    for name in names:
        with contextlib.suppress(KeyboardInterrupt):
            train(folder, epochs, name, callbacks=[CutOff()])
        train(folder, epochs, name)


def train_replicated(folder, epochs, *names, strategy):
    start(folder)
    for name in names:
        model = build(name)
        options = {"epochs": int(epochs), "name": name, "callbacks": [Say()]}
        leave(folder, name, model, fit_replicated(model, **lessons(name), strategy=strategy, **options))


def train_on_two_devices(folder, epochs, *names):
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], 2 * [tf.config.LogicalDeviceConfiguration()]
    )
    train_replicated(folder, epochs, *names, strategy=tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))


def train_as_a_worker(folder, epochs, *names):
    """With the other workers that the environment variable TF_CONFIG names."""
    train_replicated(folder, epochs, *names, strategy=tf.distribute.MultiWorkerMirroredStrategy())


def load(folder, *names):
    for name in names:
        model = keras.models.load_model(folder / f"{name}.keras")
        np.savez(folder / f"{name}.outputs.npz", *outputs(model, inputs(model)))


if __name__ == "__main__":
    programs = {
        "train": train,
        "parts": train_in_two_parts,
        "devices": train_on_two_devices,
        "worker": train_as_a_worker,
        "load": load,
    }
    programs[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
