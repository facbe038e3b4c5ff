"""Execute each chapter as Colab does: alone in an empty folder, the course installed by pip in this interpreter.

    python -m tools.alone [--mode quick] [--offline | --mnist] [chapter ...]

`make test-colab` calls it in an environment with Colab's versions. Each chapter runs twice: offline, on stand-in
digits, and on MNIST (from MNIST_PATH, from data/, or downloaded). A chapter fails if a cell raises an error or writes
to stderr, or if it trains or measures what should come with the course. Executed copies go to build/alone/.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbclient
import nbformat

from tools import COURSE, execute

TOGETHER = 2  # as many as Colab has cores; more would slow each other down


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mode", default="quick", choices=("quick", "standard"))
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--offline", action="store_true", help="on stand-in digits only")
    data.add_argument("--mnist", action="store_true", help="on MNIST only")
    parser.add_argument("chapters", nargs="*", help="names or their beginnings, such as 09; default: all")
    arguments = parser.parse_args()
    paths = execute.chosen(parser, arguments.chapters)
    mnist = None if arguments.offline else find_mnist()
    sources = ([] if arguments.mnist else ["offline"]) + (["MNIST"] if mnist else [])
    failures = 0
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(TOGETHER) as pool:
        site = install(publish(Path(folder) / "origin"), Path(folder) / "site")
        runs = [(path, source) for path in paths for source in sources]
        rows = [pool.submit(run, *each, arguments.mode, site, mnist) for each in runs]
        print(f"{'chapter':<32}{'data':<9}{'seconds':>8}  {arguments.mode} mode", flush=True)
        try:
            for (path, source), row in zip(runs, rows, strict=True):
                seconds, problem = row.result()
                failures += bool(problem)
                print(f"{path.stem:<32}{source:<9}{seconds:>8.0f}  {problem or 'ok'}", flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # or Ctrl-C would wait for all that have not begun
    print(f"\n{len(rows) - failures} of {len(rows)} runs without a fault." + ("" if mnist else " None was on MNIST."))
    return int(failures > 0 or not rows)


def find_mnist() -> Path | None:
    """The file with MNIST, downloaded if it is nowhere on this machine; None if it cannot be had."""
    given, cache = os.environ.get("MNIST_PATH"), COURSE / "data" / "mnist.npz"
    if given:
        return Path(given).absolute()
    if not cache.is_file():
        subprocess.run([sys.executable, "-c", "from utils.data import load_mnist; load_mnist()"], cwd=COURSE)
    return cache if cache.is_file() else None


def publish(origin: Path) -> str:
    """A repository with the files of the working tree, committed or not; return its address."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=COURSE, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in filter(None, names):
        if (COURSE / name).exists():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(COURSE / name, origin / name)
    identity = ["-c", "user.name=course", "-c", "user.email=course@localhost"]
    for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "-m", "course"]):
        subprocess.run(["git", *command], cwd=origin, check=True)
    return origin.as_uri()


def install(address: str, site: Path) -> Path:
    """What the set-up cell does on Colab, once for all chapters, and into a folder that goes away."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), f"git+{address}"]
    subprocess.run(command, check=True)
    return site


def run(path: Path, source: str, mode: str, site: Path, mnist: Path | None) -> tuple[float, str]:
    """Execute one chapter; return the seconds it took and what went wrong, if anything."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment |= {"COURSE_MODE": mode, "PYTHONPATH": str(site)}
    environment["PYDEVD_DISABLE_FILE_VALIDATION"] = "1"  # or the debugger warns of Python 3.13
    # Chapters that run side by side take two thirds of the processor's time if each has one thread.
    environment |= dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"), "1")
    if source == "MNIST":
        environment["MNIST_PATH"] = str(mnist)
    else:  # nothing listens there, so the download is refused at once; chapter 11's workers talk past it
        environment.pop("MNIST_PATH", None)
        environment |= {"https_proxy": "http://127.0.0.1:9", "no_proxy": "localhost,127.0.0.1"}
    start, problem = time.perf_counter(), ""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        alone = Path(folder, path.name)
        shutil.copy(path, alone)
        notebook = nbformat.read(alone, as_version=4)
        try:
            execute.execute(notebook, alone.parent, environment, quiet=True)
        except nbclient.exceptions.CellExecutionError as error:
            problem = f"{error.ename}: {error.evalue}"
        except Exception as error:  # such as a kernel that died
            problem = f"{type(error).__name__}: {error}"
    copy = execute.BUILD / "alone" / source / path.name
    copy.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, copy)
    return time.perf_counter() - start, (problem or fault(notebook)).strip().split("\n")[0]


def fault(notebook) -> str:
    """What a reader would stumble over in the outputs, or an empty string."""
    for output in (output for cell in notebook.cells for output in cell.get("outputs", [])):
        text = output.get("text", "")
        if output.get("name") == "stderr":
            return f"stderr: {text}"
        for words in ("Training it now", "Measuring it now"):
            if words in text:
                return next(line for line in text.splitlines() if words in line)
    return ""


if __name__ == "__main__":
    sys.exit(main())
