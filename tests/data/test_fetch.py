"""Downloads from a server on this machine that continues, breaks off, ignores ranges, or sends something else."""

import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy
import pytest

from m2m.data import fetch as module
from m2m.data.fetch import fetch

CONTENT = numpy.random.default_rng(0).bytes(1_000_003)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        how = self.server
        start, asked = 0, self.headers.get("Range")
        how.ranges.append(asked)
        if self.path.startswith("/missing"):
            return self.send_error(404)
        if asked and how.ranged:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(how.content):
                return self.send_error(416)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(how.content) - 1}/{len(how.content)}")
        else:
            self.send_response(200)
        if how.length:
            self.send_header("Content-Length", str(len(how.content) - start))
        self.end_headers()
        stop = how.stops.pop(0) if how.stops else len(how.content)
        self.wfile.write(how.content[start:stop])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.content, server.ranged, server.length, server.stops, server.ranges = CONTENT, True, True, [], []
    server.url = f"http://127.0.0.1:{server.server_port}/files/data%201.bin?download=1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def part(folder):
    return folder / f"data 1.bin.{SHA256[:8]}.part"


def test_a_file_is_downloaded_once(server, tmp_path):
    for _ in range(2):
        path = fetch(server.url, SHA256, cache=tmp_path / "new" / "folder")
        assert path == tmp_path / "new" / "folder" / "data 1.bin" and path.read_bytes() == CONTENT
    assert len(server.ranges) == 1 and names(path.parent) == ["data 1.bin"]
    assert fetch(server.url, SHA256.upper(), name="other.bin", cache=tmp_path).name == "other.bin"


def test_the_cache_is_named_by_a_variable(server, tmp_path, monkeypatch):
    monkeypatch.setenv("M2M_CACHE", str(tmp_path / "mine"))
    assert fetch(server.url, SHA256).parent == tmp_path / "mine"
    monkeypatch.delenv("M2M_CACHE")
    assert module.cache_folder().name == "m2m" and module.cache_folder().is_absolute()


def test_a_download_that_broke_off_is_continued(server, tmp_path):
    server.stops = [400_000, 700_000]
    kept = []
    for _ in range(2):
        with pytest.raises(ConnectionError, match="download failed .*bytes are kept, and the next call goes on"):
            fetch(server.url, SHA256, cache=tmp_path)
        assert names(tmp_path) == [part(tmp_path).name]
        kept.append(part(tmp_path).stat().st_size)
        assert part(tmp_path).read_bytes() == CONTENT[: kept[-1]]
    assert 300_000 < kept[0] <= 400_000 and 600_000 < kept[1] <= 700_000
    assert fetch(server.url, SHA256, cache=tmp_path).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={kept[0]}-", f"bytes={kept[1]}-"]
    assert names(tmp_path) == ["data 1.bin"]


def test_a_server_without_ranges_starts_again(server, tmp_path):
    server.ranged, server.stops = False, [400_000]
    with pytest.raises(ConnectionError):
        fetch(server.url, SHA256, cache=tmp_path)
    assert fetch(server.url, SHA256, cache=tmp_path).read_bytes() == CONTENT


def test_a_break_that_the_server_does_not_announce(server, tmp_path):
    server.length, server.stops = False, [400_000]
    with pytest.raises(ValueError, match=f"expected {SHA256} but got"):
        fetch(server.url, SHA256, cache=tmp_path)
    assert names(tmp_path) == []
    assert fetch(server.url, SHA256, cache=tmp_path).read_bytes() == CONTENT


def test_another_content_is_deleted_and_both_checksums_named(server, tmp_path):
    server.content = b"not what was asked for"
    got = hashlib.sha256(server.content).hexdigest()
    with pytest.raises(ValueError, match=f"expected {SHA256} but got {got}"):
        fetch(server.url, SHA256, cache=tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("before", [CONTENT, CONTENT + b"more", b"x" * 1000], ids=["whole", "too long", "foreign"])
def test_whatever_the_part_holds_the_file_is_right_or_absent(server, tmp_path, before):
    part(tmp_path).write_bytes(before)
    try:
        path = fetch(server.url, SHA256, cache=tmp_path)
    except ValueError:  # a foreign beginning was continued; it is deleted, and the next call starts afresh
        assert names(tmp_path) == [] and before[:1] == b"x"
        path = fetch(server.url, SHA256, cache=tmp_path)
    assert path.read_bytes() == CONTENT and names(tmp_path) == ["data 1.bin"]
    assert server.ranges == ([] if before == CONTENT else [f"bytes={len(before)}-", None])


def test_a_spoiled_file_in_the_cache_is_replaced(server, tmp_path):
    (tmp_path / "data 1.bin").write_bytes(b"spoiled")
    assert fetch(server.url, SHA256, cache=tmp_path).read_bytes() == CONTENT


def test_offline_says_where_to_put_the_file(server, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError) as caught:
        fetch(server.url, SHA256, cache=tmp_path)
    message = str(caught.value)
    assert server.url in message and str(tmp_path / "data 1.bin") in message and SHA256 in message and names(tmp_path) == []

    (tmp_path / "data 1.bin").write_bytes(b"another file")
    with pytest.raises(ConnectionError, match=f"that is there has sha256 {hashlib.sha256(b'another file').hexdigest()}"):
        fetch(server.url, SHA256, cache=tmp_path)
    (tmp_path / "data 1.bin").write_bytes(CONTENT)
    assert fetch(server.url, SHA256, cache=tmp_path).read_bytes() == CONTENT


def test_an_error_of_the_server_is_named(server, tmp_path):
    with pytest.raises(ConnectionError, match="404"):
        fetch(server.url.replace("files", "missing"), SHA256, cache=tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_cache_that_can_not_be_written(server, tmp_path, below):
    (tmp_path / "file").write_text("where the folder should be")
    folder = tmp_path / "file" / below
    with pytest.raises(PermissionError, match=f"cache folder {folder}: can not be written .* M2M_CACHE"):
        fetch(server.url, SHA256, cache=folder)
    assert server.ranges == []


def test_a_file_in_a_cache_that_can_not_be_written_is_still_read(server, tmp_path, monkeypatch):
    (tmp_path / "data 1.bin").write_bytes(CONTENT)
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("wrote to the cache"))
    assert fetch(server.url, SHA256, cache=tmp_path).read_bytes() == CONTENT


def test_calls_at_the_same_time(server, tmp_path):
    code = "import sys; from m2m.data.fetch import fetch; fetch(sys.argv[1], sys.argv[2], cache=sys.argv[3])"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, server.url, SHA256, str(tmp_path)], env=os.environ) for _ in range(3)
    ]
    assert [process.wait(300) for process in processes] == [0, 0, 0]
    assert (tmp_path / "data 1.bin").read_bytes() == CONTENT and names(tmp_path) == ["data 1.bin"]
    assert len(server.ranges) == 1


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(url="ftp://host/file"), "url: got 'ftp://host/file', expected"),
        (dict(url="/home/file"), "url: got '/home/file'"),
        (dict(sha256="abc"), "sha256: got 'abc', expected 64 hexadecimal digits"),
        (dict(url="http://127.0.0.1/"), "name: got ''"),
        (dict(name="../file"), "name: got '../file', expected the name of a file"),
        (dict(name=".."), "name: got '..'"),
    ],
)
def test_bad_arguments(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        fetch(**dict(url="http://127.0.0.1/file", sha256=SHA256, cache=tmp_path) | change)


def test_it_is_silent_in_a_log(server, tmp_path, capfd):
    fetch(server.url, SHA256, cache=tmp_path)
    assert capfd.readouterr() == ("", "")
