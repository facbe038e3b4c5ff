"""Execute notebooks, and say how it went.

    python tools/execute.py [--in-place] [notebook ...]

Without names, all chapters. Executed copies and HTML pages go to build/; with --in-place (`make train`) the notebook
itself gets the outputs, but only if every cell ran. COURSE_MODE sets the mode. Exit status 1 if a notebook failed.
"""

import argparse
import os
import sys
import time
from pathlib import Path

import nbclient
import nbconvert
import nbformat
from tqdm import tqdm

COURSE = Path(__file__).resolve().parents[1]
BUILD = COURSE / "build"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--in-place", action="store_true", help="write outputs into the notebooks themselves")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all chapters")
    arguments = parser.parse_args()
    paths = arguments.notebooks or sorted((COURSE / "notebooks").rglob("[0-9]*.ipynb"))

    BUILD.mkdir(exist_ok=True)
    rows = []
    overall = tqdm(paths, desc="notebooks", unit="notebook", position=0)
    for path in overall:
        overall.set_postfix_str(path.stem)
        start = time.perf_counter()
        notebook, error = execute(path)
        rows.append((path.stem, time.perf_counter() - start, error, headline(notebook)))
        nbformat.write(notebook, BUILD / path.name)
        page, _ = nbconvert.HTMLExporter().from_notebook_node(notebook)
        # nbconvert's style forgets code that is shown as Markdown output (`show_source`).
        page = page.replace("</head>", "<style>.highlight pre { font-family: monospace; }</style></head>", 1)
        (BUILD / f"{path.stem}.html").write_text(page, encoding="utf-8")
        if arguments.in_place and error is None:
            replace(path, notebook)

    print(f"\n{'notebook':<32}{'seconds':>8}  {'':<8}headline")
    for name, seconds, error, figure in rows:
        print(f"{name:<32}{seconds:>8.0f}  {'failed' if error else 'ok':<8}{error or figure}")
    print(f"\nOpen the pages in {BUILD.relative_to(COURSE)}/, or the notebooks themselves: make lab")
    return 1 if any(error for _, _, error, _ in rows) else 0


def execute(path: Path):
    """The executed notebook (as far as it came), and the first line of the error, or None."""
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
    with tqdm(total=len(code), desc="  cells", unit="cell", position=1, leave=False) as progress:
        client = nbclient.NotebookClient(
            notebook,
            timeout=None,
            kernel_name="python3",
            resources={"metadata": {"path": str(path.parent)}},
            coalesce_streams=True,
            record_timing=False,  # timestamps would make every run a change
            on_cell_executed=lambda **_: progress.update(),
        )
        try:
            client.execute()
        except nbclient.exceptions.CellExecutionError as error:
            return notebook, f"{error.ename}: {error.evalue}".splitlines()[0]
        except nbclient.exceptions.DeadKernelError:
            return notebook, "the kernel died (out of memory?)"
    return notebook, None


def headline(notebook) -> str:
    """The figure that the notebook's results table is headed by (`utils.results.table`)."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "headline" in output.get("metadata", {}):
                return output.metadata.headline
    return ""


def replace(path: Path, notebook) -> None:
    """Write the notebook whole or not at all, without what differs from machine to machine."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    nbformat.write(notebook, partial)
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
