"""Ask for each record of data/pretrained as the chapters do, on this release of Keras, and say which do not fit.

    python -m tests.recipes

The cells of all chapters run in standard mode with the work left out: `fit` and `evaluate` return 1, `predict` returns
0.5, and scikit-learn's models refuse. A cell that cannot go on with these is skipped; a record that no cell asked for
counts as one that does not fit. It needs real MNIST, as the lengths of some trainings follow from the number of images.
"""

import contextlib
import io
import os
import sys
import warnings
from types import SimpleNamespace

os.environ |= {"COURSE_MODE": "standard", "MPLBACKEND": "Agg"}

import keras
import nbformat
import numpy as np
from sklearn.utils import all_estimators

import tools
from utils import runtime, training
from utils.data import load_mnist

METRICS = ("loss", "val_loss", "accuracy", "kl_loss", "reconstruction_loss", "d_loss", "g_loss")
FIGURES = dict.fromkeys(METRICS, 1.0)


def leave_out_the_work() -> None:
    def fit(model, *_, callbacks=(), **__):
        for callback in callbacks:
            if isinstance(callback, training._AfterEpoch):
                callback.set_model(model)
                callback.on_train_begin()
                callback.on_epoch_end(0, FIGURES)
        return SimpleNamespace(history={name: [value] for name, value in FIGURES.items()})

    def evaluate(model, *_, return_dict=False, **__):
        return FIGURES if return_dict else 1.0

    def predict(model, x, **_):
        count, shapes = len(x[0] if isinstance(x, list) else x), model.output_shape
        if shapes[0] is None:
            return np.full((count, *shapes[1:]), 0.5, np.float32)
        return [np.full((count, *shape[1:]), 0.5, np.float32) for shape in shapes]

    def refuse(*_, **__):
        raise RuntimeError("this work is left out")

    for kind in (keras.Model, *descendants(keras.Model)):
        kind.fit, kind.evaluate, kind.predict = fit, evaluate, predict
    for _, kind in all_estimators():
        for name in {"fit", "fit_transform", "fit_predict"}.intersection(dir(kind)):
            setattr(kind, name, refuse)


def descendants(kind):
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def asked() -> dict[str, str]:
    """Name of a record -> why it cannot be loaded, or an empty string."""
    answers, load = {}, training.load
    begin = tuple({record.stem[:2] for record in training.PRETRAINED.glob("*.json")})

    def remembering(model, name, **options):
        answers[name] = "not read to its end"
        try:
            found = load(model, name, **options)
        except (OSError, ValueError) as error:
            answers[name] = str(error)
            raise
        answers[name] = ""
        return found

    training.load = remembering
    for path in (path for path in tools.chapters() if path.stem.startswith(begin)):
        names = {}
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "code":
                with contextlib.suppress(Exception):
                    exec(cell.source, names)
    return answers


def main() -> int:
    load_mnist()
    if not runtime.session.comparable:
        print("Records can be compared with real MNIST only: set MNIST_PATH.")
        return 0
    leave_out_the_work()
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        answers = asked()
    for record in sorted(training.PRETRAINED.glob("*.json")):
        answers.setdefault(record.stem, "no chapter asked for it")
    wrong = {name: answer for name, answer in answers.items() if answer}
    print(f"Keras {keras.__version__}: {len(answers) - len(wrong)} of {len(answers)} records fit.")
    for name, answer in wrong.items():
        print(f"{name}: {answer}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
