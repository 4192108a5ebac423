"""A server and three sites as processes on this machine, by the commands that users type; needs the extra `flower`."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from tests.trainer.commands.test_datasets import fedmpt
from tests.trainer.flower.processes import PATIENCE, free_port
from tests.trainer.flower.test_simulation import QUICK, files, with_flower
from trainer.data.registry import load_dataset
from trainer.inference.exported import read_config
from trainer.inference.load import load
from trainer.run.folder import Run

pytestmark = with_flower
SETTINGS = QUICK[: QUICK.index("--rounds")]
ROUNDS = 3


def waited(what: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < ends, "nothing happened"
        time.sleep(0.2)


class Federation:
    """Folders, processes and logs of a federation."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        sites = ("--set", "data.sites=3", "--set", "method.name=fedpgp", "--set", "federation.memory=optimiser")
        sites = (*sites, "--sites", "3")
        words = ("federation", "init", "study", *SETTINGS, *sites, "--rounds", str(ROUNDS), "--port", str(self.port))
        done = fedmpt(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
        self.server = folder / "study" / "server"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{len(self.processes)}.log").open("wb") as log:
            command = [sys.executable, "-m", "fedmpt", "federation", *words]
            process = subprocess.Popen(
                command, cwd=self.folder, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}
            )
        self.processes.append(process)
        return process

    def rounds(self) -> int:
        path = self.server / "run" / "metrics.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def server_app(self) -> int | None:
        """The process id of the server app at this federation's SuperLink."""
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().decode().split("\0")
            except OSError:
                continue
            if any(w.endswith("flwr-serverapp") for w in words) and f"127.0.0.1:{self.port + 1}" in words:
                return int(path.parent.name)
        return None

    def last_log(self) -> str:
        return (self.folder / f"{len(self.processes) - 1}.log").read_text()

    def close(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(30)


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """Its folders; whatever is started is ended."""
    started = Federation(tmp_path_factory.mktemp("federation"))
    try:
        yield started
    finally:
        started.close()


def test_a_federation_trains_the_same_parameters_even_if_its_server_is_killed(federation: Federation) -> None:
    serving = federation.start("serve", "study/server/server.toml")
    waited(lambda: federation.server_app() is not None)  # and waits for the sites
    _ask_the_gate(federation)
    _try_an_unknown_key(federation)
    _examine(federation)
    for client in range(3):
        federation.start("join", f"study/sites/client-{client}/site.toml")
    waited(lambda: federation.rounds() >= 1)
    serving.kill()
    serving.wait()
    waited(lambda: federation.server_app() is None)  # whatever it had started is gone, too
    serving = federation.start("serve", "study/server/server.toml")
    assert serving.wait(PATIENCE) == 0, federation.last_log()
    assert "round   1/3" not in federation.last_log()
    settings = ("--config", "study/server/settings.json", "--cache-dir", "cache")
    local = fedmpt("train", *settings, "--out", "local", cwd=federation.folder)
    assert local.returncode == 0, local.stderr
    remote = Run.open(federation.server / "run").checkpoints()
    here = Run.open(federation.folder / "local").checkpoints()
    assert (federation.server / "run" / "sites.json").exists()
    assert list(remote) == list(range(ROUNDS + 1))
    for rounds in remote:
        assert remote[rounds].read_bytes() == here[rounds].read_bytes(), rounds
    for line in Run.open(federation.server / "run").metrics():
        assert line["clients"] == [0, 1, 2]
        assert line["bytes_sent"] < 3 * 100_000
    _predict_with_a_sites_own_model(federation)


def _predict_with_a_sites_own_model(federation: Federation) -> None:
    """Only the site has what is its own, and completes the shared model with it."""
    folder, local = federation.folder, Run.open(federation.folder / "local")
    site = folder / "study" / "sites" / "client-1"
    memory = site / "memory" / (federation.server / "run" / "clients" / "at-the-sites").read_text()
    for name, content in files(local.clients).items():
        if name.startswith("client-0001"):
            assert (memory / name).read_bytes() == content
    assert not list((federation.server / "run" / "clients").glob("client-*"))
    done = fedmpt("export", "study/server/run", "--out", "model", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = fedmpt("federation", "own-model", "site.toml", "../../../model", "--out", "own", cwd=site)
    assert done.returncode == 0, done.stderr
    rounds = int(read_config(folder / "model").rounds)
    expected = load(local.folder, client=1, checkpoint=str(rounds)).method.personal_parts()
    own = load(site / "own").method.personal_parts()
    assert own.keys() == expected.keys() == {"left", "right"}
    assert all(torch.equal(own[name], expected[name]) for name in own)
    done = fedmpt("export", "local", "--out", "other", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = fedmpt("federation", "own-model", "site.toml", "../../../other", "--out", "wrong", cwd=site)
    assert (done.returncode, "no model of a federation of several machines" in done.stderr) == (2, True)
    assert not (site / "wrong").exists()
    load_dataset(local.config().data).test.image(0).save(folder / "photo.png")
    done = fedmpt("predict", str(site / "own"), "photo.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    done = fedmpt("predict", "study/server/run", "photo.png", "--client", "1", cwd=folder)
    assert (done.returncode, "client 1's own parts are at its site" in done.stderr) == (2, True)


def _ask_the_gate(federation: Federation) -> None:
    """Starting runs is not possible from outside, nor anything without TLS or with another CA."""
    trusted = ssl.create_default_context(cafile=str(federation.server / "ca.pem"))
    for path in ("/v1/control/list-runs", "/v1/runtime/acquire-task", "/v1/fleet/../control/list-runs", "/"):
        line = http.client.HTTPSConnection("127.0.0.1", federation.port, context=trusted, timeout=30)
        line.request("POST", path)
        assert line.getresponse().status == 403, path
    with pytest.raises(ssl.SSLCertVerificationError):
        http.client.HTTPSConnection("127.0.0.1", federation.port, timeout=30).request("GET", "/")
    plain = http.client.HTTPConnection("127.0.0.1", federation.port, timeout=30)
    plain.request("GET", "/")
    with pytest.raises((http.client.HTTPException, OSError)):
        plain.getresponse()


def _examine(federation: Federation) -> None:
    site = federation.folder / "study" / "sites" / "client-1"
    done = fedmpt("federation", "doctor", "site.toml", cwd=site)
    assert done.returncode == 0, done.stdout + done.stderr
    (other := site / "other.toml").write_text(
        (site / "site.toml").read_text().replace(f":{federation.port}", f":{federation.port + 1}")
    )
    expected = json.loads((site / "expected.json").read_text())
    (site / "changed.json").write_text(json.dumps({**expected, "the bank": "another"}))
    other.write_text(other.read_text() + '\nexpected = "changed.json"\n')
    done = fedmpt("federation", "doctor", "other.toml", cwd=site)
    assert done.returncode == 1
    assert "can start programs at your site" in done.stdout.replace("\n", " ")
    assert "broken  the bank: none, at the server another" in done.stdout


def _try_an_unknown_key(federation: Federation) -> None:
    from trainer.flower.certificates import write_node_key

    site = federation.folder / "study" / "sites" / "unknown"
    shutil.copytree(site.with_name("client-2"), site)
    (site / "node.key").unlink()
    write_node_key(site / "node.key", site / "node.pub")
    joining = federation.start("join", str(site / "site.toml"))
    waited(lambda: "the server does not know this site's key" in federation.last_log())
    joining.send_signal(signal.SIGTERM)
    joining.wait(PATIENCE)
