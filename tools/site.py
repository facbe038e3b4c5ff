"""Build the course as a static site from the committed outputs, without running anything: `python -m tools.site`.

Needs MyST-NB, the Sphinx book theme and MathJax (`make site` installs them). The site goes to build/site, and needs no
network to be read.
"""

import shutil
import sys

from sphinx.cmd.build import main as sphinx

from tools import COURSE, notebooks

SOURCE, SITE = COURSE / "build" / "site-source", COURSE / "build" / "site"

CONFIGURATION = """
project, author, html_title = "Generative models, step by step", "its authors", "Generative models"
extensions = ["myst_nb", "sphinx-mathjax-offline"]
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
myst_heading_slug_func = "tools.site.anchor"
suppress_warnings = ["mystnb.unknown_mime_type", "myst.header"]
html_theme = "sphinx_book_theme"
html_theme_options = {"use_download_button": True, "use_fullscreen_button": False, "show_toc_level": 2}
html_copy_source, html_sourcelink_suffix = True, ""
html_static_path, html_css_files = ["_static"], ["wide.css"]
"""
# On a narrow screen code breaks or scrolls, and the page does not.
STYLE = """
.highlight, .highlight pre, .cell_output { max-width: 100%; overflow-x: auto; }
code.literal, code.literal .pre { overflow-wrap: anywhere; white-space: normal; }
"""


def anchor(heading: str) -> str:
    """What Jupyter makes of a heading, so that the links of the notebooks hold on the site."""
    return heading.replace(" ", "-")


def front_page(chapters) -> str:
    """README without what only a reader of the repository needs, and the list of pages."""
    readme = (COURSE / "README.md").read_text(encoding="utf-8")
    text, found, _ = readme.partition("## Two commands")
    if not found:
        raise ValueError("README has no section 'Two commands', before which the front page ends.")
    pages = "\n".join(path.relative_to(COURSE / "notebooks").with_suffix("").as_posix() for path in chapters)
    return f"{text}\n```{{toctree}}\n:maxdepth: 1\n\n{pages}\n```\n"


def main() -> int:
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    chapters = notebooks()
    for path in chapters:
        copy = SOURCE / path.relative_to(COURSE / "notebooks")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    (SOURCE / "_static").mkdir()
    (SOURCE / "_static" / "wide.css").write_text(STYLE, encoding="utf-8")
    (SOURCE / "data").mkdir()
    shutil.copy(COURSE / "data" / "gallery.png", SOURCE / "data")
    (SOURCE / "conf.py").write_text(CONFIGURATION, encoding="utf-8")
    (SOURCE / "index.md").write_text(front_page(chapters), encoding="utf-8")
    return sphinx(["-W", "--keep-going", "-q", "-b", "html", str(SOURCE), str(SITE)])


if __name__ == "__main__":
    sys.exit(main())
