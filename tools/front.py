"""The front page of the site: how README begins, five figures beside references, and the chapters as cards."""

import html
import io
import json
import re
from pathlib import Path

import nbformat
from PIL import Image

from tools import COURSE, chapters
from tools.colab import BADGE
from tools.figures import thumbnail

# chapter, figure in data/results.json, what it is
FIGURES = [
    ("01_autoencoder", "ae30_sse", "Reconstruction of a test image from 30 numbers"),
    ("02_autoencoder_applications", "oneclass_auroc_mean", "Anomaly detection, trained on one digit"),
    ("04_stacked_pretraining", "error_100_modern", "Classification with a hundred labels, today's methods"),
    ("06_vae", "vae_nll_dynamic", "Negative log-likelihood of a VAE"),
    ("10_cgan", "classifier_on_generated_accuracy", "Classifier trained on generated digits only"),
]
STYLE = """
.lead { font-size: 1.15rem; font-weight: 400; }
.doors { display: flex; flex-wrap: wrap; gap: 0.75rem; margin: 1.25rem 0; padding: 0; list-style: none; }
.doors a {
  display: inline-block; padding: 0.45rem 1.1rem; border: 2px solid var(--pst-color-primary); border-radius: 0.4rem;
  font-weight: 600; text-decoration: none;
}
.doors li:first-child a { background: var(--pst-color-primary); color: var(--pst-color-on-primary, white); }
.chapter-cards {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: 1.25rem; margin: 1.5rem 0;
}
.chapter-card {
  position: relative; display: flex; flex-direction: column; overflow: hidden; border-radius: 0.5rem;
  border: 1px solid var(--pst-color-border); background: var(--pst-color-surface);
}
.chapter-card:hover, .chapter-card:focus-within { border-color: var(--pst-color-primary); }
.chapter-card img {
  width: 100%; height: 9rem; padding: 0.5rem; object-fit: contain; background: white; border-radius: 0;
}
.chapter-card h3 { margin: 0.75rem 1rem 0; font-size: 1.05rem; }
.chapter-card h3 a { text-decoration: none; }
.chapter-card h3 a::after { content: ""; position: absolute; inset: 0; } /* the whole card is the link */
.chapter-card p { margin: 0.4rem 1rem; font-size: 0.9rem; line-height: 1.45; }
.chapter-card .minutes { margin: auto 1rem 0.75rem; padding-top: 0.4rem; color: var(--pst-color-text-muted); }
"""
CARD = """<div class="chapter-card">
<img src="_static/cards/{name}.png" alt="{alt}">
<h3><a href="{name}.html">{title}</a></h3>
<p>{promise}</p>
<p class="minutes">{minutes} {unit} on two CPU cores</p>
</div>"""


def front_page(links: dict[str, str]) -> str:
    """README up to the end of its first commands, with `links` (text -> target) before the gallery, and what follows.

    ValueError if README or data/results.json lack what the page shows.
    """
    readme = (COURSE / "README.md").read_text(encoding="utf-8")
    parts = re.match(r"(# .*?\n\n)(.*?)\n\n(!\[.*?\n```\n.*?\n```\n)", readme, re.DOTALL)
    if not parts:
        raise ValueError("README does not begin with a title, a paragraph, the gallery and a block of commands.")
    title, lead, gallery = parts.groups()
    doors = "\n".join(f'<li><a href="{target}">{text}</a></li>' for text, target in links.items())
    return "\n".join(
        [
            "---\nhtml_theme.sidebar_secondary.remove: true\n---\n",
            title,
            f"```{{container}} lead\n{BADGE.sub('', lead).strip()}\n```\n",
            f'<ul class="doors">\n{doors}\n</ul>\n',
            gallery,
            "## Five figures\n",
            *table(json.loads((COURSE / "data" / "results.json").read_bytes())),
            "\nEach chapter ends with a table of all its figures.\n",
            "## Chapters\n",
            '<div class="chapter-cards">',
            *map(card, chapters()),
            "</div>\n",
        ]
    )


def table(everything: dict) -> list[str]:
    """The five figures as lines of a Markdown table."""
    lines = ["| what | measured | reference |", "|---|---:|---|"]
    for chapter, name, what in FIGURES:
        entry = everything.get(chapter, {}).get(name, {})
        if not entry.keys() >= {"value", "reference", "source"}:
            raise ValueError(f"data/results.json has no figure {name!r} with a reference in chapter {chapter!r}.")
        measured, reference = (f"{entry[key]:.4g}" for key in ("value", "reference"))
        unit = f"{entry['unit']}; {entry['better']} is better"
        lines.append(f"| [{what}]({chapter}.ipynb)<br>{unit} | **{measured}** | {reference}: {entry['source']} |")
    return lines


def card(path: Path) -> str:
    """One chapter: a picture of it, its title, the first sentence of its promise, and how long it runs."""
    notebook = nbformat.read(path, as_version=4)
    first, time = notebook.cells[0].source, minutes(notebook)
    promise = re.search(r"^> (.*?)\n\n", first, re.MULTILINE | re.DOTALL)[1].replace("\n> ", " ").replace("`", "")
    shown = {
        "name": path.stem,
        "alt": thumbnail(notebook).alt,
        "title": re.match("# (.*)", first)[1],
        "promise": re.split(r"(?<=[.?!])\s", promise)[0],
        "minutes": time,
        "unit": "minute" if time == "1" else "minutes",
    }
    return CARD.format(**{name: html.escape(text) for name, text in shown.items()})


def minutes(notebook) -> str:
    """How long a chapter runs in standard mode, as its first cell says."""
    time = notebook.cells[0].source.split("**Time**")[1].split("**You need")[0]
    return "1.5" if "minute and a half" in time else re.search(r"([\d.]+) minutes? on two CPU cores", time)[1]


def write_thumbnails(folder: Path) -> None:
    """Write the pictures of the cards into this new folder."""
    folder.mkdir()
    for path in chapters():
        picture = Image.open(io.BytesIO(thumbnail(nbformat.read(path, as_version=4)).png)).convert("RGB")
        width = min(picture.width, 2 * picture.height)  # of a long row of digits, those on the right
        picture = picture.crop((picture.width - width, 0, picture.width, picture.height))
        picture.thumbnail((600, 600))
        picture.quantize(64).save(folder / f"{path.stem}.png", optimize=True)
