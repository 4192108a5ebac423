"""The line between the short-lived client app, which Flower starts for each message, and the site's process.

A Unix socket in a folder of the site's user alone. Each side writes one envelope: the lengths of head and state as two
32-bit numbers, then both.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from trainer.errors import TrainerError
from trainer.flower.envelope import Envelope, read_head, write_head

LENGTHS = struct.Struct("!II")
LARGEST_HEAD = 2**20
"""Bytes."""
CHUNK = 2**20
GRACE = 5.0
"""Seconds; torch does not like it if the process ends in the middle of its work."""


def ask(path: str, envelope: Envelope, seconds: float) -> Envelope:
    """Send a request and wait for the answer.

    Raises:
        OSError: nobody is there, or the time is over.
        TrainerError: what came back is no envelope.
    """
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(seconds)
        line.connect(path)
        write(line, envelope)
        return read(line)


class SocketServer:
    """Answers requests one after another, in a thread.

    Args:
        path: of the socket.
        answer: makes the answer.
    """

    def __init__(self, path: Path, answer: Callable[[Envelope], Envelope]) -> None:
        self._answer, self._listening = answer, socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; a request that is being answered has some seconds to end."""
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(GRACE)

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            with line, suppress(OSError, TrainerError):  # a client app that died; it is asked again
                write(line, self._answer(read(line)))


def write(line: socket.socket, envelope: Envelope) -> None:
    """Write an envelope."""
    head = write_head(envelope.head)
    line.sendall(LENGTHS.pack(len(head), len(envelope.blob)) + head + envelope.blob)


def read(line: socket.socket) -> Envelope:
    """Read an envelope.

    Raises:
        OSError: the other side went away.
        TrainerError: no envelope.
    """
    head, blob = LENGTHS.unpack(_exactly(line, LENGTHS.size))
    if head > LARGEST_HEAD:
        raise TrainerError(f"a head of {head:,} bytes")
    return Envelope(read_head(_exactly(line, head)), _exactly(line, blob))


def _exactly(line: socket.socket, count: int) -> bytes:
    content = bytearray()
    while len(content) < count:
        part = line.recv(min(CHUNK, count - len(content)))
        if not part:
            raise ConnectionError("the other side went away")
        content += part
    return bytes(content)
