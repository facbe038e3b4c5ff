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

    As for models, standard mode reads a record if the function and its arguments are the same, and otherwise says what
    differs and measures; retrain mode measures and writes; quick mode measures. The generators are seeded before and
    after.

    Args:
        name: of the study, such as "04_scratch".
        measure: function that returns what JSON can hold. It gets every value, array and model as an argument and reads
            no global names except modules, functions and classes, so that the record tells all that decided it.
        arguments: anything that `fingerprint.describe` takes. A model counts with its weights.

    Raises:
        ValueError: the function reads a value from outside, or an argument cannot be described.
    """
    recipe = {
        "function": describe_code(measure),
        "arguments": {key: _described(value) for key, value in arguments.items()},
    }
    recipe = json.loads(json.dumps(recipe))
    if session.mode == "standard":
        try:
            outcome = _load(name, recipe)
            keras.utils.set_random_seed(session.seed)
            return outcome
        except (OSError, ValueError) as error:
            print(f"{name}: {error}. Measuring it now.")
    keras.utils.set_random_seed(session.seed)
    start = time.perf_counter()
    outcome = json.loads(json.dumps(measure(**arguments)))  # as a reader of the file gets it
    seconds = time.perf_counter() - start
    print(f"{name}: measured in {seconds:.0f} s.")
    if session.mode == "retrain" and session.comparable:
        otherwise = "the figures below are those just measured"
        records.write(STUDIES / f"{name}.json", recipe, seconds, otherwise, outcome=outcome)
    keras.utils.set_random_seed(session.seed)
    return outcome


def _described(value):
    if isinstance(value, keras.Model):
        return {"network": describe(value), "weights": [describe(weight) for weight in value.get_weights()]}
    network = getattr(value, "network", None)  # an instrument that holds a model, such as the judge
    return _described(network) if isinstance(network, keras.Model) else describe(value)


def _load(name: str, recipe: dict):
    record, told = records.read(STUDIES / f"{name}.json", recipe)
    if "outcome" not in record:
        raise ValueError("its record is damaged (there is no outcome)")
    print(f"{name}: loaded, measured in {record['seconds']:.0f} s.\n{told}", end="")
    return record["outcome"]
