"""A federation on this machine in bad weather: what is killed or held up, and whether the parameters are the same.

    OMP_NUM_THREADS=1 python benchmarks/federation_weather.py FOLDER [--rounds 4] [--weather supernode site …]
    …  --weather many --set method.name=fedpgp federation.memory=optimiser      # sites that keep something

Server and three sites run as by `fedmpt federation`, a few images each, with a relay between each site and the server.
For root each site has a host of its own (a network namespace), otherwise all are on this one. For each kind of weather
the run is made anew; reported are its duration, bytes and seconds of a round, and whether all checkpoints, and what the
sites keep between rounds, equal those of `fedmpt train` to the bit. Needs the extra `flower`, and Linux.

    none        nothing
    delay       the relays hold each piece of data for 0.2 s
    reset       all connections are cut every 3 s
    stall       no data passes for 90 s in the middle of the run
    supernode   a SuperNode is killed in each round, another site's each time
    site        the process of a site is killed in the first round, and started again
    late        a site joins after the others wait for it
    server      the server app is killed after the first round
    superlink   the SuperLink is killed after the first round
    serve       the whole of `fedmpt federation serve` is killed after the first round, and started again
    many        each site is killed in two rounds that are drawn (once its SuperNode, once its process), serve in one
    slow        1 Mbit/s in both directions, if the sites have hosts of their own
    loss        1 % of the packets are lost and each is 50 ms on its way, if the kernel has netem
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from weather_network import Host, Relay, hosts_possible

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


class Federation:
    """A federation's folders and processes."""

    def __init__(self, folder: Path, rounds: int, hosts: Sequence[Host]) -> None:
        self.hosts, self.folder, self.rounds_in_all, self.port = hosts, folder, rounds, free_port()
        words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
        names = [host.here for host in self.hosts] or ["127.0.0.1"]
        study = ("federation", "init", str(folder), "--sites", str(SITES), "--port", str(self.port))
        named = [word for name in names for word in ("--host", name)]
        run_command(*study, "--rounds", str(rounds), *named, *words, cwd=folder.parent)
        self.relays = [Relay(self.port) for _ in range(SITES)]
        self.sites: list[subprocess.Popen[bytes] | None] = [None] * SITES
        self.serving: subprocess.Popen[bytes] | None = None
        self.possible, self.restarts = True, 0
        for client, relay in enumerate(self.relays):
            file, own = self.site_file(client), names[client % len(names)]
            file.write_text(file.read_text().replace(f"{names[0]}:{self.port}", f"{own}:{relay.port}"))

    def site_file(self, client: int) -> Path:
        """A site's site.toml."""
        return self.folder / "sites" / f"client-{client}" / "site.toml"

    def join(self, client: int) -> None:
        """Start a site."""
        self.sites[client] = start("join", self.site_file(client), self.hosts[client].prefix if self.hosts else [])

    def serve(self) -> None:
        """Start the server."""
        self.serving = start("serve", self.folder / "server" / "server.toml")

    def wait(self) -> int:
        """Until the server ends, and is not started again; its exit code."""
        while True:
            before = self.restarts
            code = self.serving.wait(LIMIT) if self.serving else 1
            time.sleep(1)
            if self.restarts == before:
                return code
            while self.serving is None or self.serving.poll() is not None:
                time.sleep(0.2)

    def shape(self, *discipline: str) -> None:
        """Set a queueing discipline for all sites, as far as that is possible."""
        self.possible = bool(self.hosts) and all(host.shape(*discipline) for host in self.hosts)

    def close(self) -> None:
        """End all processes."""
        processes = [*filter(None, [self.serving, *self.sites])]
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()

    def rounds(self) -> int:
        """Rounds that are done."""
        path = self.folder / "server" / "run" / "metrics.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def kill(self, program: str, mark: str) -> bool:
        """Kill the process of this program with these words in its command line."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError, UnicodeDecodeError):
                words = path.read_bytes().decode()
                if f"{program}\0" in words and mark in words:
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


def restart_site(federation: Federation, client: int = 0) -> None:
    """Kill a site's process, and start it again after 20 s."""
    if (process := federation.sites[client]) is not None:
        process.kill()
        process.wait()
    time.sleep(20)
    federation.join(client)


