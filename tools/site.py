"""Build the course as a static site from the committed outputs, without running anything: `python -m tools.site`.

Needs MyST-NB, the Sphinx book theme and MathJax (`make site` installs them). The site goes to build/site, and needs no
network to be read.
"""

import json
import re
import shutil
import sys

from sphinx.cmd.build import main as sphinx

from tools import COURSE, appendices, chapters, explorers, notebooks, solutions

SOURCE, SITE = COURSE / "build" / "site-source", COURSE / "build" / "site"

CONFIGURATION = """
project, author, html_title = "Generative models, step by step", "its authors", "Generative models"
extensions = ["myst_nb", "sphinx-mathjax-offline"]
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
}
html_copy_source, html_sourcelink_suffix = True, ""
html_static_path, html_css_files = ["_static"], ["wide.css", "explorers.css"]
html_js_files = [("explorers.js", {"defer": "defer"})]
"""
# Lines of code are up to 120 characters long: at 1280 pixels nearly all of them fit. On a narrow screen code breaks or
# scrolls, and the page does not.
STYLE = """
@media (min-width: 1200px) {
  .bd-sidebar-primary { flex: 0 0 13rem; }
  .bd-sidebar-secondary { flex: 0 0 11rem; width: 11rem; }
  .bd-main .bd-content .bd-article-container { max-width: 60rem; }
}
.highlight pre, .cell_output pre { font-size: 0.72rem; }
.highlight, .highlight pre, .cell_output { max-width: 100%; overflow-x: auto; }
code.literal, code.literal .pre { white-space: normal; }
table.dataframe th, table.dataframe td { padding: 0.15rem 0.6rem; text-align: right; }
@media (max-width: 800px) {
  code.literal, code.literal .pre { overflow-wrap: anywhere; }
  td code.literal .pre { overflow-wrap: normal; }
}
"""


def anchor(heading: str) -> str:
    """What Jupyter makes of a heading, so that the links of the notebooks hold on the site."""
    return heading.replace(" ", "-")


def titled(notebook: dict) -> None:
    """Let hidden cells show their title, as on Colab."""
    for cell in notebook["cells"]:
        if title := re.match("# @title (.*)", "".join(cell["source"])):
            cell["metadata"]["mystnb"] = {"code_prompt_show": f"{title[1]}: show the code"}


def front_page() -> str:
    """README without what only a reader of the repository needs, and the lists of pages."""
    readme = (COURSE / "README.md").read_text(encoding="utf-8")
    text, found, _ = readme.partition("## Two commands")
    if not found:
        raise ValueError("README has no section 'Two commands', before which the front page ends.")
    text += "\nThree models of the course run on the page [Explore](explore.md): drag, turn and change them.\n"
    text += "\n```{toctree}\n:maxdepth: 1\n:hidden:\n\nexplore\n```\n"
    for caption, paths in {"Chapters": chapters(), "Appendix": appendices(), "Solutions": solutions()}.items():
        pages = "\n".join(path.relative_to(COURSE / "notebooks").with_suffix("").as_posix() for path in paths)
        text += f"\n```{{toctree}}\n:maxdepth: 1\n:caption: {caption}\n\n{pages}\n```\n"
    return text


def main() -> int:
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    explore = (COURSE / "tools" / "explore.md").read_text(encoding="utf-8")
    for path in notebooks() + appendices():
        copy = SOURCE / path.relative_to(COURSE / "notebooks")
        copy.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text(encoding="utf-8").replace("](../utils/", "](utils/")
        text = text.replace("](../../utils/", "](../utils/")
        if path.suffix == ".ipynb":
            notebook = json.loads(text)
            titled(notebook)
            for name, explorer in explorers.EXPLORERS.items():
                if path in chapters() and path.stem == explorer.chapter:
                    explore = explore.replace(f"<!-- explorer: {name} -->", explorers.playable(notebook, name))
            text = json.dumps(notebook)
        copy.write_text(text, encoding="utf-8")
    (SOURCE / "explore.md").write_text(explore, encoding="utf-8")
    shutil.copytree(COURSE / "utils", SOURCE / "utils", ignore=shutil.ignore_patterns("__pycache__", "data"))
    (SOURCE / "_static").mkdir()
    (SOURCE / "_static" / "wide.css").write_text(STYLE, encoding="utf-8")
    for name in ("explorers.js", "explorers.css"):
        shutil.copy(COURSE / "tools" / name, SOURCE / "_static")
    explorers.write(SOURCE / "_static" / "explorers")
    (SOURCE / "data").mkdir()
    shutil.copy(COURSE / "data" / "gallery.png", SOURCE / "data")
    (SOURCE / "conf.py").write_text(CONFIGURATION, encoding="utf-8")
    (SOURCE / "index.md").write_text(front_page(), encoding="utf-8")
    return sphinx(["-W", "--keep-going", "-q", "-b", "html", str(SOURCE), str(SITE)])


if __name__ == "__main__":
    sys.exit(main())
