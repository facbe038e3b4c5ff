"""The tools (execute, stamp, table), and a stamped notebook on its own, as on Colab."""

import base64
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import nbformat
import numpy as np
import pytest
from PIL import Image

import tools
from tools import alone, colab, execute, front, gallery, readme
from utils import plotting
from utils.course import results
from utils.course.session import COURSE

CHAPTERS, NOTEBOOKS = tools.chapters(), tools.notebooks()
README, TEACHING = ((COURSE / name).read_text(encoding="utf-8") for name in ("README.md", "TEACHING.md"))


def notebook(*sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.writes(nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Executes notebooks of the given contents in place: exit status, printed table, and the folder they are in."""
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(execute, "COURSE", tmp_path)
    monkeypatch.setattr(execute, "BUILD", tmp_path / "build")
    monkeypatch.setenv("PYTHONPATH", str(COURSE))

    def run(contents):
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8")
        monkeypatch.setattr(sys, "argv", ["execute.py", "--in-place", *(str(folder / name) for name in contents)])
        return execute.main(), capsys.readouterr().out, folder

    return run


def test_a_failing_notebook_does_not_stop_the_others(run):
    bad, good = notebook("x = 1", "1 / 0", "print(x)"), notebook("print('a' * 3)")
    contents = {"1_bad.ipynb": bad, "2_broken.ipynb": "{", "3_good.ipynb": good}
    status, table, folder = run(contents)
    assert status == 1
    assert re.search(r"1_bad +\d+  failed  ZeroDivisionError: division by zero", table)
    assert re.search(r"2_broken +\d+  failed  NotJSONError", table)
    assert re.search(r"3_good +\d+  ok", table) and "make lab" in table
    for name in ("1_bad.ipynb", "2_broken.ipynb"):
        assert (folder / name).read_text(encoding="utf-8") == contents[name], "a failed run must not touch the notebook"
    assert "ZeroDivisionError" in (folder.parent / "build" / "1_bad.html").read_text(encoding="utf-8")
    done = nbformat.read(folder / "3_good.ipynb", as_version=4)
    assert done.cells[0].outputs[0].text == "aaa\n" and done.cells[0].execution_count == 1
    assert "aaa" in (folder.parent / "build" / "3_good.html").read_text(encoding="utf-8")


def test_the_log_of_a_run_has_no_warning_of_the_kernel(tmp_path, capfd):
    """Newer releases of ipykernel warn of a connection in plain text, on the descriptor that they share with us."""
    execute.execute(nbformat.reads(notebook("print('fine')"), as_version=4), tmp_path, quiet=True)
    assert capfd.readouterr().err == ""


def test_the_headline_is_shown_and_quick_outputs_are_not_kept(run):
    """The first notebook ends as the chapters do; the second, which needs no TensorFlow, as they do in quick mode."""
    figures = "{'sse': (2.54321, '%', 'lower'), 'other': (1, '%', 'lower')}"
    real = notebook("from utils.course.results import table", f"table('x', {figures}, headline='sse')")
    metadata = "{'headline': 'sse 3', 'comparable': False}"
    quick = notebook(f"display({{'text/plain': ''}}, raw=True, metadata={metadata})")
    status, table, folder = run({"1_real.ipynb": real, "2_quick.ipynb": quick})
    assert status == 1
    assert re.search(r"1_real +\d+  ok      sse 2.543", table)
    assert re.search(r"2_quick +\d+  failed  .*keeps its earlier outputs", table)
    assert (folder / "2_quick.ipynb").read_text(encoding="utf-8") == quick


def test_a_large_picture_gets_smaller_and_hardly_changes():
    ramp = np.linspace(0, 255, 400)
    noise = np.random.default_rng(0).normal(0, 2, (400, 400, 3))
    sheet = (np.stack(np.broadcast_arrays(ramp, ramp[:, None], 90), axis=-1) + noise).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "png")
    before = base64.b64encode(buffer.getvalue()).decode()
    after = execute.in_256_colors(before)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(after))).convert("RGB"), float)
    assert len(after) < 0.5 * len(before)
    assert np.abs(pixels - sheet).mean() < 6 < np.abs(pixels - sheet[::-1]).mean()


def test_a_palette_keeps_the_colors_of_classes():
    random, buffer = np.random.default_rng(0), io.BytesIO()
    classes = random.integers(0, 10, 5_000)
    figure = plotting.latent_scatter(3 * random.normal(size=(10, 2))[classes] + random.normal(size=(5_000, 2)), classes)
    figure.savefig(buffer, format="png", dpi=100)
    png = base64.b64encode(buffer.getvalue()).decode()
    before, after = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB"), float)
        for picture in (png, execute.in_256_colors(png))
    )
    for dots in figure.axes[0].collections:
        pure = np.abs(before - np.rint(255 * dots.get_facecolor()[0, :3])).max(axis=-1) <= 1
        assert pure.any() and np.abs(after - before)[pure].max(axis=-1).mean() < 12


def test_a_chapter_is_found_by_its_number(monkeypatch, capsys):
    assert execute.named("06") == [COURSE / "notebooks" / "06_vae.ipynb"]
    assert execute.named("notebooks/mine.ipynb") == [Path("notebooks/mine.ipynb")]
    monkeypatch.setattr(sys, "argv", ["execute.py", "06", "99"])
    with pytest.raises(SystemExit):
        execute.main()
    assert "No chapter begins with '99': choose among 00, 01, " in capsys.readouterr().err


def test_checkpoints_of_jupyter_are_not_part_of_the_course(tmp_path, monkeypatch):
    monkeypatch.setattr(tools, "COURSE", tmp_path)
    names = ["notebooks/01_a.ipynb", "notebooks/solutions/01_a.ipynb"]
    for name in [*names, "notebooks/.ipynb_checkpoints/01_a-checkpoint.ipynb", "notebooks/mine.ipynb"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert tools.notebooks() == [tmp_path / name for name in names]


def test_readme_has_the_recorded_figures(monkeypatch):
    monkeypatch.setattr(results, "RESULTS", COURSE / "data" / "results.json")
    assert readme.updated(README) == README, "run `python -m tools.readme`"
    assert README.count("| `ae30_sse` |") == 1


def test_teaching_has_the_minutes_and_the_map_of_the_chapters_as_they_are(monkeypatch):
    monkeypatch.setattr(results, "RESULTS", COURSE / "data" / "results.json")
    assert readme.updated(TEACHING) == TEACHING, "run `python -m tools.readme`"
    assert TEACHING.count("<!-- minutes -->") == TEACHING.count("<!-- map -->") == 1
    for path in CHAPTERS:
        assert f"(notebooks/{path.name}) | " in TEACHING


def test_teaching_names_only_exercises_that_exist():
    named = set(re.findall(r"\b(0\d|1[0-2])\.(\d)\b", TEACHING))
    exist = set()
    for path in CHAPTERS:
        exercises = nbformat.read(path, as_version=4).cells[-1].source.split("## Exercises")[1].split("## Sources")[0]
        exist |= {(path.stem[:2], number) for number in re.findall(r"^(\d)\. ", exercises, re.MULTILINE)}
    assert named == exist, "each exercise is recommended for something"


def test_the_minutes_of_a_section_are_those_of_its_text_code_and_pictures():
    picture = nbformat.v4.new_output("display_data", {"image/png": "AAAA"})
    cells = [
        nbformat.v4.new_markdown_cell("# 01 · Title\n\n" + "word " * 1_000),
        nbformat.v4.new_code_cell("setup()\n" * 100),
        nbformat.v4.new_markdown_cell("## 1. First\n\n" + "word " * 2 * readme.WORDS),
        nbformat.v4.new_code_cell("x\n" * 3 * readme.LINES, outputs=[picture] * 2 * readme.PICTURES),
        nbformat.v4.new_markdown_cell("The end of it.\n\n## Optional: second\n\n" + "word " * 3 * readme.WORDS),
        nbformat.v4.new_markdown_cell("## Exercises\n\n" + "word " * 1_000),
    ]
    found = readme.section_minutes(nbformat.v4.new_notebook(cells=cells))
    assert found == {"1. First": 7, "Optional: second": 3}


def test_readme_names_each_chapter_and_each_command():
    for path in CHAPTERS:
        assert f"(notebooks/{path.name})" in README
    commands = (COURSE / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin").replace(" $(ONLY)", "")
    documents = README + TEACHING
    for line in re.findall(r"^\t((?:COURSE_MODE=\w+ )?\.venv/bin/(?:python|jupyter|ruff) .*)", commands, re.MULTILINE):
        if "$(REPO)" not in line and "-m browser" not in line:
            assert line in documents, f"neither README nor TEACHING shows: {line}"


def test_readme_says_how_long_each_chapter_takes():
    """As the chapter itself does."""
    for path in CHAPTERS:
        notebook = nbformat.read(path, as_version=4)
        minutes = front.minutes(notebook)
        retrain = re.search(r"or (\d+) in `retrain` mode", notebook.cells[0].source)
        expected = f"{minutes}, {retrain[1]}" if retrain else minutes
        assert re.search(rf"\[{path.stem}\]\(.*\| {expected} \|\n", README), path.stem


def test_the_strip_of_pictures_is_that_of_the_committed_outputs(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery, "STRIP", tmp_path / "strip.png")
    gallery.main()
    with Image.open(tmp_path / "strip.png") as new, Image.open(COURSE / "data" / "gallery.png") as shown:
        assert new.size == shown.size, "run `python -m tools.gallery`"
        difference = np.abs(np.asarray(new.convert("L"), float) - np.asarray(shown.convert("L"), float))
    # Releases of Pillow differ a little in how they scale and choose colors.
    assert difference.mean() < 1, "run `python -m tools.gallery`"


def test_the_example_of_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"```python\n(.*?)```", README, re.DOTALL)[1]
    names = {}
    exec(example, names)
    assert names["new"].shape == names["between"].shape == (10, 16, 16, 3)
    assert keras.models.load_model("vae.keras").sample(3) == pytest.approx(names["vae"].sample(3))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("print('fine')", ""),
        ("print('model: no such file. Training it now.')", "model: no such file. Training it now."),
        ("import sys; print('red', file=sys.stderr)", "stderr: red"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_goes_wrong_in_a_chapter_alone_is_reported(source, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "BUILD", tmp_path / "build")
    (tmp_path / "01.ipynb").write_text(notebook(source), encoding="utf-8")
    assert alone.run(tmp_path / "01.ipynb", "offline", "quick", tmp_path, None)[1] == expected
    assert (tmp_path / "build" / "alone" / "offline" / "01.ipynb").is_file()


def test_offline_no_chapter_finds_mnist_and_its_download_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(execute, "BUILD", tmp_path / "build")
    monkeypatch.setenv("MNIST_PATH", "/nowhere")
    code = "import os, urllib.request as u\nassert 'MNIST_PATH' not in os.environ\nu.urlopen('https://example.org')"
    (tmp_path / "01.ipynb").write_text(notebook(code), encoding="utf-8")
    _, problem = alone.run(tmp_path / "01.ipynb", "offline", "quick", tmp_path, None)
    assert "Connection refused" in problem


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of README and the notebooks, for stamping."""
    shutil.copytree(COURSE / "notebooks", tmp_path / "notebooks")
    shutil.copy(COURSE / "README.md", tmp_path)
    monkeypatch.setattr(colab, "COURSE", tmp_path)
    monkeypatch.setattr(tools, "COURSE", tmp_path)

    def stamp(*arguments):
        monkeypatch.setattr(sys, "argv", ["colab.py", *arguments])
        status = colab.main()
        files = [tmp_path / "README.md", *sorted((tmp_path / "notebooks").rglob("*.ipynb"))]
        return status, {path.relative_to(tmp_path).as_posix(): path.read_text(encoding="utf-8") for path in files}

    return stamp


def test_there_is_a_link_to_colab_only_where_an_address_is_stamped():
    stamped = {path: 'SOURCE, HELP = \\"git+https://\\"' not in path.read_text(encoding="utf-8") for path in NOTEBOOKS}
    assert len(set(stamped.values())) == 1, "some notebooks are stamped and others not: run make colab again"
    if not any(stamped.values()):
        for path in [*NOTEBOOKS, COURSE / "README.md"]:
            assert "colab.research" not in path.read_text(encoding="utf-8")


def test_stamping_is_idempotent_and_can_be_changed(copy):
    status, once = copy("someone/course", "v1")
    assert status == 0
    for name, text in once.items():
        page = "notebooks/00_start_here.ipynb" if name == "README.md" else name
        assert f"colab.research.google.com/github/someone/course/blob/v1/{page}" in text
        if name != "README.md":
            cell = nbformat.reads(text, as_version=4).cells[1].source
            assert 'SOURCE, HELP = "git+https://github.com/someone/course@v1", "pip cannot install' in cell
    assert copy("someone/course", "v1")[1] == once
    changed = copy("other/name")[1]
    assert all("someone/course" not in text and "blob/main/" in text for text in changed.values())


def test_a_short_commit_is_stamped_with_all_of_its_digits(copy, tmp_path):
    for command in (["init"], ["-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "--allow-empty", "-mx"]):
        subprocess.run(["git", *command, "--quiet"], cwd=tmp_path, check=True)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=tmp_path, capture_output=True, text=True).stdout.strip()
    for reference, stamped in {commit[:8]: commit, "deadbeef0": "deadbeef0"}.items():
        text = copy("someone/course", reference)[1]["notebooks/01_autoencoder.ipynb"]
        assert f'"git+https://github.com/someone/course@{stamped}\\"' in text


@pytest.mark.parametrize("arguments", [(), ("one", "two", "three"), ("no-slash",), ("a b/c",)])
def test_an_address_that_is_none_changes_nothing(arguments, copy, capsys):
    before = copy("someone/course")[1]
    status, after = copy(*arguments)
    assert status == 2 and after == before
    assert capsys.readouterr().err


def git(*arguments, cwd):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("git@github.com:someone/course.git", "someone/course"),
        ("https://github.com/someone/course", "someone/course"),
        ("https://name:secret@github.com/someone/course.git", "someone/course"),
        ("ssh://git@github.com/someone/course.js/", "someone/course.js"),
        ("https://secret@git.example.edu:8443/group/sub/course.git", "https://git.example.edu:8443/group/sub/course"),
        ("ssh://git@git.example.edu:2222/group/course.git", "https://git.example.edu/group/course"),
        ("git@git.example.edu:group/course.git", "https://git.example.edu/group/course"),
    ],
)
def test_the_public_address_of_a_remote_is_found_without_its_secrets(remote, expected):
    assert colab.public(remote) == expected


@pytest.mark.parametrize("remote", ["/srv/course.git", "file:///srv/course.git", "../course", "C:\\course"])
def test_a_remote_that_others_cannot_reach_is_refused(remote):
    with pytest.raises(ValueError, match="not an address that others can reach"):
        colab.public(remote)


@pytest.mark.parametrize("default", ["main", "trunk"])
def test_without_a_name_the_address_is_that_of_origin(default, copy, tmp_path):
    git("init", "--quiet", cwd=tmp_path)
    assert copy("")[0] == 2, "there is no origin yet"
    git("remote", "add", "origin", "https://name:secret@github.com/someone/course.git", cwd=tmp_path)
    if default != "main":  # git knows the default branch of what it has cloned
        git("symbolic-ref", "refs/remotes/origin/HEAD", f"refs/remotes/origin/{default}", cwd=tmp_path)
    status, files = copy()
    assert status == 0 and copy("", "")[1] == files
    for name, text in files.items():
        assert f"github/someone/course/blob/{default}/" in text and "secret" not in text, name
    assert colab.stamped() == ("https://github.com/someone/course", default)
    assert copy("", "v2")[0] == 0 and colab.stamped() == ("https://github.com/someone/course", "v2")


@pytest.fixture
def fork(copy, tmp_path):
    """A clone with one commit and its origin; the copy's way to stamp; and a count of the origin's commits."""
    origin = tmp_path / "origin.git"
    git("init", "--quiet", "--bare", "--initial-branch=trunk", str(origin), cwd=tmp_path)
    git("init", "--quiet", "--initial-branch=trunk", cwd=tmp_path)
    git("remote", "add", "origin", str(origin), cwd=tmp_path)
    git("add", "notebooks", "README.md", cwd=tmp_path)
    git("commit", "--quiet", "--message=course", cwd=tmp_path)
    git("push", "--quiet", "origin", "trunk", cwd=tmp_path)
    return copy, lambda: git("log", "--format=%an", "trunk", cwd=origin).splitlines()


def test_the_workflow_stamps_a_fork_once(fork, capsys):
    run, commits = fork
    assert run("--keep", "someone/course", "trunk")[0] == 0
    assert commits() == ["github-actions[bot]", "t"]
    status, files = run("--keep", "someone/course", "trunk")
    assert status == 0 and len(commits()) == 2 and "already" in capsys.readouterr().out
    changed = run("--keep", "someone/course2", "trunk")[1]  # a name that begins alike is another repository
    assert len(commits()) == 3 and all("someone/course2/blob/trunk/" in text for text in changed.values())
    assert changed.keys() == files.keys()


def test_the_workflow_leaves_a_pinned_stamp_and_adds_a_missing_one(fork, tmp_path):
    run, commits = fork
    pinned = run("someone/course", "v1")[1]
    git("commit", "--quiet", "--all", "--message=pinned", cwd=tmp_path)
    assert run("--keep", "someone/course", "trunk")[1] == pinned and len(commits()) == 1
    readme = tmp_path / "README.md"
    readme.write_text(colab.BADGE.sub("<!-- colab --><!-- /colab -->", pinned["README.md"]), encoding="utf-8")
    assert run("--keep", "someone/course", "trunk")[0] == 0 and len(commits()) == 3


def test_the_workflow_needs_no_package():
    code = "import runpy, sys; sys.argv = ['colab', 'no-slash']; runpy.run_module('tools.colab', run_name='__main__')"
    ran = subprocess.run([sys.executable, "-S", "-c", code], cwd=COURSE, capture_output=True, text=True)
    assert ran.returncode == 2 and "neither owner/name nor an address" in ran.stderr
