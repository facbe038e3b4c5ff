"""Train the judge (`utils.course.judge`) anew on real MNIST, and record how good it is: `python -m tools.judge`."""

from utils.course.session import session, setup  # first: it keeps TensorFlow's log out of the output

# isort: split
import keras

from utils.course import judge, results
from utils.course.training import cosine, fit_or_load, steps_of
from utils.data import load_mnist

EPOCHS, BATCH_SIZE = 14, 64


def compiled_classifier():
    """The judge's network before its training, compiled."""
    classifier = judge.untrained_classifier()
    schedule = cosine(3e-3, steps_of(EPOCHS, 50_000, BATCH_SIZE))
    classifier.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.01, use_ema=True, ema_momentum=0.998),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return classifier


if __name__ == "__main__":
    setup(seed=0, mode="retrain")
    digits = load_mnist()
    if not session.comparable:
        raise SystemExit("The judge is trained on real MNIST: set MNIST_PATH, or connect to a network.")
    classifier = compiled_classifier()
    fit_or_load(
        classifier,
        *digits.train,
        name="judge",
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        validation_data=digits.validation,
    )
    trained, (x_test, y_test) = judge.Judge(classifier), digits.test
    accuracy = 100 * (trained.classify(x_test)[0] == y_test).mean()
    floor = trained.frechet(digits.train[0][: len(x_test)], x_test)
    figures = {
        "judge_accuracy": (accuracy, "% of test images", "higher"),
        "judge_frechet_floor": (floor, "Fréchet distance, training to test images", "lower"),
    }
    results.table("judge", figures, headline="judge_accuracy")
