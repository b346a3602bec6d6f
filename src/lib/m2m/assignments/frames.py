"""How grader and sandbox talk: frames of four bytes of length and JSON, on pipes."""

from __future__ import annotations

import json
import os
import struct

LARGEST_FRAME = 50_000_000
PATIENCE = 4  # wall time in units of processor time: the machine may be busy with something else


def read_frame(fd: int) -> dict | None:
    """The next frame, None at the end of the stream.

    Raises:
        ValueError: the length is not one of ours.
    """
    head = read_exactly(fd, 4)
    if head is None:
        return None
    (length,) = struct.unpack("!I", head)
    if length > LARGEST_FRAME:
        raise ValueError(f"frame: got {length} bytes, expected at most {LARGEST_FRAME}")
    body = read_exactly(fd, length)
    return None if body is None else json.loads(body)


def read_exactly(fd: int, length: int) -> bytes | None:
    """`length` bytes from a pipe, or None if it ends before."""
    parts = bytearray()
    while len(parts) < length:
        piece = os.read(fd, length - len(parts))
        if not piece:
            return None
        parts += piece
    return bytes(parts)


def write_frame(fd: int, content: dict) -> None:
    """Send a message: four bytes of length, most significant first, then its JSON."""
    body = json.dumps(content).encode()
    body = struct.pack("!I", len(body)) + body
    while body:
        body = body[os.write(fd, body) :]
