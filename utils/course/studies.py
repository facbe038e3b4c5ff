"""Experiments of many small trainings, of which only the figures are of interest: data/studies/NAME.json."""

import json
import time

import keras

from utils.course import records
from utils.course.fingerprint import describe, describe_code
from utils.course.session import DATA, session

STUDIES = DATA / "studies"


def study(name: str, measure, **arguments):
    """What `measure(**arguments)` returns: run it, or read what an earlier run found in data/studies/NAME.json.

    Standard mode reads a record if the function and its arguments are the same, and otherwise says what differs and
    measures; retrain mode measures and writes; quick mode measures. The generators are seeded before and after.

    The function returns what JSON can hold, and reads no global names except modules, functions and classes, otherwise
    ValueError. The arguments are anything that `fingerprint.describe` takes; a model counts with its weights.
    """
    recipe = {"function": describe_code(measure), "arguments": {key: _described(arguments[key]) for key in arguments}}
    keras.utils.set_random_seed(session.seed)
    if session.mode == "standard":
        try:
            return _load(name, recipe)
        except (OSError, ValueError) as error:
            print(f"{name}: {error}. Measuring it now.")
    start = time.perf_counter()
    outcome = json.loads(json.dumps(measure(**arguments)))  # as a reader of the file gets it
    seconds = time.perf_counter() - start
    print(f"{name}: measured in {seconds:.0f} s.")
    if session.mode == "retrain" and session.comparable:
        path, otherwise = STUDIES / f"{name}.json", "the figures below are those just measured"
        records.write(path, recipe, seconds, otherwise, outcome=outcome)
    keras.utils.set_random_seed(session.seed)
    return outcome


def _described(value):
    model = value if isinstance(value, keras.Model) else getattr(value, "network", None)  # of the judge
    if isinstance(model, keras.Model):
        return {"network": describe(model), "weights": [describe(weight) for weight in model.get_weights()]}
    return describe(value)


def _load(name: str, recipe: dict):
    record = records.read(STUDIES / f"{name}.json", recipe)
    print(f"{name}: loaded, measured in {record['seconds']:.0f} s.")
    return record["outcome"]
