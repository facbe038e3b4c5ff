"""The house: how large its parts may be, which module may import which, and that nothing private is leant on."""

import ast
import importlib
import inspect
import re
import subprocess
import sys

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools import notebooks
from utils.autoencoders import Autoencoder
from utils.course.session import COURSE
from utils.course.training import fit_or_load
from utils.flow import FlowMatching
from utils.gan import GAN, ConditionalGAN
from utils.vae import VAE

UTILS = COURSE / "utils"
MODULES = {path.relative_to(COURSE).with_suffix("").as_posix().replace("/", "."): path for path in UTILS.rglob("*.py")}
MODULES = {name: path for name, path in MODULES.items() if path.name != "__init__.py"}
MODELS = ("base", "checks", "autoencoders", "vae", "gan", "flow", "networks")  # what a reader takes into other projects


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def code_of(path):
    """All code cells; the first calls pip by IPython's syntax."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return ast.parse(TransformerManager().transform_cell("\n".join(cells)))


def imported(tree) -> set[str]:
    """Full names of all modules and names that are imported, also within functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def lines(paths) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


# size


def test_the_package_is_small():
    assert lines(UTILS.glob("*.py")) <= 1_900
    assert lines((UTILS / "course").glob("*.py")) <= 1_000
    assert lines([UTILS / "course" / "training.py"]) <= 250


@pytest.mark.parametrize(
    ("thing", "most"),
    [
        (VAE, 80),
        (GAN, 110),
        (ConditionalGAN, 45),
        (Autoencoder, 60),
        (FlowMatching, 90),
        (GAN.train_step, 25),
        (fit_or_load, 50),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_a_class_fits_on_a_screen(thing, most):
    assert len(inspect.getsource(thing).splitlines()) <= most


def test_a_step_of_a_gan_is_its_formulas():
    step = inspect.getsource(GAN.train_step)
    for word in ("replica", "scale", "isfinite", "check_numerics", "strategy"):
        assert word not in step


# imports


def test_no_module_imports_itself_by_way_of_others():
    needs = {name: imported(parse(path)) & MODULES.keys() for name, path in MODULES.items()}
    while needs:
        free = [name for name, others in needs.items() if not others & needs.keys()]
        assert free, f"a circle among {', '.join(needs)}"
        for name in free:
            del needs[name]


@pytest.mark.parametrize("name", MODELS)
def test_models_do_without_the_machinery_of_the_course(name):
    for other in imported(parse(UTILS / f"{name}.py")):
        assert not other.startswith(("utils.course", "utils.drawn", "tools", "tests")), other


def test_no_notebook_and_no_module_imports_the_tools():
    trees = {path.name: code_of(path) for path in notebooks()} | {name: parse(path) for name, path in MODULES.items()}
    for name, tree in trees.items():
        for module in imported(tree):
            assert module.split(".")[0] not in ("tools", "tests"), f"{name} imports {module}"


def test_nothing_that_native_windows_lacks_is_imported_at_once():
    lacking = {"resource", "fcntl", "pwd", "grp", "termios"}
    trees = {path.name: code_of(path) for path in notebooks()} | {name: parse(path) for name, path in MODULES.items()}
    for name, tree in trees.items():
        assert not imported(tree) & lacking, name


HEAVY = {"sklearn", "skimage", "ipywidgets", "matplotlib", "pandas", "IPython", "nbformat"}
BRINGS = {
    "data": {"IPython"},
    "plotting": {"matplotlib", "IPython"},
    "explore": {"ipywidgets"},
    "metrics": {"skimage", "sklearn"},
}


def needed(name, seen) -> set[str]:
    """What a module imports, directly or by way of other modules of the course."""
    found = imported(parse(MODULES[name]))
    for other in found & MODULES.keys() - seen:
        seen.add(other)
        found = found | needed(other, seen)
    return found


@pytest.mark.parametrize("name", [*MODELS, *BRINGS])
def test_a_module_brings_only_what_it_needs(name):
    brought = {module.split(".")[0] for module in needed(f"utils.{name}", set())} & HEAVY
    assert brought <= BRINGS.get(name, set())


def test_models_work_where_nothing_else_is_installed():
    """Keras itself imports some of these where they are installed; without them, it does without."""
    blocked = HEAVY - {"IPython", "nbformat"}
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import utils.vae, utils.gan, utils.data"
    subprocess.run([sys.executable, "-c", code], cwd=COURSE, check=True)


# private names


FORBIDDEN = ("keras.src", "tensorflow.python", "_maybe_symbolic_build", "Tensor had")


def private(tree) -> set[str]:
    """Attributes that begin with one underscore, of anything but the object or the module itself."""
    return {
        ast.unparse(node)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and re.match(r"_[a-z]", node.attr)
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
        and ast.unparse(node.value) != "super()"
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_module_uses_no_private_api(name):
    source = MODULES[name].read_text(encoding="utf-8")
    assert not [words for words in FORBIDDEN if words in source]
    assert not private(ast.parse(source))
    for module in imported(ast.parse(source)):
        assert not any(part.startswith("_") for part in module.split(".") if part != "__future__"), module


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_notebook_uses_no_private_api(path):
    code = code_of(path)
    assert not [words for words in FORBIDDEN if words in ast.unparse(code)]
    assert not private(code)


def test_no_error_is_recognized_by_its_text():
    """Texts change from release to release: no `"words" in str(error)`."""
    for name, path in MODULES.items():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Compare) and any(isinstance(op, ast.In) for op in node.ops):
                assert not any("str(error)" in ast.unparse(other) for other in node.comparators), name


# what is public, and what pip installs


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_what_it_offers(name):
    module = importlib.import_module(name)
    assert module.__doc__
    for name, thing in vars(module).items():
        if not name.startswith("_") and getattr(thing, "__module__", None) == module.__name__ and callable(thing):
            assert thing.__doc__, name


def test_pip_installs_every_part():
    text = (COURSE / "pyproject.toml").read_text(encoding="utf-8")
    packages = re.search(r"^packages = \[(.*)\]", text, re.MULTILINE)[1]
    parts = {".".join(path.relative_to(COURSE).parent.parts) for path in UTILS.rglob("__init__.py")}
    assert parts <= set(re.findall(r'"([\w.]+)"', packages))
