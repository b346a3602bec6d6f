"""A container of docker or podman around the fork server, made of the machine's own folders: nothing is downloaded.

The image is empty. What Python needs is mounted read-only from the machine that grades, so a submission runs on the
same versions in every kind of sandbox.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

IMAGE = "m2m-empty"
SYSTEM = ("/usr", "/bin", "/lib", "/lib64")
LIMITS = (
    "--rm", "--interactive", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
    "--pids-limit=64", "--memory=4g", "--user=65534:65534", "--workdir=/sandbox", "--tmpfs=/sandbox:rw,size=64m,mode=1777",
    "--tmpfs=/tmp:rw,size=64m,mode=1777",
)  # fmt: skip


def engine() -> str | None:
    """docker or podman, if one is installed and answers."""
    for name in ("podman", "docker"):
        path = shutil.which(name)
        if path and subprocess.run([path, "info"], capture_output=True, timeout=60).returncode == 0:
            return path
    return None


def command(python: list[str], variables: dict[str, str], library: str) -> list[str]:
    """The command in a fresh container, with an empty folder /sandbox and without network or rights.

    Raises:
        OSError: there is no engine, or it cannot make the image.
    """
    path = engine()
    if path is None:
        raise OSError("no docker or podman that answers")
    if subprocess.run([path, "image", "inspect", IMAGE], capture_output=True).returncode:
        empty_archive = bytes(10240)
        made = subprocess.run([path, "import", "-", IMAGE], input=empty_archive, capture_output=True)
        if made.returncode:
            raise OSError(made.stderr.decode("utf-8", "replace"))
    folders = sorted(filter(os.path.exists, {sys.prefix, sys.base_prefix, library, *SYSTEM}))
    options = [f"--env={key}={value}" for key, value in variables.items()]
    options += [f"--volume={folder}:{folder}:ro" for folder in folders]
    return [path, "run", *LIMITS, *options, IMAGE, *python]
