"""Train a small VAE, alone or with other workers: `python -m utils.course.worker FOLDER EPOCHS IMAGES`.

Chapter 11 starts it. The environment variable TF_CONFIG says which worker it is, and where the others are. FOLDER has
to be the same for all of them, because the checkpoints are in it. At the end each worker writes its weights there.
"""

import os
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from utils.course import checkpoints
from utils.course.replicas import fit_replicated
from utils.course.session import setup
from utils.data import load_mnist
from utils.networks import dense_decoder, dense_encoder
from utils.vae import VAE


def vae():
    """Twenty latents, one hidden layer of 256 units on each side."""
    model = VAE(dense_encoder(40, (256,)), dense_decoder(20, (256,)), seed=0, name="vae")
    model.compile(keras.optimizers.Adam(1e-3))
    return model


def work(folder: Path, epochs: int, images: int) -> None:
    """Train on the first `images` of MNIST, and leave the weights in the folder."""
    strategy, rank = tf.distribute.get_strategy(), 0
    if "TF_CONFIG" in os.environ:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before TensorFlow computes anything
        rank = strategy.cluster_resolver.task_id
    setup(seed=0, mode="standard", deterministic=True)
    checkpoints.CHECKPOINTS = folder  # and not that of the course
    x_train = load_mnist().train[0][:images]
    # For the process that waits for an epoch to be over, in section 6 of the chapter.
    say = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(f"\nepoch {epoch + 1}", flush=True))
    model = vae()
    fit_replicated(model, x_train, strategy, epochs=epochs, batch_size=128, name="worker", callbacks=[say])
    np.savez(folder / f"worker_{rank}.npz", *model.get_weights())


if __name__ == "__main__":
    work(Path(sys.argv[1]), *map(int, sys.argv[2:]))
