"""JupyterLab with a slider, in a real browser: `make site-test`."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import nbformat
import pytest

from utils.course.session import COURSE

sync_api = pytest.importorskip("playwright.sync_api", reason="make site-test installs it")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")  # else the one that playwright installs
pytestmark = pytest.mark.browser

CELLS = [
    f"import sys; sys.path.insert(0, {str(COURSE)!r}); sys.path.insert(0, {str(COURSE / 'tests')!r})",
    "import zoo; from utils.explore import explore_classes",
    "explore_classes(zoo.build('cgan'))",
]


def wait_for(address, what, ready):
    """Ask JupyterLab's server until `ready` accepts its answer, for a minute at most."""
    answer = None
    for _ in range(120):
        with contextlib.suppress(OSError):  # it does not listen yet
            answer = json.load(urllib.request.urlopen(f"{address}/api/{what}"))
            if ready(answer):
                return
        time.sleep(0.5)
    pytest.fail(f"JupyterLab's {what} after a minute: {answer}")


def any_is_ready(kernels):
    return any(kernel["execution_state"] == "idle" and kernel["connections"] for kernel in kernels)


@pytest.fixture
def lab(tmp_path):
    """The address of JupyterLab on loopback, in a folder with a notebook of one explorer."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    notebook.metadata.kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, tmp_path / "slider.ipynb")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--IdentityProvider.token="]
    environment = {**os.environ, "HOME": str(tmp_path), "JUPYTER_PLATFORM_DIRS": "1"}
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, f"--ServerApp.root_dir={tmp_path}"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, "status", bool)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def test_moving_a_slider_changes_the_picture(lab):
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"{lab}/lab/tree/slider.ipynb")
        page.get_by_text("explore_classes(").first.wait_for(timeout=60_000)
        # JupyterLab says at once that the kernel is idle, and forgets the cells that it sends before it is.
        wait_for(lab, "kernels", any_is_ready)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.locator(".lm-Menu-itemLabel").get_by_text("Run All Cells", exact=True).click()
        picture = page.locator(".widget-image")
        picture.wait_for(timeout=120_000)
        before = picture.evaluate("image => image.src")
        handle = page.locator(".widget-slider .noUi-handle").first
        handle.focus()
        for _ in range(5):
            handle.press("ArrowRight")
        page.wait_for_function("before => document.querySelector('.widget-image').src != before", arg=before)
        browser.close()
