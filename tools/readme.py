"""Write the results table of README from data/results.json: `python -m tools.readme`."""

import re

from tools import COURSE
from utils import results

TABLE = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def updated(text: str) -> str:
    """README's text with the table that data/results.json gives."""
    everything = results.load()
    environment = everything.pop("environment")
    lines = []
    for name, figures in sorted(everything.items()):
        path = "utils/judge.py" if name == "judge" else f"notebooks/{name}.ipynb"
        lines += [f"**[{name}]({path})**", "", *results.rows(figures), ""]
    lines.append(
        f"Measured with Python {environment['python']}, TensorFlow {environment['tensorflow']}, Keras "
        f"{environment['keras']} on {environment['cores']} CPU cores and {environment['gpus']} GPUs."
    )
    return TABLE.sub(lambda match: match[1] + "\n" + "\n".join(lines) + "\n\n" + match[2], text)


if __name__ == "__main__":
    path = COURSE / "README.md"
    path.write_text(updated(path.read_text(encoding="utf-8")), encoding="utf-8")
