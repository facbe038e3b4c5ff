"""The notebooks as documents: what a reader may rely on in each of them."""

import ast
import importlib
import json
import re
import subprocess
import sys

import nbformat
import pytest

from tools import chapters, notebooks, solutions
from utils import runtime
from utils.fingerprint import describe
from utils.judge import untrained_classifier

CHAPTERS, SOLUTIONS, NOTEBOOKS = chapters(), solutions(), notebooks()
RESULTS = json.loads((runtime.COURSE / "data" / "results.json").read_bytes())


def read(path):
    return nbformat.read(path, as_version=4)


def code_cells(path):
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path):
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def headings(path):
    return re.findall(r"^#+ (.*)", prose(path), re.MULTILINE)


def each(paths):
    names = [path.relative_to(runtime.COURSE / "notebooks").with_suffix("").as_posix() for path in paths]
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


@each(CHAPTERS)
def test_has_the_bones_of_a_chapter(path):
    cells = read(path).cells
    title = cells[0].source
    number, name = path.stem.split("_", 1)
    assert re.match(rf"# {number} · {name.replace('_', ' ')}\n\n> ", title, re.IGNORECASE)
    assert "**Time**" in title and "CPU" in title and "GPU" in title
    assert "<!-- colab -->" in title
    hyperparameters = [cell for cell in cells if re.match(r"[A-Z_]+ = ", cell.source)]
    assert len(hyperparameters) == 1
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
    title, name = cells[0].source, path.stem[3:].replace("_", " ")
    assert re.match(rf"# {path.stem[:2]} · {name}: solutions\n\n> ", title, re.IGNORECASE)
    assert "**Time**" in title and f"](../{path.name})" in title and "<!-- colab -->" in title
    assert cells[-1].source.splitlines()[-1].endswith(f"](../{path.name}#Exercises)")


@each(SOLUTIONS)
def test_solutions_leave_the_models_and_figures_of_chapters_alone(path):
    for node in ast.walk(ast.parse("\n".join(cell.source for cell in code_cells(path)))):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert called not in ("record", "table"), "a solution records no figure of the course"
            if called == "fit_or_load":
                assert "name" not in [keyword.arg for keyword in node.keywords], "it would write the chapter's weights"
            if called == "study" and isinstance(node.args[0], ast.Constant):
                assert node.args[0].value.startswith(f"{path.stem[:2]}_exercise_")


def test_setup_cells_are_identical():
    cells = {code_cells(path)[0].source for path in NOTEBOOKS}
    assert len(cells) == 1 and "setup(seed=0)" in cells.pop()


@pytest.mark.parametrize("place", ["the course", "its notebooks", "the folder around it", "elsewhere, in Jupyter"])
def test_the_setup_cell_finds_the_course(place, tmp_path, monkeypatch):
    search = code_cells(CHAPTERS[0])[0].source.split("from utils")[0]
    course = tmp_path / "around" / "generative"
    (course / "utils").mkdir(parents=True)
    (course / "utils" / "runtime.py").touch()
    (course / "notebooks").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    if place == "elsewhere, in Jupyter":
        monkeypatch.setenv("JPY_SESSION_NAME", str(course / "notebooks" / "01.ipynb"))
    folders = {"the course": course, "its notebooks": course / "notebooks", "the folder around it": course.parent}
    monkeypatch.chdir(folders.get(place, tmp_path / "elsewhere"))
    exec(search, {})
    assert sys.path[0] == str(course)


def test_the_setup_cell_is_short():
    assert len([line for line in code_cells(CHAPTERS[0])[0].source.splitlines() if line.strip()]) <= 15


@pytest.fixture
def alone(tmp_path, monkeypatch):
    """Runs the set-up cell as on Colab: stamped, in a folder with nothing of the course near it."""
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    search = code_cells(CHAPTERS[0])[0].source.split("from utils")[0]

    def run(address, reference):
        stamp = f"ADDRESS, REFERENCE = {address!r}, {reference!r}"
        exec(re.sub("ADDRESS, REFERENCE = .*", lambda _: stamp, search), {})
        return (tmp_path / "alone" / "course" / "utils" / "runtime.py").read_text()

    return run


