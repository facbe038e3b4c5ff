"""Build the course as a static site from the committed outputs, without running anything: `python -m tools.site`.

Needs MyST-NB, the Sphinx book theme and MathJax (`make site` installs them). The site goes to build/site, and needs no
network to be read. Once `make colab` has stamped an address, its pages lead to the repository and to Colab.
"""

import hashlib
import json
import re
import shutil
import sys
from pathlib import Path, PurePath

import nbformat
from docutils import nodes
from sphinx.cmd.build import main as sphinx

from tools import COURSE, LINKED, appendices, chapters, colab, explorers, front, notebooks, solutions
from tools.figures import figures

SOURCE, SITE = COURSE / "build" / "site-source", COURSE / "build" / "site"

CONFIGURATION = """
project, html_title = "Generative models, step by step", "Generative models"
extensions = ["myst_nb", "sphinx-mathjax-offline", "tools.site"]
nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "gfm"  # outputs have tables
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_heading_slug_func = "tools.site.anchor"
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header", "misc.highlighting_failure"]
html_theme = "sphinx_book_theme"
html_theme_options = {
    "use_download_button": True, "use_fullscreen_button": False, "show_toc_level": 2, "navbar_persistent": [],
    "footer_content_items": ["license.html"],
}
html_copy_source, html_sourcelink_suffix = True, ""
html_static_path, html_css_files, html_extra_path = ["_static"], ["wide.css", "explorers.css"], ["LICENSE.txt"]
html_js_files = [("explorers.js", {"defer": "defer"})]
templates_path = ["_templates"]
"""
# From 1200 pixels on, nothing scrolls sideways: a line that is too long continues on the next. On a narrow screen code
# scrolls, and the page does not.
STYLE = """
@media (min-width: 1200px) {
  .bd-sidebar-primary { flex: 0 0 13rem; }
  .bd-sidebar-secondary { flex: 0 0 11rem; width: 11rem; }
  .bd-main .bd-content .bd-article-container { max-width: 60rem; }
  .highlight pre, .cell_output pre { white-space: pre-wrap; overflow-wrap: anywhere; }
}
.highlight pre, .cell_output pre { font-size: 0.76rem; }
.highlight, .highlight pre, .cell_output { max-width: 100%; overflow-x: auto; }
code.literal, code.literal .pre { white-space: normal; }
table.dataframe { font-size: 0.85rem; }
table.dataframe th, table.dataframe td { padding: 0.15rem 0.6rem; text-align: right; }
table.dataframe tbody th { overflow-wrap: anywhere; }
@media (max-width: 800px) {
  code.literal, code.literal .pre { overflow-wrap: anywhere; }
  td code.literal .pre { overflow-wrap: normal; }
  table.table { font-size: 0.85rem; }
  table.table td, table.table th { padding: 0.35rem; }
}
"""
FOOTER = """
<p>Code under the <a href="{{ pathto('LICENSE.txt', resource=True) }}">MIT license</a>, text and figures under
<a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>. Repository: %s.</p>
"""
COLAB = "https://colab.research.google.com"
NEIGHBORS = re.compile(r"\n+---\n+(Previous|Next): .*\s*\Z")  # of which the theme makes buttons


def anchor(heading: str) -> str:
    """What Jupyter makes of a heading, so that the links of the notebooks hold on the site."""
    return heading.replace(" ", "-")


def setup(app) -> None:
    """As an extension of Sphinx: give the figures their alt texts."""
    app.connect("doctree-read", describe_figures)


def describe_figures(app, page) -> None:
    """Give each figure of a notebook its alt text. MyST-NB names the picture's file by the SHA-256 of its content."""
    path = COURSE / "notebooks" / f"{app.env.docname}.ipynb"
    if path.is_file():
        texts = {hashlib.sha256(figure.png).hexdigest(): figure.alt for figure in figures(nbformat.read(path, 4))}
        for image in page.findall(nodes.image):
            if text := texts.get(PurePath(image["uri"]).stem):
                image["alt"] = text


