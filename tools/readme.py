"""Write what README and TEACHING show of the notebooks: `python -m tools.readme`.

The figures come from data/results.json, headlines first; the map from slides to sections is that of the appendix; the
minutes of sections are estimated from their length.
"""

import re

import nbformat

from tools import COURSE, chapters
from tools.execute import results as shown
from utils.course import results

WORDS, LINES, PICTURES = 130, 12, 2  # in a minute, spoken to a class
# The strongest figures known to us, most of them read in the tables of later papers.
BEST_PUBLISHED = {
    "01: ae30_sse": "3.00, Hinton and Salakhutdinov 2006",
    "02: oneclass_auroc_mean": "97.8, P-KDGAN; 99.3 with features learned on ImageNet, which is another task",
    "04: error_100_pretrained": "1.06, ladder network",
    "06: vae_nll_dynamic": "76.9 to 78.4, networks of any size (CR-NVAE, NVAE, BIVA)",
}
MAP = re.compile(r"^\| slides \|.*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


def updated(text: str) -> str:
    """The text of README or TEACHING with the figures, the map and the minutes as they are now."""
    for name, content in {"results": figures(), "map": slides(), "minutes": minutes()}.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = marked.sub(lambda match, content=content: f"{match[1]}\n{content}\n\n{match[2]}", text)
    return text


def figures() -> str:
    """One figure of each chapter, and, folded, all of them."""
    everything = results.load()
    environment = everything.pop("environment")
    headlines = {}
    for path in chapters():
        name = shown(nbformat.read(path, as_version=4))["headline"].split()[0]
        headlines[f"{path.stem[:2]}: {name}"] = everything[path.stem][name]
    headers, dashes, *lines = rows(headlines)
    best = [BEST_PUBLISHED.get(name, "") for name in headlines]
    lines = [f"{line} {known} |" for line, known in zip(lines, best, strict=True)]
    lines = [f"{headers} best published |", f"{dashes}---|", *lines]
    lines += ["", "<details>", "<summary>All figures</summary>", ""]
    for name, entries in sorted(everything.items()):
        path = "utils/course/judge.py" if name == "judge" else f"notebooks/{name}.ipynb"
        lines += [f"**[{name}]({path})**", "", *rows(entries), ""]
    lines += [
        "</details>",
        "",
        f"Measured with Python {environment['python']}, TensorFlow {environment['tensorflow']}, Keras "
        f"{environment['keras']} on {environment['cores']} CPU cores and {environment['gpus'] or 'no'} GPUs.",
    ]
    return "\n".join(lines)


def rows(entries: dict[str, dict]) -> list[str]:
    """Figures as lines of a Markdown table."""
    lines = ["| figure | measured | unit | better | reference | source |", "|---|---:|---|---|---:|---|"]
    for name, entry in results.frame(entries).iterrows():
        cells = f"`{name}`", f"**{entry.measured}**", entry.unit, entry.better, entry.reference, entry.source
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def slides() -> str:
    """The table that leads from the lecture's slides to sections, with links as README needs them."""
    table = MAP.search((COURSE / "notebooks" / "appendix_slides.md").read_text(encoding="utf-8"))
    return table[0].strip().replace("](", "](notebooks/")


def minutes() -> str:
    """For each chapter, how long it takes to teach, as a whole and section by section."""
    lines = ["| chapter | minutes | section by section |", "|---|---:|---|"]
    for path in chapters():
        notebook = nbformat.read(path, as_version=4)
        title = re.match("# (.*)", notebook.cells[0].source)[1]
        sections = section_minutes(notebook)
        main = sum(time for name, time in sections.items() if "optional" not in name.lower())
        listed = "; ".join(f"{name}: {time}" for name, time in sections.items())
        lines.append(f"| [{title}](notebooks/{path.name}) | {main} | {listed} |")
    return "\n".join(lines)


def section_minutes(notebook) -> dict[str, int]:
    """The sections of a chapter before its exercises, with the minutes that text, code and pictures take in a class."""
    found, name = {}, ""
    for cell in notebook.cells[1:]:
        if cell.cell_type == "code":
            pictures = sum("image/png" in output.get("data", {}) for output in cell.outputs)
            found[name] = found.get(name, 0) + len(cell.source.splitlines()) / LINES + pictures / PICTURES
            continue
        before, *parts = re.split(r"^## (.*)$", cell.source, flags=re.MULTILINE)
        for heading, text in [(name, before), *zip(parts[::2], parts[1::2], strict=True)]:
            name = heading
            found[name] = found.get(name, 0) + len(text.split()) / WORDS
    return {name: max(1, round(time)) for name, time in found.items() if name not in ("", "Exercises", "Sources")}


if __name__ == "__main__":
    for path in (COURSE / "README.md", COURSE / "TEACHING.md"):
        path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