@pytest.fixture
def origin(tmp_path):
    """A small repository: its address, and a function that commits another content and may tag it."""
    folder = tmp_path / "origin"
    (folder / "utils").mkdir(parents=True)

    def git(*arguments):
        subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True)

    def commit(content, tag=None):
        (folder / "utils" / "runtime.py").write_text(content)
        git("add", "--all")
        git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "-m", content)
        if tag:
            git("tag", tag)

    git("init", "--quiet")
    commit("one", "v1")
    return folder.as_uri(), commit


def test_an_unstamped_setup_cell_says_what_to_do(alone):
    with pytest.raises(FileNotFoundError, match="clone it, and open this notebook there"):
        alone("", "")


@pytest.mark.parametrize(("where", "reference"), [("/nowhere", "v1"), ("", "v9")])
def test_the_setup_cell_says_in_one_sentence_what_git_could_not_fetch(where, reference, alone, origin, capfd):
    address = origin[0] + where
    with pytest.raises(FileNotFoundError):
        alone(address, reference)
    printed, errors = capfd.readouterr()
    assert printed.startswith(f"git could not fetch {reference} from {address}: ") and printed.count("\n") == 1
    assert errors == ""


def test_the_setup_cell_follows_what_is_stamped(alone, origin, capfd):
    address, commit = origin
    assert alone(address, "v1") == "one"
    commit("two", "v2")
    assert alone(address, "v1") == "one"
    assert alone(address, "HEAD") == "two"  # a stale clone moves on
    assert alone(address, "v1") == "one"
    assert alone(address + "/nowhere", "v1") == "one"  # without a network, what is there serves
    assert "git could not fetch" in capfd.readouterr().out


@pytest.mark.parametrize("left", ["a folder of the reader's", "an interrupted clone", "an interrupted checkout"])
def test_the_setup_cell_recovers_and_loses_nothing(left, alone, origin, tmp_path, capfd):
    folder = tmp_path / "alone" / "course"
    if left == "an interrupted checkout":
        alone(origin[0], "v1")
        (folder / "utils" / "runtime.py").unlink()
        (folder / ".git" / "index.lock").touch()  # as git leaves it when it is killed
    else:
        folder.mkdir()
        (folder / (".git" if left == "an interrupted clone" else "mine.txt")).write_text("mine")
    assert alone(origin[0], "v1") == "one"
    if left == "a folder of the reader's":
        assert [path.read_text() for path in (tmp_path / "alone").rglob("mine.txt")] == ["mine"]


@each(NOTEBOOKS)
def test_alternates_prose_and_code(path):
    explained = prose(path).split("## Exercises")[0]
    words = len(re.sub(r"^\|.*", "", explained, flags=re.MULTILINE).split())  # tables are looked up, not read
    lines = sum(len(cell.source.splitlines()) for cell in code_cells(path))
    assert 3 <= words / lines <= 12
    kinds = "".join(cell.cell_type[0] for cell in read(path).cells)
    assert "c" * 4 not in kinds, "four code cells in a row, and not a word between them"


@each(NOTEBOOKS)
def test_uses_only_public_names(path):
    tree = ast.parse("\n".join(cell.source for cell in code_cells(path)))
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "utils":
            for alias in node.names:
                modules[alias.asname or alias.name] = importlib.import_module(f"utils.{alias.name}")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("utils."):
            public = importlib.import_module(node.module).__all__
            assert {alias.name for alias in node.names} <= set(public)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            assert node.attr in modules[node.value.id].__all__


