"""The server's process: a SuperLink that is reachable from this machine alone, the gate before it, and the run.

Whatever of it dies is started again, and the run goes on from its last complete round.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from trainer.errors import RunFailed
from trainer.flower import children
from trainer.flower.gate import Gate
from trainer.flower.installed import require_flower
from trainer.flower.outcome import FOLDER, outcome
from trainer.flower.parties import Server, read_party

PAUSE = 10.0
"""Seconds before the run is submitted again. One that died counts as running for up to a minute, but holds no lock."""
HEALTHY = 120.0
"""Seconds that a SuperLink has to answer."""
MOST_FAILURES = 20
"""Submissions in a row that may end without an outcome."""
CONNECTION = "server"
"""The name of the SuperLink in Flower's configuration."""


def serve(file: Path, say: Callable[[str], None]) -> Path:
    """Train the run of a server's folder with the sites that join, to its end.

    Args:
        file: server.toml.
        say: tells the user.

    Returns:
        The run's folder.

    Raises:
        RunFailed: the run failed, see `Run.resume`; it goes on with the next call.
        TrainerError: Flower is not installed, or a wrong file.
    """
    require_flower()
    folder, server = file.absolute().parent, read_party(file, Server)
    for address in (server.superlink, server.address):
        children.refuse_taken(address)
    home = write_connection(folder, server)
    gate = Gate(server.address, server.superlink, server.ca, server.certificate, server.key)
    try:
        say(f"sites reach the server at {server.address} (log: {folder / 'superlink.log'})")
        _until_done(folder, server, home, say)
    finally:
        gate.close()
    return server.run


def _until_done(folder: Path, server: Server, home: Path, say: Callable[[str], None]) -> None:
    for _ in range(MOST_FAILURES):
        log, words = folder / "superlink.log", superlink_words(folder, server)
        superlink = children.start(words, log, {"FLWR_HOME": str(home), FOLDER: str(folder)})
        try:
            _wait_until_healthy(superlink, server, folder)
            register(server, home)
            while superlink.poll() is None:
                submit(server, home)
                found = outcome(folder)
                if found is not None:
                    if found.error:
                        raise RunFailed(found.error)
                    return
                say(f"the run ended before it was done; again in {PAUSE:.0f} s")
                time.sleep(PAUSE)
        finally:
            children.end(superlink)
        say(f"the SuperLink ended; again in {PAUSE:.0f} s")
        time.sleep(PAUSE)
    raise RunFailed(f"{folder}: the SuperLink ended {MOST_FAILURES} times; see superlink.log there")


def superlink_words(folder: Path, server: Server) -> list[str]:
    """The words that start the SuperLink."""
    host, _, port = server.superlink.rpartition(":")
    words = ["flower-superlink", "--host", host, "--port", port, "--database", str(folder / "state.db")]
    words += ["--ssl-ca-certfile", str(server.ca), "--ssl-certfile", str(server.certificate)]
    return [*words, "--ssl-keyfile", str(server.key), "--enable-supernode-auth"]


def write_connection(folder: Path, server: Server) -> Path:
    """Write Flower's configuration with the SuperLink's address; returns its folder (FLWR_HOME)."""
    home = folder / "flwr"
    home.mkdir(exist_ok=True)
    text = f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n'
    address, ca = json.dumps(server.superlink), json.dumps(str(server.ca))
    (home / "config.toml").write_text(f"{text}address = {address}\nroot-certificates = {ca}\n")
    return home


def register(server: Server, home: Path) -> None:
    """Tell the SuperLink the sites' public keys; those that it knows already are left.

    Raises:
        RunFailed: it takes one of them not.
    """
    for key in sorted(server.nodes.glob("*.pub")):
        words = [children.program("flwr"), "supernode", "register", str(key), CONNECTION]
        done = subprocess.run(words, env=_at(home), capture_output=True, text=True, check=False)
        if done.returncode and "already in use" not in done.stdout + done.stderr:
            raise RunFailed(f"{key}: the SuperLink refuses it: {(done.stdout + done.stderr).strip()[-500:]}")


def submit(server: Server, home: Path) -> None:
    """Have the SuperLink start the run, and pass on what it says until it ends. Its exit code means nothing."""
    words = [children.program("flwr"), "run", str(server.app), CONNECTION, "--stream"]
    subprocess.run(
        words,
        env=_at(home),
        stdout=sys.stderr,
        stdin=subprocess.DEVNULL,
        preexec_fn=children.END_WITH_PARENT,
        check=False,
    )


def _wait_until_healthy(superlink: subprocess.Popen[bytes], server: Server, folder: Path) -> None:
    ends = time.monotonic() + HEALTHY
    while superlink.poll() is None and time.monotonic() < ends:
        try:
            children.refuse_taken(server.superlink)
        except RunFailed:
            return
        time.sleep(0.2)
    raise RunFailed(f"the SuperLink does not start:\n{children.last_words(folder / 'superlink.log')}")


def _at(home: Path) -> dict[str, str]:
    return children.environment({"FLWR_HOME": str(home)})
