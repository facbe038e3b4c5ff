"""Stamp the public address of the course into all notebooks and README, so that they open in Colab.

    python -m tools.colab owner/name [reference]

The reference (branch, tag or commit) pins what a notebook installs; without it, the default branch. Instead of
owner/name, any address that git understands: then there is no badge, for Colab opens notebooks from GitHub only.
Stamping again, with the same or another address, replaces the earlier stamp.
"""

import re
import subprocess
import sys
from pathlib import Path

from tools import COURSE, notebooks

BADGE = re.compile(r"<!-- colab -->.*?<!-- /colab -->", re.DOTALL)
STAMP = re.compile(r'(SOURCE, HELP = )\\?"[^"]*\\?", \\?"[^"]*\\?"')
HELP = "pip cannot install the course from {}: check address and network, and run this cell again."


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    repository, reference = sys.argv[1], (sys.argv[2:] or [""])[0]
    on_github = re.fullmatch(r"[\w.-]+/[\w.-]+", repository)
    if not on_github and "://" not in repository:
        print(f"{repository!r} is neither owner/name nor an address such as https://host/owner/name", file=sys.stderr)
        return 2
    address = f"https://github.com/{repository}" if on_github else repository
    if re.fullmatch(r"[0-9a-f]{7,39}", reference):  # git fetches a commit only by all of its digits
        command = ["git", "rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}"]
        found = subprocess.run(command, cwd=COURSE, capture_output=True, text=True).stdout
        reference = found.strip() or reference
    for path in [*notebooks(), COURSE / "README.md"]:
        stamp(path, address, reference, repository if on_github else None)
    print(f"Stamped {address}{f' at {reference}' if reference else ''}.")
    return 0


def stamp(path: Path, address: str, reference: str, repository: str | None) -> None:
    """Stamp one file, as text, so that nothing else in it changes."""
    badge = "<!-- colab --><!-- /colab -->"
    if repository:
        chapter = path.relative_to(COURSE) if path.suffix == ".ipynb" else Path("notebooks/00_start_here.ipynb")
        link = f"https://colab.research.google.com/github/{repository}/blob/{reference or 'main'}/{chapter.as_posix()}"
        image = "https://colab.research.google.com/assets/colab-badge.svg"
        badge = f"<!-- colab -->[![Open in Colab]({image})]({link})<!-- /colab -->"
    text = path.read_text(encoding="utf-8")
    text = BADGE.sub(lambda _: badge, text)
    source = f"git+{address}@{reference}".rstrip("@")
    text = STAMP.sub(lambda match: rf"{match[1]}\"{source}\", \"{HELP.format(source)}\"", text)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
