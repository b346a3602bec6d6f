"""Execute every notebook on exactly Colab's package versions, with m2m installed as the setup cell installs it.

    python tools/colab.py

The environment is .venv-colab (Python 3.13, 8 GB) and is reused. The notebooks run in an empty folder, so that what is
tested is the installed library and not the checkout.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PINS = ROOT / "tests" / "colab-requirements.txt"
VENV = ROOT / ".venv-colab"
PYTHON = VENV / "bin" / "python"
RUNNER = ["nbval==0.11.0", "pytest==8.4.2", "pytest-xdist==3.8.0"]  # not Colab's: they run the notebooks


def find_python() -> str:
    """A Python 3.13, from the path or from pyenv's versions.

    Raises:
        SystemExit: there is none.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which("python3.13"), *sorted(pyenv.glob("3.13*/bin/python3.13"), reverse=True)]
    for candidate in filter(None, candidates):
        # pyenv puts a python3.13 on the path that only says that 3.13 is not the chosen version
        if subprocess.run([candidate, "-c", ""], capture_output=True).returncode == 0:
            return str(candidate)
    raise SystemExit("Colab has Python 3.13, and no python3.13 is on the path or in pyenv's versions."
                     " Install one (for example: pyenv install 3.13) and run make test-colab again.")


def run(*command: object, **options: object) -> str:
    """The output of a command that must succeed."""
    result = subprocess.run([str(part) for part in command], text=True, capture_output=True, **options)
    if result.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{result.stdout}{result.stderr}")
    return result.stdout


def make_environment() -> None:
    """Colab's versions and the test runner in one resolution, so that the runner cannot move a pin."""
    stamp = VENV / "stamp"
    wanted = PINS.read_text(encoding="utf-8") + "\n".join(RUNNER)
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print("making .venv-colab", flush=True)
    run(find_python(), "-m", "venv", "--clear", VENV)
    run(PYTHON, "-m", "pip", "install", "--quiet", "uv")
    run(VENV / "bin" / "uv", "pip", "install", "--python", PYTHON, "-r", PINS, *RUNNER)
    stamp.write_text(wanted, encoding="utf-8")


def frozen() -> set[str]:
    return set(run(PYTHON, "-m", "pip", "freeze", "--all").splitlines())


def pins() -> set[str]:
    lines = PINS.read_text(encoding="utf-8").splitlines()
    return {line for line in lines if line and not line.startswith("#")}


def missing_pins(installed: set[str], wanted: set[str]) -> set[str]:
    """Pins that are not installed at their version; names compare as in the package index, local parts (+cpu) do not count."""
    return {pin for pin in wanted if _plain(pin) not in {_plain(line) for line in installed}}


def _plain(line: str) -> str:
    name, _, version = line.partition("==")
    return f"{re.sub(r'[-_.]+', '-', name).lower()}=={version.partition('+')[0]}"


def archive(folder: Path) -> Path:
    """A zip of the working tree, with the top folder that GitHub's archives have."""
    path = folder / "moons-to-molecules.zip"
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", cwd=ROOT).splitlines()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name in names:
            if (ROOT / name).is_file():
                file.write(ROOT / name, f"moons-to-molecules-archive/{name}")
    return path


def install_book(folder: Path) -> None:
    """Install m2m as the setup cell does, and show that nothing else changed.

    Raises:
        SystemExit: a package other than m2m's own was added, removed or moved.
    """
    run(PYTHON, "-m", "pip", "uninstall", "--quiet", "--yes", "moons-to-molecules")
    before = frozen()
    if wrong := missing_pins(before, pins()):
        raise SystemExit(f"not at Colab's version: {', '.join(sorted(wrong))}")
    run(PYTHON, "-m", "pip", "install", "--quiet", "--no-deps", archive(folder))
    changed = before ^ frozen()
    if len(changed) != 1 or not next(iter(changed)).startswith("moons-to-molecules"):
        raise SystemExit(f"installing m2m changed: {', '.join(sorted(changed)) or 'nothing at all'}")
    print(f"{len(before)} packages, the same before and after installing m2m", flush=True)


def execute_notebooks(folder: Path) -> int:
    """The exit status of nbval over all notebooks, copied into the empty folder.

    The results of long runs lie beside them: in Colab the library fetches those files from the published version.
    """
    for name in ("book", "results"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=1200", "-n", "2", "--dist", "loadscope", "-q"]
    return subprocess.run([PYTHON, "-m", "pytest", *options, "book"], cwd=folder, env=environment).returncode


def main() -> int:
    make_environment()
    with tempfile.TemporaryDirectory() as name:
        install_book(Path(name))
        return execute_notebooks(Path(name))


if __name__ == "__main__":
    sys.exit(main())