def restart_serve(federation: Federation) -> None:
    """Kill the server's process, and start it again after 5 s."""
    federation.restarts += 1
    if (serving := federation.serving) is not None:
        federation.serving = None
        serving.kill()
        serving.wait()
    time.sleep(5)
    federation.serve()


def kill_many(federation: Federation) -> None:
    """Each site's SuperNode and process once, and the server, after rounds that are drawn."""
    events: list[Weather] = [restart_serve]
    for client in range(SITES):
        events.append(lambda f, c=client: f.kill("flower-supernode", str(f.site_file(c).parent)))  # type: ignore[misc]
        events.append(lambda f, c=client: restart_site(f, c))  # type: ignore[misc]
    for rounds, event in zip(
        random.Random(0).sample(range(federation.rounds_in_all - 1), len(events)), events, strict=True
    ):
        after(rounds, event)(federation)


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
    "serve": after(1, restart_serve),
    "slow": lambda federation: federation.shape("tbf", "rate", "1mbit", "burst", "32kbit", "latency", "400ms"),
    "loss": lambda federation: federation.shape("netem", "delay", "50ms", "loss", "1%"),
    "many": kill_many,
}


def run_command(*words: str, cwd: Path) -> None:
    """Run `fedmpt …`."""
    subprocess.run([sys.executable, "-m", "fedmpt", *words], cwd=cwd, env=environment(), check=True, stdout=2)


def start(command: str, file: Path, prefix: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a command of `fedmpt federation`."""
    with (file.parent / f"{command}.log").open("ab") as log:
        words = [*prefix, sys.executable, "-m", "fedmpt", "federation", command, str(file)]
        return subprocess.Popen(words, env=environment(), stdout=log, stderr=log)


@contextmanager
def founded(folder: Path, rounds: int) -> Iterator[Federation]:
    """A federation, whose processes are ended and whose hosts are removed at the end."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(closing(Host(client))) for client in range(SITES * hosts_possible())]
        yield stack.enter_context(closing(Federation(folder, rounds, hosts)))


def measure(folder: Path, name: str, rounds: int, expected: Path) -> dict[str, Any]:
    """Run a federation in some weather."""
    with founded(folder, rounds) as federation:
        WEATHER[name](federation)
        if not federation.possible:
            return {"weather": name, "impossible": "needs hosts for the sites, and a kernel that has it"}
        for client in range(SITES - (name == "late")):
            federation.join(client)
        began = time.monotonic()
        federation.serve()
        code = federation.wait()
        seconds, hosts = time.monotonic() - began, len(federation.hosts)
    run = folder / "server" / "run"
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    pairs = [(path, expected / "checkpoints" / path.name) for path in sorted((run / "checkpoints").iterdir())]
    named = run / "clients" / "at-the-sites"
    memory = Path("memory") / (named.read_text() if named.exists() else "")
    kept = [
        (folder / "sites" / f"client-{client}" / memory / path.name, path)
        for client in range(SITES)
        for path in sorted((expected / "clients").glob(f"client-{client:04d}-*"))
    ]
    return {
        "weather": name,
        "hosts": hosts,
        "exit code": code,
        "seconds": round(seconds),
        "rounds": len(lines),
        "seconds of each round": [round(line["round_seconds"], 1) for line in lines],
        "of these training": [round(line["training_seconds"], 1) for line in lines],
        "bytes sent": [line["bytes_sent"] for line in lines],
        "clients": sorted({len(line["clients"]) for line in lines}),
        "same parameters": len(pairs) == rounds + 1 and all(a.read_bytes() == b.read_bytes() for a, b in pairs),
        "states at the sites": len(kept),
        "the same": all(a.exists() and a.read_bytes() == b.read_bytes() for a, b in kept),
    }


def main() -> None:
    """Print a line of JSON for each kind of weather."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--weather", nargs="+", choices=WEATHER, default=list(WEATHER))
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the runs")
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    SETTINGS.update(text.split("=", 1) for text in options.set)
    words = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    cache = ("--cache-dir", str(folder / "cache"))
    run_command("train", *words, "--rounds", str(options.rounds), "--out", "local", *cache, cwd=folder)
    for name in options.weather:
        print(json.dumps(measure(folder / name, name, options.rounds, folder / "local")), flush=True)


if __name__ == "__main__":
    main()
