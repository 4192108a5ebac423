"""Memory and time of many clients in Flower's simulation on this machine; needs the extra `flower`, and Linux.

    python benchmarks/simulated_clients.py FOLDER [--clients 100] [--rounds 3]

Reported are the peak of the memory of all processes together (proportional set size), seconds of each round, and
whether the parameters equal those of the local engine to the bit.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

SETTINGS = {
    "data.images_per_site": 8,
    "data.validation_images": 40,
    "data.test_images": 40,
    "evaluation.bootstrap": 0,
    "evaluation.yardsticks": "false",
    "evaluation.clients": "false",
    "method.name": "coop",
}
PAUSE = 0.5


def command(options: argparse.Namespace, name: str, engine: str) -> list[str]:
    """The words of a training."""
    settings = SETTINGS | {"data.sites": options.clients}
    words = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    where = ("--out", str(options.folder / name), "--cache-dir", str(options.folder / "cache"))
    return [
        sys.executable,
        "-m",
        "fedmpt",
        "train",
        *words,
        *where,
        "--rounds",
        str(options.rounds),
        "--engine",
        engine,
    ]


def memory(session: int) -> int:
    """Bytes of all processes of a session and of what they started, which may have left it."""
    parents, sessions = dict[int, int](), set[int]()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            words = path.read_text().rpartition(")")[2].split()
            parents[int(path.parent.name)] = int(words[1])
            if int(words[3]) == session:
                sessions.add(int(path.parent.name))
    found, grown = sessions, True
    while grown:
        more = {process for process, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    total = 0
    for process in found:
        with suppress(OSError, StopIteration):
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += 1024 * int(next(line for line in lines if line.startswith("Pss:")).split()[1])
    return total


def main() -> None:
    """Print a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(command(options, "local", "local"), env=environment, check=True, stdout=2)
    began, peak = time.monotonic(), 0
    with subprocess.Popen(
        command(options, "flower", "flower"), env=environment, stdout=2, start_new_session=True
    ) as run:
        while run.poll() is None:
            peak = max(peak, memory(run.pid))
            time.sleep(PAUSE)
    lines = [json.loads(line) for line in (options.folder / "flower" / "metrics.jsonl").read_text().splitlines()]
    pairs = [
        [path.read_bytes() for path in sorted((options.folder / name / "checkpoints").iterdir())]
        for name in ("local", "flower")
    ]
    told = {
        "clients": options.clients,
        "peak GB": round(peak / 1e9, 2),
        "seconds": round(time.monotonic() - began),
        "seconds of each round": [round(line["round_seconds"], 1) for line in lines],
        "same parameters": len(pairs[0]) == options.rounds + 1 and pairs[0] == pairs[1],
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
