"""The notebooks as documents: what a reader may rely on in each of them."""

import ast
import importlib
import json
import re

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager

from tools import LINKED, appendices, chapters, notebooks, solutions
from tools.figures import figures
from tools.judge import compiled_classifier
from utils.course.fingerprint import describe
from utils.course.session import COURSE, show_source

CHAPTERS, SOLUTIONS, NOTEBOOKS = chapters(), solutions(), notebooks()
SHOWING = ("utils", "inspect", "textwrap", "IPython")  # what it takes to show the source of something
RESULTS = json.loads((COURSE / "data" / "results.json").read_bytes())


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tree(path):
    """The code of all cells; the set-up cell calls pip by IPython's syntax."""
    code = "\n".join(cell.source for cell in code_cells(path))
    return ast.parse(TransformerManager().transform_cell(code))


def prose(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def headings(path):
    return re.findall(r"^#+ (.*)", prose(path), re.MULTILINE)


def title_of(path):
    number, name = path.stem.split("_", 1)
    name = "several devices, several workers" if name == "scaling" else name.replace("_", " ")  # links keep the file
    return f"{number} · {name}"


def each(paths):
    names = [path.relative_to(COURSE / "notebooks").with_suffix("").as_posix() for path in paths]
    return pytest.mark.parametrize("path", paths, ids=names)


@each(NOTEBOOKS)
def test_is_valid_and_small(path):
    nbformat.validate(read(path))
    assert path.stat().st_size < 3_000_000
    for cell in code_cells(path):
        assert len(cell.source.splitlines()) <= 30, cell.source


@each(NOTEBOOKS)
def test_was_executed_from_top_to_bottom_without_error_or_warning(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text


@each(NOTEBOOKS)
def test_was_not_executed_in_quick_mode_or_on_the_stand_in(path):
    outputs = json.dumps([cell.outputs for cell in code_cells(path)])
    assert "quick: a little data" not in outputs
    assert "not comparable" not in outputs and "cannot be compared" not in outputs


@each(NOTEBOOKS)
def test_shows_no_path_of_a_machine(path):
    for cell in code_cells(path):
        for output in cell.outputs:
            for kind, content in {"stream": output.get("text", ""), **output.get("data", {})}.items():
                if not kind.startswith("image/"):  # whose base64 holds anything, by chance
                    assert not re.search(r"/(home|root|tmp|work|Users|usr|opt|var)/|[A-Z]:\\", content), content


@each(NOTEBOOKS)
def test_every_figure_has_an_alt_text(path):
    """In the metadata of its cell: `"alt": "what it shows"`, or a list with a text for each picture."""
    for figure in figures(read(path)):
        assert 20 <= len(figure.alt) <= 300, f"the cell {figure.cell.id!r} of {path.name} says {figure.alt!r}"


@each(CHAPTERS)
def test_has_the_bones_of_a_chapter(path):
    cells = read(path).cells
    title = cells[0].source
    assert re.match(rf"# {title_of(path)}\n\n> ", title, re.IGNORECASE)
    assert "**Time**" in title and "CPU" in title and "GPU" in title
    assert "<!-- colab -->" in title
    hyperparameters = r"(# @title .*\n)?[A-Z][A-Z_\d]*(, [A-Z_\d]+)* = "
    assert any(re.match(hyperparameters, cell.source) for cell in cells), "no cell of hyperparameters"
    sections = headings(path)
    assert any(section.endswith("What we measured") for section in sections)
    assert sections[-2:] == ["Exercises", "Sources"]
    assert 3 <= len(re.findall(r"^\d\. ", prose(path).split("## Exercises")[1], re.MULTILINE)) <= 5


@each(CHAPTERS)
def test_solutions_solve_all_exercises(path):
    exercises = prose(path).split("## Exercises")[1].split("## Sources")[0]
    assert f"](solutions/{path.name})" in exercises
    solved = path.parent / "solutions" / path.name
    numbers = re.findall(r"^(\d)\. ", exercises, re.MULTILINE)
    assert re.findall(r"^## (\d)\. ", prose(solved), re.MULTILINE) == numbers
    cells = read(solved).cells
    title = cells[0].source
    assert re.match(rf"# {title_of(path)}: solutions\n\n> ", title, re.IGNORECASE)
    assert "**Time**" in title and f"](../{path.name})" in title and "<!-- colab -->" in title
    assert cells[-1].source.splitlines()[-1].endswith(f"](../{path.name}#Exercises)")


@each(SOLUTIONS)
def test_solutions_leave_the_models_and_figures_of_chapters_alone(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert called != "table", "a solution records no figure of the course"
            if called == "fit_or_load":
                assert "name" not in [keyword.arg for keyword in node.keywords], "it would write the chapter's weights"
            if called == "study" and isinstance(node.args[0], ast.Constant):
                assert node.args[0].value.startswith(f"{path.stem[:2]}_exercise_")


@each(NOTEBOOKS)
def test_alternates_prose_and_code(path):
    explained = prose(path).split("## Exercises")[0]
    words = len(re.sub(r"^\|.*", "", explained, flags=re.MULTILINE).split())  # tables are looked up, not read
    lines = sum(len(cell.source.splitlines()) for cell in code_cells(path))
    assert 3 <= words / lines <= 14
    kinds = "".join(cell.cell_type[0] for cell in read(path).cells)
    assert "c" * 4 not in kinds, "four code cells in a row, and not a word between them"


@each(NOTEBOOKS)
def test_uses_only_public_names(path):
    code, modules = tree(path), {}
    for node in ast.walk(code):
        if isinstance(node, ast.ImportFrom) and node.module in ("utils", "utils.course", "utils.drawn"):
            for alias in node.names:
                modules[alias.asname or alias.name] = importlib.import_module(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("utils."):
            module = importlib.import_module(node.module)
            assert all(is_public(module, alias.name) for alias in node.names)
    for node in ast.walk(code):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert is_public(modules[node.value.id], node.attr)


def is_public(module, name):
    """Whether it has no underscore, and is of the package."""
    thing = getattr(module, name)
    origin = thing.__module__ if callable(thing) else module.__name__
    return not name.startswith("_") and origin.startswith("utils.")


@each(NOTEBOOKS)
def test_shows_the_source_as_it_is(path):
    cells = code_cells(path)
    names = {}
    for node in tree(path).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", node.names[0].name)
            if module.split(".")[0] in SHOWING:
                exec(ast.unparse(node), names)
    for cell in cells:
        if "inspect.getsource(" in cell.source:
            *before, last = ast.parse(cell.source).body
            exec(ast.unparse(before), names)
            plain = [output.get("data", {}).get("text/plain", "").strip() for output in cell.outputs]
            assert eval(ast.unparse(last), names).data.strip() in plain, "the source has changed: run the notebook"
        for shown in re.findall(r"^show_source\((.*)\)", cell.source, re.MULTILINE):
            outputs = [output.get("data", {}).get("text/markdown") for output in cell.outputs]
            assert show_source(*eval(f"[{shown}]", names)).data in outputs, f"{shown} has changed: run the notebook"


@each(CHAPTERS)
def test_leads_to_the_chapters_before_and_after_it(path):
    place, last = CHAPTERS.index(path), read(path).cells[-1].source.splitlines()[-1]
    neighbors = {"Previous": CHAPTERS[place - 1 : place], "Next": CHAPTERS[place + 1 : place + 2]}
    expected = [f"{name}: [" for name, found in neighbors.items() if found]
    assert [f"{name}: [" for name in neighbors if f"{name}: [" in last] == expected
    assert re.findall(r"\(([^)]*)\)", last) == [found[0].name for found in neighbors.values() if found]


@each([*NOTEBOOKS, *appendices()])
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if linked.suffix == ".py":
            assert linked.resolve().relative_to(COURSE).parts[0] in LINKED, f"the site has no page for {target}"
        if anchor:
            assert anchor in [heading.replace(" ", "-") for heading in headings(linked)], target


def test_the_map_tells_chapters_that_exist_from_those_in_preparation():
    start, slides = prose(CHAPTERS[0]), prose(CHAPTERS[0].with_name("appendix_slides.md"))
    exist = {path.stem[:2] for path in CHAPTERS}
    for number, rest in re.findall(r"^\| \[?(\d\d) · (.*)", start, re.MULTILINE):
        assert ("in preparation" in rest) == (number not in exist), number
    for number, rest in re.findall(r"^\| [^|]* \| \[?(\d\d), (.*)", slides, re.MULTILINE):
        assert ("in preparation" in rest) == (number not in exist), number


@each(CHAPTERS)
def test_results_are_those_of_the_committed_outputs(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    (shown,) = [output for output in outputs if "headline" in output.get("metadata", {})]
    measured = {name: f"{value:.4g}" for name, value in shown.metadata["figures"].items()}
    assert measured == {name: f"{entry['value']:.4g}" for name, entry in RESULTS[path.stem].items()}


def test_pretrained_files_are_small_and_in_use():
    folder = COURSE / "data" / "pretrained"
    weights = sorted(folder.glob("*.npz"))
    assert all(path.stat().st_size <= 8e6 for path in weights)
    assert sum(path.stat().st_size for path in weights) <= 45e6  # 5 MB of them for chapter 12
    assert [path.stem for path in weights] == sorted(path.stem for path in folder.glob("*.json"))
    outputs = json.dumps([cell.outputs for path in NOTEBOOKS for cell in code_cells(path)])
    for path in weights:
        assert f"{path.stem}: " in outputs, f"no notebook trains or loads {path.name}"


def test_studies_are_in_use():
    outputs = json.dumps([cell.outputs for path in NOTEBOOKS for cell in code_cells(path)])
    for path in (COURSE / "data" / "studies").glob("*.json"):
        assert f"{path.stem}: " in outputs, f"no notebook measures or loads {path.name}"


def test_committed_weights_fit_the_code_on_every_release_of_keras():
    """Else the notebooks would train for minutes, where a reader expects them to load."""
    record = json.loads((COURSE / "data" / "pretrained" / "judge.json").read_bytes())
    judge = compiled_classifier()
    assert describe(judge) == record["recipe"]["network"]
    assert describe(judge.optimizer) == record["recipe"]["optimizer"]
