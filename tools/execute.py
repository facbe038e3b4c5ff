"""Execute notebooks, and say how it went.

    python -m tools.execute [--in-place] [notebook or number of a chapter ...]

Without names, all chapters; 06 is the chapter whose name begins so. Executed copies and HTML pages go to build/; with
--in-place (`make train`) the notebook itself gets the outputs, but only if every cell ran, and on real data.
COURSE_MODE sets the mode. Exit status 1 if a notebook failed.
"""

import argparse
import base64
import io
import os
import sys
import time
from pathlib import Path

import nbclient
import nbconvert
import nbformat
from jupyter_client import KernelManager
from PIL import Image
from tqdm import tqdm
from traitlets.config import Config

from tools import COURSE, chapters

BUILD = COURSE / "build"
LARGE_PICTURE = 60_000  # characters of base64: sheets of colored faces, by which a notebook would exceed 3 MB
# Newer releases of ipykernel warn about a connection in plain text; older ones do not know how to encrypt it.
ENCRYPTED = Config()
if hasattr(KernelManager, "transport_encryption"):
    ENCRYPTED.KernelManager.transport_encryption = "auto"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-place", action="store_true", help="write outputs into the notebooks themselves")
    parser.add_argument("notebooks", nargs="*", help="paths, or beginnings of names such as 06")
    arguments = parser.parse_args()
    paths = chosen(parser, arguments.notebooks)

    rows = []
    overall = tqdm(paths, desc="notebooks", unit="notebook", position=0)
    for path in overall:
        overall.set_postfix_str(path.stem)
        start = time.perf_counter()
        try:
            status, remark = "ok", process(path, arguments.in_place)
        except nbclient.exceptions.CellExecutionError as error:
            status, remark = "failed", f"{error.ename}: {error.evalue}".splitlines()[0]
        except Exception as error:  # whatever it is, the other notebooks get their turn
            status, remark = "failed", f"{type(error).__name__}: {error}".splitlines()[0]
        rows.append((path.stem, time.perf_counter() - start, status, remark))

    print(f"\n{'notebook':<32}{'seconds':>8}  {'':<8}headline")
    for name, seconds, status, remark in rows:
        print(f"{name:<32}{seconds:>8.0f}  {status:<8}{remark}")
    print(f"\nOpen the pages in {BUILD.name}/, or the notebooks themselves: make lab")
    return int(any(status == "failed" for _, _, status, _ in rows))


def chosen(parser: argparse.ArgumentParser, names: list[str]) -> list[Path]:
    """What all these names mean, or all chapters without any; the parser says if one means nothing."""
    try:
        return [path for name in names for path in named(name)] or chapters()
    except ValueError as error:
        parser.error(str(error))


def named(name: str) -> list[Path]:
    """The notebook at a path, or the chapters whose names begin so. ValueError if there is none."""
    if name.endswith(".ipynb"):
        return [Path(name)]
    if not (found := [path for path in chapters() if path.stem.startswith(name)]):
        raise ValueError(
            f"No chapter begins with {name!r}: choose among {', '.join(path.stem[:2] for path in chapters())}."
        )
    return found


def process(path: Path, in_place: bool) -> str:
    """Execute a notebook and write what came of it, also where a cell failed; return its headline."""
    notebook = nbformat.read(path, as_version=4)
    copy = BUILD / path.resolve().relative_to(COURSE / "notebooks")
    copy.parent.mkdir(parents=True, exist_ok=True)
    try:
        execute(notebook, path.parent)
    finally:
        nbformat.write(notebook, copy)
        page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
        # nbconvert's style forgets code that is shown as Markdown output (`show_source`).
        page = page.replace("</head>", "<style>.highlight pre { font-family: monospace; }</style></head>", 1)
        copy.with_suffix(".html").write_text(page, encoding="utf-8")
    if in_place:
        if not results(notebook).get("comparable", True):
            raise ValueError("ran in quick mode or on stand-in digits, so the notebook keeps its earlier outputs")
        replace(path, notebook)
    return results(notebook).get("headline", "")


def execute(notebook, folder: Path, environment=os.environ, quiet=False) -> None:
    """Run all cells, in place, with a bar over them unless `quiet`. Raises what nbclient raises."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    with tqdm(total=len(code), desc="  cells", unit="cell", position=1, leave=False, disable=quiet) as progress:
        nbclient.NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            config=ENCRYPTED,
            resources={"metadata": {"path": str(folder)}},
            coalesce_streams=True,
            record_timing=False,  # timestamps would make every run a change
            on_cell_executed=lambda **_: progress.update(),
        ).execute(env=dict(environment))


def in_256_colors(png: str) -> str:
    """A picture, base64 in and out, with a palette: a third of the size, and hardly a visible difference."""
    buffer = io.BytesIO()
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    # Without k-means, a rare color such as that of a dot in a legend takes that of its neighbors.
    picture.quantize(256, kmeans=1).save(buffer, "png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def results(notebook) -> dict:
    """What `utils.course.results.table` said of the run: its headline, and whether its figures are comparable."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return next((output.metadata for output in outputs if "headline" in output.get("metadata", {})), {})


def replace(path: Path, notebook) -> None:
    """Write the notebook whole or not at all, without what differs from machine to machine."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            # Of a widget whose kernel is gone; its picture stays.
            data = output.get("data", {})
            data.pop("application/vnd.jupyter.widget-view+json", None)
            if len(data.get("image/png", "")) > LARGE_PICTURE:
                data["image/png"] = in_256_colors(data["image/png"])
    notebook.metadata.language_info = {"name": "python"}
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    nbformat.write(notebook, partial)
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
