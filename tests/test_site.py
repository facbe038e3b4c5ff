"""The course as web pages, in a real browser: `make site-test`."""

import functools
import http.server
import shutil
import threading
import urllib.parse

import pytest

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
