"""A federation on this machine in bad weather: what is killed or held up, and whether the parameters are the same.

    OMP_NUM_THREADS=1 python benchmarks/federation_weather.py FOLDER [--rounds 4] [--weather supernode site …]

Server and three sites run as by `fedmpt federation`, a few images each, with a relay between each site and the server.
For each kind of weather the run is made anew; reported are its duration, bytes and seconds of a round, and whether all
checkpoints equal those of `fedmpt train` to the bit. Needs the extra `flower`, and Linux.

    none        nothing
    delay       the relays hold each piece of data for 0.2 s
    reset       all connections are cut every 3 s
    stall       no data passes for 90 s in the middle of the run
    supernode   a SuperNode is killed in each round, another site's each time
    site        the process of a site is killed in the first round, and started again
    late        a site joins after the others wait for it
    server      the server app is killed after the first round
    superlink   the SuperLink is killed after the first round
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trainer.flower.children import environment, free_port

SITES = 3
SETTINGS = {
    "data.sites": SITES,
    "data.images_per_site": 12,
    "data.validation_images": 20,
    "data.test_images": 20,
    "evaluation.bootstrap": 0,
    "evaluation.yardsticks": "false",
    "method.name": "coop",
    "federation.min_replies": 1,
}
LIMIT = 3600.0
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
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Reset all connections."""
        for line in list(self._open):
            with suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)

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


class Federation:
    """A federation's folders and processes."""

    def __init__(self, folder: Path, rounds: int) -> None:
        self.folder, self.rounds_in_all, self.port = folder, rounds, free_port()
        words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
        study = ("federation", "init", str(folder), "--sites", str(SITES), "--port", str(self.port))
        run_command(*study, "--rounds", str(rounds), *words, cwd=folder.parent)
        self.relays = [Relay(self.port) for _ in range(SITES)]
        self.sites: list[subprocess.Popen[bytes] | None] = [None] * SITES
        for client, relay in enumerate(self.relays):
            file = self.site_file(client)
            file.write_text(file.read_text().replace(f":{self.port}", f":{relay.port}"))

    def site_file(self, client: int) -> Path:
        """A site's site.toml."""
        return self.folder / "sites" / f"client-{client}" / "site.toml"

    def join(self, client: int) -> None:
        """Start a site."""
        self.sites[client] = start("join", self.site_file(client))

    def rounds(self) -> int:
        """Rounds that are done."""
        path = self.folder / "server" / "run" / "metrics.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def kill(self, program: str, mark: str) -> bool:
        """Kill the process of this program with these words in its command line."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError, UnicodeDecodeError):
                words = path.read_bytes().decode()
                if f"/{program}\0" in words and mark in words:
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    return True
        return False


Weather = Callable[[Federation], object]


def delayed(federation: Federation) -> None:
    """Hold all data."""
    for relay in federation.relays:
        relay.delay = 0.2


def cut_often(federation: Federation) -> None:
    """Cut all connections every 3 s."""

    def cut() -> None:
        while True:
            time.sleep(3)
            for relay in federation.relays:
                relay.cut()

    threading.Thread(target=cut, daemon=True).start()


def after(rounds: int, event: Weather) -> Weather:
    """An event after some rounds, in a thread."""

    def wait(federation: Federation) -> None:
        while federation.rounds() < rounds:
            time.sleep(0.2)
        event(federation)

    return lambda federation: threading.Thread(target=wait, args=(federation,), daemon=True).start()


def stalled(federation: Federation) -> None:
    """Nothing passes for 90 s."""
    for relay in federation.relays:
        relay.stalled = time.monotonic() + 90


def kill_supernodes(federation: Federation) -> None:
    """One in each round, in an order that is drawn."""
    order = random.Random(0)
    for done in range(federation.rounds_in_all - 1):
        client = order.randrange(SITES)
        after(done, lambda f, c=client: f.kill("flower-supernode", str(f.site_file(c).parent)))(federation)  # type: ignore[misc]


def restart_site(federation: Federation) -> None:
    """Kill a site's process, and start it again after 20 s."""
    if (process := federation.sites[0]) is not None:
        process.kill()
    time.sleep(20)
    federation.join(0)


def join_late(federation: Federation) -> None:
    """Site 2 is started 60 s after the others."""

    def wait() -> None:
        time.sleep(60)
        federation.join(2)

    threading.Thread(target=wait, daemon=True).start()


WEATHER: dict[str, Weather] = {
    "none": lambda federation: None,
    "delay": delayed,
    "reset": cut_often,
    "stall": after(1, stalled),
    "supernode": kill_supernodes,
    "site": after(1, restart_site),
    "late": join_late,
    "server": after(1, lambda f: f.kill("flwr-serverapp", f"127.0.0.1:{f.port + 1}")),
    "superlink": after(1, lambda f: f.kill("flower-superlink", str(f.folder))),
}


def run_command(*words: str, cwd: Path) -> None:
    """Run `fedmpt …`."""
    subprocess.run([sys.executable, "-m", "fedmpt", *words], cwd=cwd, env=environment(), check=True, stdout=2)


def start(command: str, file: Path) -> subprocess.Popen[bytes]:
    """Start a command of `fedmpt federation`."""
    with (file.parent / f"{command}.log").open("ab") as log:
        words = [sys.executable, "-m", "fedmpt", "federation", command, str(file)]
        return subprocess.Popen(words, env=environment(), stdout=log, stderr=log)


@contextmanager
def ended(processes: list[subprocess.Popen[bytes] | None]) -> Iterator[None]:
    """End these processes at the end."""
    try:
        yield
    finally:
        for process in filter(None, processes):
            process.terminate()
        for process in filter(None, processes):
            process.wait()


def measure(folder: Path, name: str, rounds: int, expected: Path) -> dict[str, Any]:
    """Run a federation in some weather."""
    federation = Federation(folder, rounds)
    with ended(federation.sites):
        for client in range(SITES - (name == "late")):
            federation.join(client)
        WEATHER[name](federation)
        began = time.monotonic()
        serving = start("serve", folder / "server" / "server.toml")
        with ended([serving]):
            code = serving.wait(LIMIT)
        seconds = time.monotonic() - began
    run = folder / "server" / "run"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    pairs = [(path, expected / path.name) for path in sorted((run / "checkpoints").iterdir())]
    return {
        "weather": name,
        "exit code": code,
        "seconds": round(seconds),
        "rounds": len(lines),
        "seconds of each round": [round(line["round_seconds"]) for line in lines],
        "bytes sent": [line["bytes_sent"] for line in lines],
        "same parameters": len(pairs) == rounds + 1 and all(a.read_bytes() == b.read_bytes() for a, b in pairs),
    }


def main() -> None:
    """Print a line of JSON for each kind of weather."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--weather", nargs="+", choices=WEATHER, default=list(WEATHER))
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    cache = ("--cache-dir", str(folder / "cache"))
    run_command("train", *words, "--rounds", str(options.rounds), "--out", "local", *cache, cwd=folder)
    for name in options.weather:
        print(json.dumps(measure(folder / name, name, options.rounds, folder / "local" / "checkpoints")), flush=True)


if __name__ == "__main__":
    main()