def prepared(path: Path) -> str:
    """The text of a page, changed where the site differs from the repository."""
    text = re.sub(rf"\]\(\.\./((\.\./)?({'|'.join(LINKED)})/)", r"](\1", path.read_text(encoding="utf-8"))
    text = colab.BADGE.sub("", text)  # the page has a button, and the badge is a picture from elsewhere
    if path.suffix != ".ipynb":
        return text.replace("](notebooks/", "](")
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if title := re.match("# @title (.*)", source):  # the title of a hidden cell, as on Colab
            cell["metadata"]["mystnb"] = {"code_prompt_show": f"{title[1]}: show the code"}
        if cell["cell_type"] == "markdown":
            cell["source"] = NEIGHBORS.sub("", source)
    return json.dumps(notebook)


def configuration(address: str, reference: str) -> str:
    """conf.py; for a repository on GitHub with buttons that lead to it and to Colab."""
    options = {}
    if address.startswith("https://github.com/"):
        options = {"repository_url": address, "use_repository_button": True, "path_to_docs": "notebooks"}
        options |= {"repository_branch": reference, "launch_buttons": {"colab_url": COLAB}}
    return f"{CONFIGURATION}\nhtml_theme_options |= {options!r}\n"


def repository_link(address: str) -> str:
    """The repository's name as a link, or where it is while no address is stamped."""
    if not address:
        return "the folder in which this site was built"
    return f'<a href="{address}">{address.partition("://")[2]}</a>'


def index(address: str, reference: str) -> str:
    """The front page, and the lists of pages from which the sidebar is made."""
    links = {"Start with chapter 00": "00_start_here.html", "Explore the models": "explore.html"}
    if address.startswith("https://github.com/"):
        repository = address.removeprefix("https://github.com/")
        links["Open in Colab"] = f"{COLAB}/github/{repository}/blob/{reference}/notebooks/00_start_here.ipynb"
    links["For lecturers"] = "TEACHING.html"
    lists = {"Chapters": chapters(), "Appendix": appendices(), "Solutions": solutions()}
    lists = {caption: [path.relative_to(COURSE / "notebooks") for path in paths] for caption, paths in lists.items()}
    lists["Chapters"] += [Path("explore.md")]
    lists["Appendix"] += [Path("TEACHING.md")]
    text = front.front_page(links)
    for caption, paths in lists.items():
        pages = "\n".join(path.with_suffix("").as_posix() for path in paths)
        text += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{pages}\n```\n"
    return text


def main() -> int:
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    teaching = COURSE / "TEACHING.md"
    for path in [*notebooks(), *appendices(), teaching]:
        copy = SOURCE / (path.name if path == teaching else path.relative_to(COURSE / "notebooks"))
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(prepared(path), encoding="utf-8")
    explore = (COURSE / "tools" / "explore.md").read_text(encoding="utf-8")
    for name, explorer in explorers.EXPLORERS.items():
        copy = SOURCE / f"{explorer.chapter}.ipynb"
        notebook = json.loads(copy.read_text(encoding="utf-8"))
        explore = explore.replace(f"<!-- explorer: {name} -->", explorers.playable(notebook, name))
        copy.write_text(json.dumps(notebook), encoding="utf-8")
    (SOURCE / "explore.md").write_text(explore, encoding="utf-8")
    for folder in LINKED:
        shutil.copytree(COURSE / folder, SOURCE / folder, ignore=shutil.ignore_patterns("__pycache__", "data", "*.md"))
    (SOURCE / "_static").mkdir()
    (SOURCE / "_static" / "wide.css").write_text(STYLE + front.STYLE, encoding="utf-8")
    front.write_thumbnails(SOURCE / "_static" / "cards")
    for name in ("explorers.js", "explorers.css"):
        shutil.copy(COURSE / "tools" / name, SOURCE / "_static")
    explorers.write(SOURCE / "_static" / "explorers")
    (SOURCE / "data").mkdir()
    shutil.copy(COURSE / "data" / "gallery.png", SOURCE / "data")
    shutil.copy(COURSE / "LICENSE", SOURCE / "LICENSE.txt")
    address, reference = colab.stamped()
    (SOURCE / "_templates").mkdir()
    (SOURCE / "_templates" / "license.html").write_text(FOOTER % repository_link(address), encoding="utf-8")
    (SOURCE / "conf.py").write_text(configuration(address, reference), encoding="utf-8")
    (SOURCE / "index.md").write_text(index(address, reference), encoding="utf-8")
    return sphinx(["-W", "--keep-going", "-q", "-b", "html", "-d", str(SOURCE / "doctrees"), str(SOURCE), str(SITE)])


if __name__ == "__main__":
    sys.exit(main())
