"""Stamp the public address of the course into all notebooks and README, so that they open in Colab.

    python -m tools.colab [owner/name [reference]]

Without a name, the address is that of git's remote `origin`. The reference (branch, tag or commit) pins what a notebook
installs; without it, the default branch. Instead of owner/name, any address that git understands: then there is no
badge, because Colab opens notebooks from GitHub only. Stamping again, with the same or another address, replaces the
earlier stamp.

    python -m tools.colab --keep owner/name branch

is for the workflow of the public host: it stamps, commits and pushes only if some file leads to another repository or
to none. So the badges of a fork open the fork.
"""

import re
import subprocess
import sys
from pathlib import Path

from tools import COURSE, notebooks

BADGE = re.compile(r"<!-- colab -->.*?<!-- /colab -->", re.DOTALL)
STAMP = re.compile(r'(SOURCE, HELP = )\\?"[^"]*\\?", \\?"[^"]*\\?"')
HELP = "pip cannot install the course from {}: check address and network, and run this cell again."
ON_GITHUB = re.compile(r"[\w.-]+/[\w.-]+")


def main() -> int:
    arguments = sys.argv[1:]
    if arguments[:1] == ["--keep"] and len(arguments) == 3:
        return keep(*arguments[1:])
    if len(arguments) > 2:
        print(__doc__, file=sys.stderr)
        return 2
    given, reference = (*arguments, "", "")[:2]
    try:
        repository = given or public(origin())
    except ValueError as error:
        print(f"{error} Name the repository: make colab REPO=owner/name", file=sys.stderr)
        return 2
    if not ON_GITHUB.fullmatch(repository) and "://" not in repository:
        print(f"{repository!r} is neither owner/name nor an address such as https://host/owner/name", file=sys.stderr)
        return 2
    if re.fullmatch(r"[0-9a-f]{7,39}", reference):  # git fetches a commit only by all of its digits
        reference = git("rev-parse", "--verify", "--quiet", f"{reference}^{{commit}}") or reference
    default = git("symbolic-ref", "--quiet", "refs/remotes/origin/HEAD").rpartition("refs/remotes/origin/")[2] or "main"
    address = stamp_all(repository, reference, default)
    print(f"Stamped {address}{f' at {reference}' if reference else ''}.")
    return 0


def git(*arguments: str) -> str:
    """What git prints, or an empty string if it fails."""
    ran = subprocess.run(["git", *arguments], cwd=COURSE, capture_output=True, text=True)
    return "" if ran.returncode else ran.stdout.strip()


def origin() -> str:
    """The address of git's remote `origin`. ValueError if there is none."""
    if not (address := git("remote", "get-url", "origin")):
        raise ValueError("git knows no remote 'origin' here.")
    return address


def public(address: str) -> str:
    """The address under which others reach a remote: owner/name on GitHub, else https://host/path.

    User names, passwords and tokens are left out. ValueError if the remote is on this machine.
    """
    forms = (
        r"https?://(?:[^@/]+@)?([^/]+)/+(.+)",
        r"(?:ssh|git)://(?:[^@/]+@)?([^/:]+)(?::\d+)?/+(.+)",
        r"[^@/:]+@([^/:]+):/*(.+)",
    )
    for form in forms:
        if found := re.fullmatch(form, address):
            host, path = found[1], re.sub(r"(\.git)?/*$", "", found[2])
            return path if host.lower() == "github.com" and ON_GITHUB.fullmatch(path) else f"https://{host}/{path}"
    raise ValueError("The remote 'origin' is not an address that others can reach.")


def stamp_all(repository: str, reference: str, default: str) -> str:
    """Stamp all notebooks and README, and return the address; `default` is the branch of links without a reference."""
    on_github = ON_GITHUB.fullmatch(repository)
    address = f"https://github.com/{repository}" if on_github else repository
    for path in stamped_files():
        stamp(path, address, reference, repository if on_github else None, default)
    return address


def stamped_files() -> list[Path]:
    return [*notebooks(), COURSE / "README.md"]


def stamp(path: Path, address: str, reference: str, repository: str | None, default: str = "main") -> None:
    """Stamp one file, as text, so that nothing else in it changes."""
    badge = "<!-- colab --><!-- /colab -->"
    if repository:
        chapter = path.relative_to(COURSE) if path.suffix == ".ipynb" else Path("notebooks/00_start_here.ipynb")
        link = f"https://colab.research.google.com/github/{repository}/blob/{reference or default}/{chapter.as_posix()}"
        image = "https://colab.research.google.com/assets/colab-badge.svg"
        badge = f"<!-- colab -->[![Open in Colab]({image})]({link})<!-- /colab -->"
    text = path.read_text(encoding="utf-8")
    text = BADGE.sub(lambda _: badge, text)
    source = f"git+{address}@{reference}".rstrip("@")
    text = STAMP.sub(lambda match: rf"{match[1]}\"{source}\", \"{HELP.format(source)}\"", text)
    path.write_text(text, encoding="utf-8")


def stamped() -> tuple[str, str]:
    """The address that chapter 00 is stamped with, and the branch, tag or commit of its badge; or empty texts."""
    text = notebooks()[0].read_text(encoding="utf-8")
    address = re.search(r'SOURCE, HELP = \\"git\+(https?://[^"@\\]+)', text)
    badge = re.search(r"colab\.research\.google\.com/github/[\w.-]+/[\w.-]+/blob/(.+?)/notebooks/", text)
    return address[1] if address else "", badge[1] if badge else ""


def leads_to(path: Path, repository: str) -> bool:
    """Whether the badge of a file, and what a notebook installs, are of this repository on GitHub, at any reference."""
    text, name = path.read_text(encoding="utf-8"), re.escape(repository)
    badge = re.search(rf"colab\.research\.google\.com/github/{name}/blob/", text)
    source = re.search(rf'SOURCE, HELP = \\"git\+https://github\.com/{name}[@\\]', text)
    return bool(badge and (source or path.suffix != ".ipynb"))


def keep(repository: str, branch: str) -> int:
    """Stamp this repository, commit and push, unless every file leads to it already."""
    if all(leads_to(path, repository) for path in stamped_files()):
        print(f"All notebooks lead to {repository} already.")
        return 0
    stamp_all(repository, "", branch)
    author = ["-c", "user.name=github-actions[bot]", "-c", "user.email=github-actions[bot]@users.noreply.github.com"]
    message = f"Notebooks and README lead to {repository}, where Colab opens and installs them"
    for command in ([*author, "commit", "--all", "--quiet", "-m", message], ["push", "origin", f"HEAD:{branch}"]):
        subprocess.run(["git", *command], cwd=COURSE, check=True)
    print(f"Stamped {repository}, and pushed to {branch}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
