"""Downloads: checked against their checksum, continued where they broke off, kept in one cache folder.

A file under its final name is always whole. A broken download leaves a `.part` beside it, which the next call continues.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pooch
import requests

from m2m import runtime


def cache_folder() -> Path:
    """Where downloads go: the variable M2M_CACHE, else the system's cache folder for m2m."""
    return Path(os.environ.get("M2M_CACHE") or pooch.os_cache("m2m")).expanduser()


def fetch(url: str, sha256: str, name: str | None = None, cache: str | Path | None = None, progress: bool = True) -> Path:
    """The path of a file whose content has this checksum, downloaded if it is not in the cache yet.

    Args:
        url: http or https address.
        sha256: the checksum of the whole file, 64 hexadecimal digits.
        name: its name in the cache; by default the last part of the address.
        cache: a folder other than `cache_folder()`.

    Raises:
        ValueError: an argument that does not fit, or a download with another checksum, which is deleted.
        ConnectionError: no connection, an error of the server, or a download that broke off and can be continued.
        PermissionError: the cache folder can not be written.
    """
    name = name or Path(unquote(urlsplit(url).path)).name
    _check(url, sha256, name)
    folder = Path(cache or cache_folder())
    path, part = folder / name, folder / f"{name}.{sha256[:8]}.part"
    if _holds(path, sha256):
        return path
    _make_writable(folder)

    def download(url: str, output: str | Path, _) -> None:
        if not _holds(part, sha256):
            try:
                _continue(url, part, progress)
            except requests.RequestException as error:
                raise ConnectionError(_by_hand(url, path, part, sha256, error)) from error
        os.replace(part, output)

    with _one_at_a_time(folder):
        pooch.get_logger().setLevel("WARNING")
        return Path(pooch.retrieve(url, sha256.lower(), fname=name, path=folder, downloader=download))


def _continue(url: str, part: Path, progress: bool) -> None:
    """Download what is missing of `part`, from its beginning where the server can not continue."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    with requests.get(url, headers=headers, stream=True, timeout=30) as answer:
        if answer.status_code == 416 and have:  # there is nothing after `have`: not a part of this file
            part.unlink()
            return _continue(url, part, progress)
        answer.raise_for_status()
        have = have if answer.status_code == 206 else 0
        total = have + int(answer.headers["Content-Length"]) if "Content-Length" in answer.headers else None
        bar = runtime.progress_bar(total, part.name.rsplit(".", 2)[0], progress, have, unit="B", unit_scale=True)
        with part.open("ab" if have else "wb") as file, bar:
            for chunk in answer.iter_content(1 << 16):
                bar.update(file.write(chunk))
    if total is not None and part.stat().st_size < total:
        raise requests.ConnectionError(f"it ended after {part.stat().st_size} of {total} bytes")


def _by_hand(url: str, path: Path, part: Path, sha256: str, error: Exception) -> str:
    there = f" The file of this name that is there has sha256 {pooch.file_hash(str(path))}." if path.exists() else ""
    have = part.stat().st_size if part.exists() else 0
    kept = f" {have} bytes are kept, and the next call goes on from there." if have else ""
    return f"{url}: download failed ({error}).{kept} Or put the file by hand at {path} (sha256 {sha256}).{there}"


def _holds(path: Path, sha256: str) -> bool:
    return path.is_file() and pooch.file_hash(str(path)) == sha256.lower()


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        advice = "set the variable M2M_CACHE to another folder"
        raise PermissionError(f"cache folder {folder}: can not be written ({error.strerror}); {advice}") from error


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two calls never write one `.part`: the second waits, and finds the file. Without locks the checksum still guards."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:  # some network file systems
            pass
        yield
    finally:
        os.close(handle)


def _check(url: str, sha256: str, name: str) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"url: got {url!r}, expected an address that starts with http:// or https://")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"sha256: got {sha256!r}, expected 64 hexadecimal digits")
    if not name or Path(name).name != name or name in (".", ".."):
        raise ValueError(f"name: got {name!r}, expected the name of a file, without folders")
