"""The course as web pages, in a real browser: `make site-test`."""

import functools
import http.server
import re
import shutil
import threading
import urllib.parse

import pytest

from tools import explorers

pytest.importorskip("myst_nb", reason="make site-test installs it")
sync_api = pytest.importorskip("playwright.sync_api", reason="make site-test installs it")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")  # else the one that playwright installs
pytestmark = pytest.mark.browser


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    """The folder of the built site, and its address."""
    from tools import site

    assert site.main() == 0, "Sphinx warns"
    handler = functools.partial(Quiet, directory=str(site.SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield site.SITE, f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


def pages(folder):
    """All pages of the site, without the parts that the theme keeps beside its styles."""
    return [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]


@pytest.mark.parametrize("width", [1280, 390])
def test_every_page_loads_and_fits_and_shows_its_formulas(site, browser, width):
    folder, address = site
    page = browser.new_page(viewport={"width": width, "height": 900})
    failed = []
    page.on("requestfailed", lambda request: failed.append(request.url))
    page.on("response", lambda response: response.status >= 400 and failed.append(response.url))
    for path in pages(folder):
        page.goto(address + path.relative_to(folder).as_posix(), wait_until="load")
        formulas = page.locator(".math").count()
        page.wait_for_function("n => document.querySelectorAll('mjx-container').length == n", arg=formulas)
        assert page.locator("mjx-merror").count() == 0, path.name
        assert "|—" not in page.locator("body").inner_text(), f"{path.name}: a table is left as text"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path.name
    assert not failed


def test_no_link_within_the_site_is_broken(site, browser):
    folder, address = site
    page = browser.new_page()
    for path in pages(folder):
        page.goto(address + path.relative_to(folder).as_posix(), wait_until="load")
        links = set(page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)"))
        for link in links:
            if link.startswith(address):
                name, _, fragment = link[len(address) :].partition("#")
                target = folder / (name.split("?")[0] or "index.html")
                assert target.is_file(), f"{path.name} links to {link}"
                anchor = f'id="{urllib.parse.unquote(fragment)}"'
                assert not fragment or target.suffix != ".html" or anchor in target.read_text(), link


def test_explorers_stand_on_their_pages_which_may_be_files(site, browser):
    folder, _ = site
    page = browser.new_page(viewport={"width": 390, "height": 844})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    for name, explorer in explorers.EXPLORERS.items():
        for file in (f"{explorer.chapter}.html", "explore.html"):
            still = f'data-explorer="{name}"><img alt="Still picture'  # for readers without JavaScript
            assert (folder / file).read_text(encoding="utf-8").count(still) == 1
            page.goto((folder / file).as_uri())
            root = page.locator(f"[data-explorer={name}]")
            root.scroll_into_view_if_needed()
            root.locator("canvas").first.wait_for()
            assert root.locator("img").count() == 0 and root.locator("output").inner_text()
    assert not problems


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_of_explorers_can_be_read_in_both_modes(scheme, site, browser):
    _, address = site
    page = browser.new_page(color_scheme=scheme)
    page.goto(f"{address}10_cgan.html")
    page.locator("[data-explorer=classes]").scroll_into_view_if_needed()
    page.locator("[data-explorer=classes] output").wait_for()
    # Luminance of the text, of the explorer, and of the output of the cell around it (transparent in both modes).
    colors = page.evaluate(
        """() => {
            const root = document.querySelector("[data-explorer]");
            const style = one => getComputedStyle(one);
            return [style(root.querySelector("output")).color, style(root).backgroundColor,
                    style(root.closest(".text_html") ?? root.parentElement).backgroundColor];
        }"""
    )
    text, paper = (sum(map(int, re.findall(r"\d+", color)[:3])) for color in colors[:2])
    assert (text < 300 and paper > 600) if scheme == "light" else (text > 400 and paper < 200), colors
    assert colors[2] == "rgba(0, 0, 0, 0)"
