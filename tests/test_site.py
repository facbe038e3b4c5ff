"""The course as web pages, in a real browser: `make site-test`."""

import functools
import http.server
import re
import shutil
import threading
import urllib.parse

import pytest

from tools import chapters, explorers

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
def stamped(tmp_path_factory):
    """The folder of the site as it is once an address is known."""
    from tools import site

    folder = tmp_path_factory.mktemp("stamped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site.colab, "stamped", lambda: ("https://github.com/someone/course", "v1"))
        patch.setattr(site, "SOURCE", folder / "source")
        patch.setattr(site, "SITE", folder / "site")
        assert site.main() == 0, "Sphinx warns"
    return folder / "site"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield browser
        browser.close()


def pages(folder):
    """All pages of the site, without the parts that the theme keeps beside its styles."""
    return [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]


FACTS = """() => {
    document.querySelectorAll("details").forEach(block => block.open = true);
    const all = selector => [...document.querySelectorAll(selector)];
    return {
        alts: all("img").map(image => image.alt),
        errors: all("mjx-merror").length,
        footer: document.querySelector("footer.bd-footer-content").innerText,
        links: all("a[href]").map(link => link.href),
        neighbors: all(".left-prev, .right-next").map(link => link.href),
        scrolling: all(".highlight pre, .highlight, .cell_output, .cell_output > *")
            .filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.innerText.slice(0, 80)),
        text: document.body.innerText,
        width: document.documentElement.scrollWidth,
    };
}"""


@pytest.fixture(scope="module", params=[1280, 390])
def visited(request, site, browser):
    """The width of the window; for each page, relative to the site, what is on it; and requests that failed."""
    folder, address = site
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    failed, found = [], {}
    # A request is also aborted when the next page is opened.
    page.on("requestfailed", lambda request: "ABORTED" in request.failure or failed.append(request.url))
    page.on("response", lambda response: response.status >= 400 and failed.append(response.url))
    for path in pages(folder):
        name = path.relative_to(folder).as_posix()
        page.goto(address + name, wait_until="load")
        formulas = page.locator(".math").count()
        page.wait_for_function("n => document.querySelectorAll('mjx-container').length == n", arg=formulas)
        found[name] = page.evaluate(FACTS)
    page.close()
    return request.param, found, failed


def test_every_page_loads_and_fits_and_shows_its_formulas(visited):
    width, found, failed = visited
    assert not failed
    for name, facts in found.items():
        assert facts["errors"] == 0, name
        assert "|—" not in facts["text"], f"{name}: a table is left as text"
        assert facts["width"] <= width, name


def test_neither_code_nor_output_scrolls_sideways_on_a_wide_screen(visited):
    width, found, _ = visited
    for name, facts in found.items():
        assert width < 1280 or not facts["scrolling"], name


def test_every_picture_has_an_alt_text(visited):
    _, found, _ = visited
    for name, facts in found.items():
        for text in facts["alts"]:
            assert text and not text.endswith(".png"), f"{name}: a picture is described as {text!r}"


def test_each_chapter_leads_to_its_neighbors_once(visited, site):
    _, found, _ = visited
    names = [f"{path.stem}.html" for path in chapters()]
    for i, name in enumerate(names):
        before, after = found[name]["neighbors"]
        assert before == site[1] + (names[i - 1] if i else "index.html")
        assert i + 1 == len(names) or after == site[1] + names[i + 1]
        assert "Previous: " not in found[name]["text"] and "Next: " not in found[name]["text"]


def test_each_page_names_the_license_and_the_repository(visited):
    _, found, _ = visited
    for name, facts in found.items():
        assert "MIT license" in facts["footer"] and "Repository: " in facts["footer"], name


def test_no_link_within_the_site_is_broken(visited, site):
    _, found, _ = visited
    folder, address = site
    for page, facts in found.items():
        for link in set(facts["links"]):
            if link.startswith(address):
                name, _, fragment = link[len(address) :].partition("#")
                target = folder / (name.split("?")[0] or "index.html")
                assert target.is_file(), f"{page} links to {link}"
                anchor = f'id="{urllib.parse.unquote(fragment)}"'
                assert not fragment or target.suffix != ".html" or anchor in target.read_text(), link


@pytest.mark.parametrize("width", [1280, 390])
def test_the_front_page_shows_the_gallery_two_commands_five_figures_and_all_chapters(width, site, browser):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(site[1], wait_until="load")
    assert page.locator("pre").first.inner_text().splitlines()[0].startswith("make run")
    assert page.locator("main table tbody tr").count() == 5
    cards = page.locator(".chapter-card")
    assert cards.count() == len(chapters())
    for card in cards.all():
        picture = card.locator("img")
        picture.scroll_into_view_if_needed()
        assert picture.evaluate("image => image.naturalWidth") > 100
        assert picture.bounding_box()["width"] > 200
    cards.last.click()  # anywhere, not only on its title
    page.wait_for_url(f"**/{chapters()[-1].stem}.html")


def test_search_works_from_a_file(site, browser):
    folder, _ = site
    page = browser.new_page()
    page.goto(f"{folder.as_uri()}/search.html?q=bottleneck", wait_until="load")
    page.locator("#search-results li a", has_text="Autoencoder").first.click()
    page.wait_for_url("**/*autoencoder.html*")


def test_pages_lead_to_colab_once_the_address_is_known(stamped, browser):
    page = browser.new_page()
    colab = "https://colab.research.google.com/github/someone/course/blob/v1/notebooks"
    for name in ("03_denoising_autoencoder", "solutions/03_denoising_autoencoder"):
        page.goto(f"{stamped.as_uri()}/{name}.html")
        links = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.href)")
        assert f"{colab}/{name}.ipynb" in links and "https://github.com/someone/course" in links
    page.goto(f"{stamped.as_uri()}/index.html")
    assert page.get_by_text("Open in Colab").get_attribute("href") == f"{colab}/00_start_here.ipynb"


def test_without_an_address_no_page_leads_to_colab():
    from tools import site

    assert "colab" not in site.configuration("", "") and "colab" not in site.configuration("https://host/a/b", "")
    assert site.repository_link("https://host/a/b") == '<a href="https://host/a/b">host/a/b</a>'


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
