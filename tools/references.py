"""Published models that the course is compared with, rebuilt from the sizes of their layers. Pixels are in [0, 1].

`python -m tools.references` trains TensorFlow's DCGAN once, to its end, which takes more than an hour and a half, and
continues where it was cut off. It writes data/studies/09_tutorial.json and samples; no chapter reads them yet.
"""

from utils.course.session import session, setup  # first: it keeps TensorFlow's log out of the output

# isort: split
import io
import os
import time

import keras
import numpy as np
from keras import layers

from utils.course import records
from utils.course.checkpoints import Checkpoint
from utils.course.judge import load_judge
from utils.course.studies import STUDIES
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


EPOCHS, BATCH_SIZE = 60, 256  # of 50,000 images: as many steps as the tutorial's 50 epochs of 60,000
SHOWN = (10, 25, 50, 60)  # the epochs whose samples are kept


class Measured(keras.callbacks.Callback):
    """Seconds and core seconds of each epoch; after every second one, the distance of 10,000 samples from `images`."""

    def __init__(self, judge, images):
        super().__init__()
        self.judge, self.images = judge, images

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        logs["seconds"] = time.perf_counter() - self.start[0]
        logs["core_seconds"] = time.process_time() - self.start[1]
        if epoch % 2:
            logs["frechet"] = self.judge.frechet(self.model.sample(len(self.images)), self.images)
            print(f"epoch {epoch + 1}: {logs['frechet']:.1f} after {logs['seconds']:.0f} s", flush=True)


def train_tutorial_dcgan():
    digits, judge, model = load_mnist(), load_judge(), tutorial_dcgan()
    if not session.comparable:
        raise SystemExit("The reference is trained on real MNIST: set MNIST_PATH, or connect to a network.")
    (x_train, _), (x_validation, _) = digits.train, digits.validation
    fixed = np.random.default_rng(1).normal(size=(40, 100)).astype(np.float32)
    recipe = recipe_of(model, x_train, None, EPOCHS, BATCH_SIZE)
    checkpoint = Checkpoint("09_tutorial", model, recipe, snapshots=True)
    progress = Progress("tutorial", EPOCHS, checkpoint, lambda: model.generate(fixed))
    training = train(model, x_train, None, recipe, progress, [Measured(judge, x_validation)])
    history, buffer = training.history, io.BytesIO()
    outcome = {key: history[key] for key in ("seconds", "core_seconds", "frechet")} | {"cores": os.cpu_count()}
    otherwise = "its checkpoint stays, so the next call writes it"
    np.savez_compressed(buffer, **{str(epoch): training.snapshots[epoch - 1] for epoch in SHOWN})
    if records.written(STUDIES / "09_tutorial.npz", buffer.getvalue(), otherwise) and records.write(
        STUDIES / "09_tutorial.json", recipe, training.seconds, otherwise, outcome=outcome
    ):
        checkpoint.remove()


if __name__ == "__main__":
    setup(seed=0, mode="retrain")
    train_tutorial_dcgan()
