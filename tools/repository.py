"""Write the book's GitHub repository (and version) into every place that names them.

    python tools/repository.py owner/name [--version 0.2.0]

`PLACES` is the one list of these places: this command writes them, and a test holds them to agree.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A dot is not allowed in a GitHub account name, so nobody can register the placeholder and serve code to readers.
PLACEHOLDER = "your.account/moons-to-molecules"
REGISTRABLE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,37}[A-Za-z0-9])?/[A-Za-z0-9._-]{1,100}")
VERSION = re.compile(r"\d+\.\d+\.\d+(?:[a-z]+\d+)?")

COLAB = r"colab\.research\.google\.com/github/(?P<name>[^/\s]+/[^/\s]+)/blob/v(?P<version>[^/\s]+)/"
PLACES = [  # (files, pattern, whether each of the files must have it)
    ("pyproject.toml", r'(?m)^Repository = "https://github\.com/(?P<name>[^"]+)"', True),
    ("pyproject.toml", r'(?m)^version = "(?P<version>[^"]+)"', True),
    ("src/lib/m2m/__init__.py", r'(?m)^__version__ = "(?P<version>[^"]+)"', True),
    ("_config.yml", r'(?m)^  url: "https://github\.com/(?P<name>[^"]+)"', True),
    ("_config.yml", r'(?m)^  branch: "v(?P<version>[^"]+)"', True),
    ("CITATION.cff", r'(?m)^repository-code: "https://github\.com/(?P<name>[^"]+)"', True),
    ("CITATION.cff", r'(?m)^version: "(?P<version>[^"]+)"', True),
    ("README.md", r"git clone https://github\.com/(?P<name>\S+)", True),
    ("README.md", COLAB, False),
    ("CONTRIBUTING.md", r"https://github\.com/(?P<name>\S+)/fork", False),
    ("book/**/*.md", COLAB, False),
    ("book/**/*.ipynb", COLAB, True),
    ("assignments/*/master.ipynb", r'REPOSITORY, VERSION = \\"(?P<name>[^"\\]+)\\", \\"v(?P<version>[^"\\]+)\\"', True),
    ("book/**/*.ipynb", r'REPOSITORY, VERSION = \\"(?P<name>[^"\\]+)\\", \\"v(?P<version>[^"\\]+)\\"', True),
]

SETUP_CELL = '''\
# Setup. On Colab: install this book's library at this book's version (nothing else changes). Elsewhere: nothing to do.
import sys

REPOSITORY, VERSION = "<name>", "v<version>"
if "google.colab" in sys.modules:
    if "." in REPOSITORY.split("/")[0]:
        raise SystemExit("This copy does not know its repository yet. In a clone, run: make repository NAME=owner/name, push, and open the chapter from there.")
    %pip install --quiet --no-deps https://github.com/{REPOSITORY}/archive/{VERSION}.zip

from m2m import runtime

device = runtime.setup(seed=0)'''


def setup_cell(name: str, version: str) -> str:
    """The code cell that every chapter starts with."""
    return SETUP_CELL.replace("<name>", name).replace("<version>", version)


def colab_link(name: str, version: str, path: str) -> str:
    """The address that opens a notebook of the repository in Colab; path is relative to the repository's root."""
    return f"https://colab.research.google.com/github/{name}/blob/v{version}/{path}"


def files(root: Path, pattern: str) -> list[Path]:
    return [path for path in sorted(root.glob(pattern)) if ".ipynb_checkpoints" not in path.parts]


def found(root: Path = ROOT) -> Iterator[tuple[str, str, str | None]]:
    """(file, "name" or "version", value) for every place; value None where a place that must be there is missing."""
    for pattern, expression, required in PLACES:
        for path in files(root, pattern):
            matches = list(re.finditer(expression, path.read_text(encoding="utf-8")))
            if required and not matches:
                yield str(path.relative_to(root)), expression, None
            for match in matches:
                for kind, value in match.groupdict().items():
                    yield str(path.relative_to(root)), kind, value


def identity(root: Path = ROOT) -> tuple[str, str]:
    """The repository's owner/name and the version, as pyproject.toml has them."""
    values = {kind: value for path, kind, value in found(root) if path == "pyproject.toml"}
    return values["name"], values["version"]


def rewrite(name: str, version: str, root: Path = ROOT) -> list[str]:
    """Write name and version into every place; returns the files that changed.

    Raises:
        ValueError: the name cannot be a GitHub repository, or the version is not like 1.2.3.
    """
    if name != PLACEHOLDER and not REGISTRABLE.fullmatch(name):
        raise ValueError(f"name: got {name!r}, expected owner/name of a GitHub repository")
    if not VERSION.fullmatch(version):
        raise ValueError(f"version: got {version!r}, expected one like 0.1.0")
    changed = set()
    for pattern, expression, _ in PLACES:
        for path in files(root, pattern):
            old = path.read_text(encoding="utf-8")
            new = re.sub(expression, lambda match: _replaced(match, {"name": name, "version": version}), old)
            if new != old:
                path.write_text(new, encoding="utf-8")
                changed.add(str(path.relative_to(root)))
    return sorted(changed)


def _replaced(match: re.Match, values: dict[str, str]) -> str:
    """The matched text with its named groups replaced, from the last to the first so that positions stay right."""
    text, start = match.group(), match.start()
    for kind in sorted(match.groupdict(), key=match.start, reverse=True):
        text = text[: match.start(kind) - start] + values[kind] + text[match.end(kind) - start :]
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("name", help="owner/name of the GitHub repository")
    parser.add_argument("--version", default=identity()[1], help="version of the book, its library and its links")
    arguments = parser.parse_args()
    try:
        changed = rewrite(arguments.name, arguments.version)
    except ValueError as error:
        raise SystemExit(str(error)) from None
    print("\n".join(f"wrote {path}" for path in changed) or "nothing to change")
    print(f"Chapters install m2m from the tag v{arguments.version}: commit, then"
          f" git tag v{arguments.version} && git push origin main v{arguments.version}")


if __name__ == "__main__":
    main()
