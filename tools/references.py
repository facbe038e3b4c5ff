"""Published models that the course is compared with, rebuilt from the sizes of their layers. Pixels are in [0, 1].

`python -m tools.references` trains TensorFlow's DCGAN once, to its end, which takes more than an hour and a half, and
continues where it was cut off. It writes data/references/09_tutorial.json and samples, which chapter 09 reads.
"""

from utils.course.session import DATA, session, setup  # first: it keeps TensorFlow's log out of the output

# isort: split
import io
import os
import time

import keras
import numpy as np
from keras import layers

from utils import networks
from utils.course import records
from utils.course.checkpoints import Checkpoint
from utils.course.judge import load_judge
from utils.course.training import Progress, recipe_of, train
from utils.data import load_mnist
from utils.gan import GAN
from utils.vae import VAE


def tutorial_generator(latent_dim=100):
    """The generator of TensorFlow's DCGAN tutorial (tutorials/generative/dcgan), with pixels in [0, 1]."""
    up = {"padding": "same", "use_bias": False}
    stack = [keras.Input((latent_dim,)), layers.Dense(7 * 7 * 256, use_bias=False), layers.BatchNormalization()]
    stack += [layers.LeakyReLU(), layers.Reshape((7, 7, 256))]
    for filters, strides in ((128, 1), (64, 2)):
        stack += [layers.Conv2DTranspose(filters, 5, strides, **up), layers.BatchNormalization(), layers.LeakyReLU()]
    stack += [layers.Conv2DTranspose(1, 5, 2, activation="tanh", **up), layers.Rescaling(0.5, 0.5)]
    return keras.Sequential(stack, name="generator")


def tutorial_discriminator():
    """The discriminator of the same tutorial: images in [0, 1], which it rescales to [-1, 1], -> (batch, 1)."""
    stack = [keras.Input((28, 28, 1)), layers.Rescaling(2.0, -1.0)]
    for filters in (64, 128):
        stack += [layers.Conv2D(filters, 5, 2, "same"), layers.LeakyReLU(), layers.Dropout(0.3)]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(1)], name="discriminator")


def tutorial_dcgan():
    """The DCGAN of TensorFlow's tutorial (tutorials/generative/dcgan), for batches of 256."""
    model = GAN(tutorial_generator(), tutorial_discriminator(), 100, averaging=0, seed=0, name="reference")
    model.compile(keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4))
    return model


def course_dcgan():
    """The DCGAN of chapter 09, which is timed beside that of the tutorial; for batches of 128."""
    return GAN(networks.dcgan_generator(64), networks.dcgan_discriminator(), 64, gradient_penalty=0.1, seed=0)


def keras_vae():
    """The VAE of keras.io (examples/generative/vae), for batches of 128."""
    encoder = [keras.Input((28, 28, 1))]
    encoder += [layers.Conv2D(filters, 3, 2, "same", activation="relu") for filters in (32, 64)]
    encoder += [layers.Flatten(), layers.Dense(16, "relu"), layers.Dense(4)]
    decoder = [keras.Input((2,)), layers.Dense(7 * 7 * 64, "relu"), layers.Reshape((7, 7, 64))]
    decoder += [layers.Conv2DTranspose(filters, 3, 2, "same", activation="relu") for filters in (64, 32)]
    decoder += [layers.Conv2DTranspose(1, 3, padding="same")]
    model = VAE(keras.Sequential(encoder), keras.Sequential(decoder), seed=0, name="reference")
    model.compile(keras.optimizers.Adam())
    return model


EPOCHS, BATCH_SIZE = 50, 256  # as in the tutorial; its epochs have 60,000 images, ours leaves 10,000 for validation
SHOWN = (10, 25, 50)  # the epochs whose samples are kept
FOLDER = DATA / "references"


class Clock(keras.callbacks.Callback):
    """Seconds, and core seconds, of each epoch."""

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.perf_counter() - self.start[0]
        logs["core_seconds"] = time.process_time() - self.start[1]


class Distance(keras.callbacks.Callback):
    """After every second epoch: the Fréchet distance of samples from `images`."""

    def __init__(self, judge, images):
        super().__init__()
        self.judge, self.images = judge, images

    def on_epoch_end(self, epoch, logs=None):
        if epoch % 2:
            logs["frechet"] = self.judge.frechet(self.model.sample(len(self.images)), self.images)
            print(f"epoch {epoch + 1}: {logs['frechet']:.1f} after {logs['seconds']:.0f} s", flush=True)


def clock_of_the_course(images, epochs=4):
    """Core seconds of an epoch of chapter 09's DCGAN on this machine: the median, without the first."""
    model = course_dcgan()
    model.compile()
    model.jit_compile = False
    history = model.fit(images, batch_size=128, epochs=epochs, verbose=0, callbacks=[Clock()]).history
    return float(np.median(history["core_seconds"][1:]))


def train_tutorial_dcgan():
    digits, judge, model = load_mnist(), load_judge(), tutorial_dcgan()
    if not session.comparable:
        raise SystemExit("The reference is trained on real MNIST: set MNIST_PATH, or connect to a network.")
    (x_train, _), (x_validation, _) = digits.train, digits.validation
    fixed = np.random.default_rng(1).normal(size=(40, 100)).astype(np.float32)
    recipe = recipe_of(model, x_train, None, EPOCHS, BATCH_SIZE)
    checkpoint = Checkpoint("09_tutorial", model, recipe, snapshots=True)
    progress = Progress("tutorial", EPOCHS, checkpoint, lambda: model.generate(fixed))
    training = train(model, x_train, None, recipe, progress, [Clock(), Distance(judge, x_validation)])
    outcome = {key: training.history[key] for key in ("seconds", "core_seconds", "frechet")}
    outcome |= {"cores": os.cpu_count(), "core_seconds_of_the_course": clock_of_the_course(x_train)}
    otherwise, buffer = "its checkpoint stays, so the next call writes it", io.BytesIO()
    np.savez_compressed(buffer, **{str(epoch): training.snapshots[epoch - 1] for epoch in SHOWN})
    if records.written(FOLDER / "09_tutorial.npz", buffer.getvalue(), otherwise) and records.write(
        FOLDER / "09_tutorial.json", recipe, training.seconds, otherwise, outcome=outcome
    ):
        checkpoint.remove()


if __name__ == "__main__":
    setup(seed=0, mode="retrain")
    train_tutorial_dcgan()
