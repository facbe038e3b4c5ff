"""The judge: a small, frozen digit classifier, trained by `python -m tools.judge`, that measures generated images."""

import keras
import numpy as np
from keras import layers

from utils.base import predict
from utils.checks import check_images
from utils.course import results
from utils.course.training import load_pretrained
from utils.metrics import frechet_distance

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

        Compare it with `utils.metrics.frechet_of_real_images`. Give 10,000 images on each side: fewer make it larger.
        """
        return frechet_distance(self.features(images), self.features(reference))


def load_judge() -> Judge:
    """The judge of data/pretrained, in every mode; prints its accuracy. Raises ValueError as `load_pretrained` does."""
    classifier = untrained_classifier()
    load_pretrained(classifier, "judge")
    accuracy = results.load()["judge"]["judge_accuracy"]["value"]
    print(f"judge: {accuracy:.2f} % of the MNIST test images right")
    return Judge(classifier)


def untrained_classifier():
    """The judge before its training: three convolutions, two dense layers; images -> logits (batch, 10)."""

    def convolution(filters, size, strides=1):
        convolve = layers.Conv2D(filters, size, strides, "same", use_bias=False)
        return [convolve, layers.BatchNormalization(), layers.ReLU()]

    stack = [
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
    ]
    return keras.Sequential(stack, name="judge")
