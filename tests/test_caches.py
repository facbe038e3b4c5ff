"""No file is loaded for other numbers than those that it was made with, and no file is discarded for no reason.

Each number of a chapter's hyperparameter cell is changed in turn. The statements that read it, or what others make of
it, run again, without doing the trainings and studies that they ask for (`tests.recipes`). Which of these have to
notice is read off the code (`tests.flow`), and compared with what they asked for.
"""

import ast
import importlib
import json
import os
import sys
import zlib

import keras
import numpy as np
import pytest

from tests import recipes
from tests.flow import Flow
from tools import chapters
from utils.course import downloads, pretrained, results
from utils.course.pretrained import Training
from utils.course.session import COURSE
from utils.drawn import faces

DATA = COURSE / "data"
# In a list, the last number stands for all, unless this is set: the test takes three times as long then.
EVERYTHING = bool(os.environ.get("COURSE_ALL_NUMBERS"))
# Names of files -> numbers that they do not depend on, though the code does not show it.
UNRELATED = {}
RECORDS = {path.stem for folder in ("pretrained", "studies") for path in (DATA / folder).glob("*.json")}


@pytest.fixture
def asked(monkeypatch):
    """Name of a file -> what the chapter asked for, and where: the number of the cell, and the line.

    A "trained" model gets weights, and figures, that follow from the recipe. So whatever uses them notices another one.
    """
    found = {}

    def note(name, recipe):
        if name:
            found[name] = recipe, place()

    def load(model, name, recipe):
        recipe = json.loads(json.dumps(recipe))
        note(name, recipe)
        share = zlib.crc32(json.dumps(recipe).encode()) / 2**32
        for number, weight in enumerate(model.weights):
            if "float" in weight.dtype:
                weight.assign(np.full(weight.shape, share + number, np.float32))
        figures = {metric: [1 + share] for metric in recipes.METRICS}
        return Training(figures, 1.0, True, recipe, np.zeros((1, 1, 28, 28, 1), np.uint8))

    def read(name, recipe):
        note(name, recipe)
        return json.loads((DATA / "studies" / f"{name}.json").read_bytes())["outcome"]

    def predict(model, x, **_):
        count, shapes = len(x[0] if isinstance(x, list) else x), model.output_shape
        if shapes[0] is None:
            return np.zeros((count, *shapes[1:]), np.float32)
        return [np.zeros((count, *shape[1:]), np.float32) for shape in shapes]

    monkeypatch.setenv("COURSE_MODE", "standard")
    random, draw = np.random.default_rng(0), faces.drawn_faces
    digits = {"x_train": (2_000, 28, 28), "y_train": 2_000, "x_test": (200, 28, 28), "y_test": 200}
    arrays = {name: random.integers(0, 256 if name[0] == "x" else 10, shape) for name, shape in digits.items()}
    monkeypatch.setattr(downloads, "find_mnist", lambda: arrays)
    monkeypatch.setattr(faces, "drawn_faces", lambda **_: draw(train=200, validation=50, test=50))
    monkeypatch.setattr(pretrained, "PRETRAINED", DATA / "pretrained")  # of the judge, as is the next
    monkeypatch.setattr(results, "RESULTS", DATA / "results.json")
    monkeypatch.setattr(keras.Model, "predict", predict)
    monkeypatch.setattr(keras.Model, "evaluate", lambda *_, **__: dict.fromkeys(recipes.METRICS, 1.0))
    recipes.leave_out_the_work(monkeypatch.setattr, load, read)
    return found


def place():
    """The line of the notebook that runs: cell and line, outside of functions."""
    frame, found = sys._getframe(), None
    while frame:
        if frame.f_code.co_filename.startswith("<cell "):
            found = int(frame.f_code.co_filename[6:-1]), frame.f_lineno
        frame = frame.f_back
    return found


def variants(source):
    """The code with one of its numbers changed, for each number; and the line that says which. The last come first."""
    numbers = [node for node in ast.walk(ast.parse(source)) if is_number(node)]
    for place in reversed(range(len(numbers))):
        tree = ast.parse(source)
        node = [node for node in ast.walk(tree) if is_number(node)][place]
        old, node.value = node.value, node.value + 1 if isinstance(node.value, int) else 0.9 * node.value
        yield ast.unparse(tree), f"{old} (now {node.value:g}) in line {node.lineno}"


def is_number(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


def values(source):
    names = {"scaled": lambda full, quick: full}
    exec(source, names)
    return names


def differ(tokens, before, after):
    return {token for token in tokens if eval(token, before) != eval(token, after)}


@pytest.mark.parametrize("path", chapters(), ids=[path.stem for path in chapters()])
def test_files_notice_the_numbers_that_they_depend_on_and_no_others(path, asked):
    flow = Flow(path)
    dependences = flow.dependences()
    module = recipes.run(flow)
    before = {name: (recipe, statement_at(place, dependences)) for name, (recipe, place) in asked.items()}
    of_the_chapter = {name for name in RECORDS if name.startswith(path.stem[:3]) and "exercise" not in name}
    assert of_the_chapter <= before.keys(), "the test could not follow the chapter"
    flow.narrow({statement for _, statement in before.values()})
    source = flow.sources[flow.hyperparameters]
    faults, tried = [], set()
    for changed, what in variants(source) if before else ():
        old, new = values(source), values(changed)
        numbers = differ(flow.numbers, old, new)
        if numbers <= (set() if EVERYTHING else tried):
            continue  # one of quick mode, or of a list of which another was changed
        tried |= numbers
        asked.clear()
        statements, names = flow.affected(numbers), dict(vars(module))
        vars(module).update({name: new[name] for name in flow.numbers})
        recipes.execute(flow, statements, module)
        vars(module).clear()
        vars(module).update(names)
        again = {
            (cell, part.lineno) for cell, node in statements for part in ast.walk(node) if isinstance(part, ast.stmt)
        }
        for name, (recipe, statement) in before.items():
            on, told = dependences[statement]
            on = on - UNRELATED.get(name, set())
            same = asked[name][0] == recipe if name in asked else statement not in again
            if differ(on, old, new) and same:
                faults.append(f"{name} is loaded, though it depends on {what}")
            elif not (same or differ(on, old, new) or (name not in asked and differ(told, old, new))):
                faults.append(f"{name} is discarded, though it does not depend on {what}")
    assert not faults, "\n".join(faults)


def statement_at(place, dependences):
    cell, line = place
    return cell, max(start for number, start in dependences if number == cell and start <= line)


def test_the_notebooks_that_the_same_process_runs_keep_their_mode(monkeypatch):
    monkeypatch.delenv("COURSE_MODE", raising=False)
    importlib.reload(recipes)
    assert "COURSE_MODE" not in os.environ
