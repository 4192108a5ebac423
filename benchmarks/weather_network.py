"""A network on one machine: relays that hold, stall and reset connections, and hosts for processes (Linux, root)."""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import threading
import time
from contextlib import suppress

PIECE = 65536


class Relay:
    """Passes TCP connections on to a port of this machine, unless told otherwise.

    Attributes:
        port: on which it listens.
        delay: seconds for which each piece of data is held.
        stalled: until when nothing passes (monotonic).
    """

    def __init__(self, target: int) -> None:
        self.delay, self.stalled, self._target = 0.0, 0.0, target
        self._listening = socket.create_server(("", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset all connections."""
        for line in list(self._open):
            with suppress(OSError):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                line.shutdown(socket.SHUT_RD)  # wakes the thread that reads
                line.close()

    def _accept(self) -> None:
        while True:
            near, _ = self._listening.accept()
            try:
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                near.close()
                continue
            self._open |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(PIECE):
                time.sleep(max(self.delay, self.stalled - time.monotonic(), 0))
                sink.sendall(piece)
        for line in (source, sink):
            self._open.discard(line)
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)


class Host:
    """A network namespace with one line to this machine; removed by `close`.

    Args:
        number: 0 to 255; with the process id it makes the name.

    Attributes:
        here: this machine's address on the line.
    """

    def __init__(self, number: int) -> None:
        self._name, self._near = f"fedmpt-{os.getpid()}-{number}", f"fm{os.getpid() % 10**7}-{number}"
        self.here, there = f"10.213.{number}.1", f"10.213.{number}.2"
        _ip("netns", "add", self._name)
        _ip("link", "add", self._near, "type", "veth", "peer", "name", "eth0", "netns", self._name)
        _ip("address", "add", f"{self.here}/24", "dev", self._near)
        _ip("link", "set", self._near, "up")
        self._inside("ip", "address", "add", f"{there}/24", "dev", "eth0")
        for device in ("eth0", "lo"):
            self._inside("ip", "link", "set", device, "up")

    @property
    def prefix(self) -> list[str]:
        """The words before a command that is to run there."""
        return ["ip", "netns", "exec", self._name]

    def shape(self, *discipline: str) -> bool:
        """Set a queueing discipline in both directions, such as "tbf", "rate" …; False if there is none such."""
        words = ("tc", "qdisc", "replace", "dev")
        near = subprocess.run([*words, self._near, "root", *discipline], capture_output=True, check=False)
        far = subprocess.run([*self.prefix, *words, "eth0", "root", *discipline], capture_output=True, check=False)
        return near.returncode == far.returncode == 0

    def close(self) -> None:
        """Remove it; processes in it must have ended."""
        _ip("link", "delete", self._near)  # with the namespace it would go some time later
        _ip("netns", "delete", self._name)

    def _inside(self, *words: str) -> None:
        subprocess.run([*self.prefix, *words], check=True)


def hosts_possible() -> bool:
    """Whether this user can make hosts here."""
    if shutil.which("ip") is None or shutil.which("tc") is None:
        return False
    try:
        Host(255).close()
    except subprocess.CalledProcessError:
        return False
    return True


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
