"""Published models that the course is compared with, rebuilt from the sizes of their layers. Pixels are in [0, 1]."""

import keras
from keras import layers

from utils.gan import GAN
from utils.networks import tutorial_discriminator, tutorial_generator
from utils.vae import VAE


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