@each(NOTEBOOKS)
def test_shows_the_source_as_it_is(path):
    cells = code_cells(path)
    names = {}
    for node in ast.parse("\n".join(cell.source for cell in cells)).body:
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("utils", "tools"):
            exec(ast.unparse(node), names)
    for cell in cells:
        for shown in re.findall(r"^show_source\((.*)\)", cell.source, re.MULTILINE):
            outputs = [output.get("data", {}).get("text/markdown") for output in cell.outputs]
            assert runtime.show_source(eval(shown, names)).data in outputs, f"{shown} has changed: run the notebook"


@each(CHAPTERS)
def test_leads_to_the_chapters_before_and_after_it(path):
    place, last = CHAPTERS.index(path), read(path).cells[-1].source.splitlines()[-1]
    neighbours = {"Previous": CHAPTERS[place - 1 : place], "Next": CHAPTERS[place + 1 : place + 2]}
    expected = [f"{name}: [" for name, found in neighbours.items() if found]
    assert [f"{name}: [" for name in neighbours if f"{name}: [" in last] == expected
    assert re.findall(r"\(([^)]*)\)", last) == [found[0].name for found in neighbours.values() if found]


@each(NOTEBOOKS)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        linked = path.parent / name if name else path
        assert linked.exists(), target
        if anchor:
            assert anchor in [heading.replace(" ", "-") for heading in headings(linked)], target


def test_the_map_tells_chapters_that_exist_from_those_in_preparation():
    start = prose(CHAPTERS[0])
    exist = {path.stem[:2] for path in CHAPTERS}
    for number, rest in re.findall(r"^\| \[?(\d\d) · (.*)", start, re.MULTILINE):
        assert ("in preparation" in rest) == (number not in exist), number
    for number, rest in re.findall(r"^\| [^|]* \| \[?(\d\d), (.*)", start, re.MULTILINE):
        assert ("in preparation" in rest) == (number not in exist), number


@each(CHAPTERS)
def test_results_are_those_of_the_committed_outputs(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    shown = [output.data["text/markdown"] for output in outputs if "headline" in output.get("metadata", {})]
    assert len(shown) == 1
    measured = dict(re.findall(r"\| `(\w+)` \| \*\*([^*]+)\*\*", shown[0]))
    assert measured == {name: f"{entry['value']:.4g}" for name, entry in RESULTS[path.stem].items()}


def test_pretrained_files_are_small_and_in_use():
    folder = runtime.COURSE / "data" / "pretrained"
    weights = sorted(folder.glob("*.npz"))
    assert all(path.stat().st_size <= 8e6 for path in weights)
    assert sum(path.stat().st_size for path in weights) <= 40e6
    assert [path.stem for path in weights] == sorted(path.stem for path in folder.glob("*.json"))
    outputs = json.dumps([cell.outputs for path in NOTEBOOKS for cell in code_cells(path)])
    for path in weights:
        assert f"{path.stem}: " in outputs, f"no notebook trains or loads {path.name}"


def test_studies_are_in_use():
    outputs = json.dumps([cell.outputs for path in NOTEBOOKS for cell in code_cells(path)])
    for path in (runtime.COURSE / "data" / "studies").glob("*.json"):
        assert f"{path.stem}: " in outputs, f"no notebook measures or loads {path.name}"


def test_committed_weights_fit_the_code_on_every_release_of_keras():
    """Else the notebooks would train for minutes, where a reader expects them to load."""
    record = json.loads((runtime.COURSE / "data" / "pretrained" / "judge.json").read_bytes())
    judge = untrained_classifier()
    assert describe(judge) == record["recipe"]["network"]
    assert describe(judge.optimizer) == record["recipe"]["optimizer"]


def test_modules_import_only_from_the_floors_below():
    floors = importlib.import_module("utils").__all__
    for floor, name in enumerate(floors):
        tree = ast.parse((runtime.COURSE / "utils" / f"{name}.py").read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("utils."):
                assert floors.index(node.module.split(".")[1]) < floor, f"{name} imports {node.module}"
