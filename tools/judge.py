"""Train the judge (`utils.course.judge`) anew on real MNIST, and record how good it is: `python -m tools.judge`."""

from utils.course import judge, results
from utils.course.session import session, setup
from utils.course.training import fit_or_load
from utils.data import load_mnist

if __name__ == "__main__":
    setup(seed=0, mode="retrain")
    digits = load_mnist()
    if not session.comparable:
        raise SystemExit("The judge is trained on real MNIST: set MNIST_PATH, or connect to a network.")
    classifier = judge.untrained_classifier()
    fit_or_load(
        classifier,
        *digits.train,
        name="judge",
        epochs=judge.EPOCHS,
        batch_size=judge.BATCH_SIZE,
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
