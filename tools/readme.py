"""Write what README shows of the run: `python -m tools.readme`.

The figures come from data/results.json, headlines first; the map from slides to sections is that of the appendix.
"""

import re

import nbformat

from tools import COURSE, chapters
from tools.execute import results as shown
from utils.course import results

MAP = re.compile(r"^\| slides \|.*?(?=\n\n|\Z)", re.DOTALL | re.MULTILINE)


def updated(text: str) -> str:
    """README's text with the figures and the map as they are now."""
    for name, content in {"results": figures(), "map": slides()}.items():
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
    lines = [*rows(headlines), "", "<details>", "<summary>All figures</summary>", ""]
    for name, entries in sorted(everything.items()):
        path = "utils/course/judge.py" if name == "judge" else f"notebooks/{name}.ipynb"
        lines += [f"**[{name}]({path})**", "", *rows(entries), ""]
    lines += [
        "</details>",
        "",
        f"Measured with Python {environment['python']}, TensorFlow {environment['tensorflow']}, Keras "
        f"{environment['keras']} on {environment['cores']} CPU cores and {environment['gpus']} GPUs.",
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


if __name__ == "__main__":
    path = COURSE / "README.md"
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
