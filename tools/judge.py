"""Train the judge (`utils.judge`) anew on real MNIST, and record how good it is: `python -m tools.judge`."""

from utils import judge, results
from utils.data import load_mnist
from utils.runtime import session, setup
from utils.training import fit_or_load

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
    results.record("judge", "judge_accuracy", accuracy, "% of test images", "higher")
    results.record("judge", "judge_frechet_floor", floor, "Fréchet distance, training to test images", "lower")
    print(f"{accuracy:.2f} % of the test images right; Fréchet floor {floor:.3g}")
