"""Ask for each record of data/ as the notebooks do, on this release of Keras, and say which do not fit.

    python -m tests.recipes [notebook ...]

Of the chapters and solutions, those statements run that lead to a training or a study (`tests.flow`), in standard mode
and with the trainings left out. A record that no notebook asked for counts as one that does not fit. It needs real
MNIST, as recipes hold moments of the images.
"""

import contextlib
import functools
import io
import json
import linecache
import os
import sys
import types
import warnings
from pathlib import Path

if __name__ == "__main__":  # not for the notebooks that the process runs which imports this
    os.environ |= {"COURSE_MODE": "standard", "MPLBACKEND": "Agg"}

import ast

import keras

import tools
from tests.flow import Flow
from utils.course import judge, pretrained, session, studies, training
from utils.course.fingerprint import describe
from utils.data import load_mnist

METRICS = ("loss", "val_loss", "accuracy", "kl_loss", "reconstruction_loss", "d_loss", "g_loss", "seconds", "frechet")


def leave_out_the_work(patch, load, read) -> None:
    """Put `load(model, name, recipe)` in the place of a training and `read(name, recipe)` in that of a study.

    `patch(owner, name, value)` sets an attribute. The name is None for a training that no file keeps.
    """

    def load_same(model, name, recipe, with_snapshots):
        return load(model, name, recipe)

    def train(model, x, y, recipe, *_, **__):
        return load(model, None, recipe)

    def load_pretrained(model, name):
        return load(model, name, {"network": describe(model)})

    def fit(model, *_, **__):
        return types.SimpleNamespace(history={metric: [1.0] for metric in METRICS})

    patch(training, "load_same", load_same)
    patch(training, "train", train)
    patch(training, "load_pretrained", load_pretrained)
    patch(studies, "_load", read)
    patch(judge, "load_judge", functools.cache(judge.load_judge))
    for kind in (keras.Model, *descendants(keras.Model)):
        if "fit" in vars(kind):
            patch(kind, "fit", fit)


def descendants(kind):
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


def run(flow: Flow) -> types.ModuleType:
    """Run what leads to trainings and studies; the module that the notebook's names are in when all has run."""
    module = types.ModuleType("__main__")  # as in a kernel: functions and classes are the notebook's own
    execute(flow, [(cell, node) for cell, nodes in enumerate(flow.needed) for node in nodes], module)
    return module


def execute(flow: Flow, statements, module) -> None:
    """Run statements, given with their cells. One that raises an error is skipped, as are then those that need it."""
    main, sys.modules["__main__"] = sys.modules["__main__"], module
    session.session.mode, session.session.seed = "standard", 0
    keras.utils.set_random_seed(0)
    try:
        for cell, node in statements:
            file = f"<cell {cell}>"
            linecache.cache[file] = None, None, flow.sources[cell].splitlines(keepends=True), file
            with contextlib.suppress(Exception):
                exec(compile(ast.Module([node], []), file, "exec"), vars(module))
    finally:
        sys.modules["__main__"] = main


def asked(paths) -> dict[str, str]:
    """Name of a record -> why it does not fit, or an empty string."""
    answers, load_same, load_pretrained, read_study = {}, training.load_same, training.load_pretrained, studies._load

    def load(model, name, recipe):
        found, printed = None, io.StringIO()
        if name:
            try:
                with contextlib.redirect_stdout(printed):
                    whole = len(recipe) > 1
                    found = load_same(model, name, recipe, False) if whole else load_pretrained(model, name)
            except ValueError as error:
                printed.write(str(error))
            answers[name] = answers.get(name) or ("" if found else printed.getvalue().strip())
        return found or pretrained.Training({metric: [1.0] for metric in METRICS}, 1.0, False, recipe)

    def read(name, recipe):
        answers[name] = ""
        try:
            return read_study(name, recipe)
        except (OSError, ValueError) as error:
            answers[name] = str(error)
            return json.loads((studies.STUDIES / f"{name}.json").read_bytes())["outcome"]

    judge.load_judge()  # raises an error if its record does not fit
    leave_out_the_work(setattr, load, read)
    everything = {"judge": ""}
    for path in filter(records_of, paths):
        answers.clear()
        run(Flow(path))
        # A solution may try on purpose to load a chapter's weights into another network.
        own = records_of(path) if path.resolve().parent.name == "solutions" else answers
        everything |= {name: answer for name, answer in answers.items() if name in own}
    return everything


def records_of(path) -> set[str]:
    """Names of the records that a notebook makes."""
    solution = path.resolve().parent.name == "solutions"
    files = [*pretrained.PRETRAINED.glob("*.json"), *studies.STUDIES.glob("*.json")]
    own = {file.stem for file in files if file.stem.startswith(path.stem[:3])}
    return {name for name in own if ("_exercise_" in name) == solution}


def main() -> int:
    load_mnist()
    if not session.session.comparable:
        print("Records can be compared with real MNIST only: set MNIST_PATH.")
        return 0
    warnings.simplefilter("ignore")
    given = [Path(name) for name in sys.argv[1:]]
    with contextlib.redirect_stdout(io.StringIO()):
        answers = asked(given or tools.notebooks())
    if not given:
        for record in sorted([*pretrained.PRETRAINED.glob("*.json"), *studies.STUDIES.glob("*.json")]):
            answers.setdefault(record.stem, "no notebook asked for it")
    wrong = {name: answer for name, answer in answers.items() if answer}
    print(f"Keras {keras.__version__}: {len(answers) - len(wrong)} of {len(answers)} records fit.")
    for name, answer in sorted(wrong.items()):
        print(f"{name}: {answer}")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
