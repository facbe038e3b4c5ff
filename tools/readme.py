"""Write the results table of README from data/results.json. `--check` only says whether they agree."""

import re
import sys
from pathlib import Path

COURSE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(COURSE))

from utils import results  # noqa: E402

TABLE = re.compile(r"(<!-- results -->\n).*?(<!-- /results -->)", re.DOTALL)


def updated(text: str) -> str:
    """README's text with the table that data/results.json gives."""
    everything = results.load()
    environment = everything.pop("environment")
    lines = []
    for notebook, figures in sorted(everything.items()):
        lines += [f"**[{notebook}](notebooks/{notebook}.ipynb)**", "", *results.rows(figures), ""]
    lines.append(
        f"Measured with Python {environment['python']}, TensorFlow {environment['tensorflow']}, Keras "
        f"{environment['keras']} on {environment['cores']} CPU cores and {environment['gpus']} GPUs."
    )
    return TABLE.sub(lambda match: match[1] + "\n" + "\n".join(lines) + "\n\n" + match[2], text)


def main() -> int:
    path = COURSE / "README.md"
    text = path.read_text(encoding="utf-8")
    if sys.argv[1:] == ["--check"]:
        return int(text != updated(text))
    path.write_text(updated(text), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
