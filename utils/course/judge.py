"""The judge: a small, frozen digit classifier. It tells what an image shows and how far two sets of images lie apart.

`python -m tools.judge` trains it anew on the training part of MNIST and records its accuracy.
"""

import keras
import numpy as np
from keras import layers

from utils.base import predict
from utils.checks import check_images
from utils.course import results
from utils.course.training import cosine, load_pretrained, steps_of
from utils.metrics import frechet_distance

EPOCHS, BATCH_SIZE = 14, 64


LIMITS = (-10, 10)  # the means of a Gaussian decoder may leave [0, 1]; pixels up to 255 are a mistake


class Judge:
    """Three questions to a trained classifier (`untrained_classifier`). Images: (n, 28, 28, 1), pixels in [0, 1]."""

    def __init__(self, classifier):
        self.network = keras.Model(classifier.inputs, [classifier.outputs[0], classifier.get_layer("features").output])
        self.network.jit_compile = False  # a few batches of predict do not repay a compilation

    def classify(self, images) -> tuple[np.ndarray, np.ndarray]:
        """The class of each image, (n,), and its confidence, the probability that the judge assigns to it, (n,)."""
        check_images(images, (28, 28, 1), LIMITS)
        probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(predict(self.network, images)[0]))
        return probabilities.argmax(axis=1), probabilities.max(axis=1)

    def features(self, images) -> np.ndarray:
        """The inputs of the last layer: (n, 64), not negative."""
        check_images(images, (28, 28, 1), LIMITS)
        return predict(self.network, images)[1]

    def frechet(self, images, reference) -> float:
        """Fréchet distance between the features of two sets of images: 0 if their means and covariances agree.

        It has no unit: compare it with `utils.metrics.frechet_of_real_images`. Give 10,000 images on each side, because
        fewer make it larger.
        """
        return frechet_distance(self.features(images), self.features(reference))


def load_judge() -> Judge:
    """The judge of data/pretrained, in every mode, because a measuring instrument is not trained with the models.

    Prints its accuracy. Raises ValueError if the files are missing, damaged, or of another network.
    """
    classifier = untrained_classifier()
    load_pretrained(classifier, "judge")
    accuracy = results.load()["judge"]["judge_accuracy"]["value"]
    print(f"judge: {accuracy:.2f} % of the MNIST test images right")
    return Judge(classifier)


def untrained_classifier():
    """The judge before its training, compiled: three convolutions, two dense layers; images -> logits (batch, 10)."""

    def convolution(filters, size, strides=1):
        return [
            layers.Conv2D(filters, size, strides, "same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
        ]

    classifier = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.RandomRotation(0.04, fill_mode="constant", seed=1),  # of a turn: 14 degrees
            layers.RandomTranslation(0.1, 0.1, fill_mode="constant", seed=2),
            layers.RandomZoom(0.1, fill_mode="constant", seed=3),
            *convolution(32, 5, strides=2),  # (batch, 14, 14, 32)
            *convolution(64, 3),
            layers.MaxPool2D(),
            *convolution(128, 3),  # (batch, 7, 7, 128)
            layers.Flatten(),
            layers.Dense(64, "relu", name="features"),
            layers.Dropout(0.3),
            layers.Dense(10),
        ],
        name="judge",
    )
    schedule = cosine(3e-3, steps_of(EPOCHS, 50_000, BATCH_SIZE))
    classifier.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.01, use_ema=True, ema_momentum=0.998),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return classifier
