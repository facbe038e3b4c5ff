"""How fast a model trains: chapter 11 and `make bench` watch with it."""

import time

import keras


class Pace(keras.callbacks.Callback):
    """Counts the steps per second of a training, and stops it when it has watched for so many seconds.

    The clock starts after the first batch, in which Keras traces the graph and compiles it.
    """

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.steps, self.times = seconds, [0], []

    def on_train_begin(self, logs=None):
        self.times.append(time.perf_counter())

    def on_epoch_begin(self, epoch, logs=None):
        self.before = self.steps[-1]

    def on_train_batch_end(self, batch, logs=None):
        self.times.append(time.perf_counter())
        self.steps.append(self.before + batch + 1)  # so far; one call may be several steps
        self.model.stop_training = len(self.times) > 3 and self.times[-1] - self.times[1] > self.seconds

    @property
    def seconds_to_first_batch(self) -> float:
        return self.times[1] - self.times[0]

    @property
    def steps_per_second(self) -> float:
        return (self.steps[-1] - self.steps[1]) / (self.times[-1] - self.times[1])
