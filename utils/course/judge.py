"""The judge: a small, frozen digit classifier that tells what an image shows and how far two sets of images lie apart.

`python -m tools.judge` trains it anew on the training part of MNIST and records how good it is.
"""

import keras
import numpy as np
from keras import layers

from utils import results, training
from utils.metrics import frechet_distance

__all__ = ["BATCH_SIZE", "EPOCHS", "Judge", "load_judge", "untrained_classifier"]

EPOCHS, BATCH_SIZE, TRAINING_IMAGES = 14, 64, 50_000


class Judge:
    """A trained classifier behind three questions. Images are float32 in [0, 1], shape (n, 28, 28, 1)."""

    def __init__(self, classifier):
        self._logits_and_features = keras.Model(
            classifier.inputs, [classifier.outputs[0], classifier.get_layer("features").output]
        )
        self._logits_and_features.jit_compile = False

    def classify(self, images) -> tuple[np.ndarray, np.ndarray]:
        """The class of each image, (n,), and the probability that the judge gives to it, its confidence, (n,)."""
        logits, _ = self._logits_and_features.predict(images, batch_size=1000, verbose=0)
        probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits.astype(np.float32)))
        return probabilities.argmax(axis=1), probabilities.max(axis=1)

    def features(self, images) -> np.ndarray:
        """What the last layer decides by: (n, 64), not negative."""
        _, features = self._logits_and_features.predict(images, batch_size=1000, verbose=0)
        return features.astype(np.float32)

    def frechet(self, images, reference) -> float:
        """Fréchet distance between the features of two sets of images: 0 where they look alike to the judge.

        It has no unit, and is only meaningful beside its floor, the distance of training from test images. Give
        10 000 images on each side: fewer make it larger.
        """
        return frechet_distance(self.features(images), self.features(reference))


def load_judge() -> Judge:
    """The judge of data/pretrained, in every mode: an instrument is not trained by those who measure with it.

    Prints how good it is. Raises FileNotFoundError or ValueError where the files are missing or do not fit.
    """
    classifier = untrained_classifier()
    try:
        training.load(classifier, "judge", epochs=EPOCHS, batch_size=BATCH_SIZE)
    except ValueError as error:
        raise ValueError(f"The judge cannot be used: {error}. Run `python -m tools.judge` to train it anew.") from error
    accuracy, floor = (results.load()["judge"][name]["value"] for name in ("judge_accuracy", "judge_frechet_floor"))
    print(f"judge: {accuracy:.2f} % of the MNIST test images right; Fréchet floor {floor:.3g}")
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
            layers.Dense(10, dtype="float32"),
        ],
        name="judge",
    )
    steps = EPOCHS * -(-TRAINING_IMAGES // BATCH_SIZE)
    classifier.compile(
        keras.optimizers.AdamW(training.cosine(3e-3, steps), weight_decay=0.01, use_ema=True, ema_momentum=0.998),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return classifier
