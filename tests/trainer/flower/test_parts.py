"""The parts of a federation that need no Flower: files, messages, the socket, what must be equal."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmpt.common.errors import FedmptError
from tests.trainer.flower.network import FACTS
from tests.trainer.flower.test_simulation import with_flower
from trainer.errors import TrainerError
from trainer.flower.envelope import Envelope, Hello, Present, Train, Trouble, digest, read_head, write_head
from trainer.flower.facts import differences, settings_facts
from trainer.flower.founding import Plan, found
from trainer.flower.outcome import Outcome, outcome, write_outcome
from trainer.flower.parties import Server, Site, read_expected, read_party
from trainer.flower.site import Site as SiteModel
from trainer.flower.socket_line import SocketServer, ask
from trainer.options import Options
from trainer.resolving import resolve

SITE = 'client = 1\naddress = "server.example.org:9092"\nthreads = 1\n'


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_only_heads_are_read_as_heads(content: bytes) -> None:
    with pytest.raises(TrainerError, match="not a message of protocol"):
        read_head(content)


def test_heads_come_back_as_they_were() -> None:
    for head in (Hello(run="r"), Train(run="r", round=0, rounds=2, base=digest(b"")), Trouble(again=True, reason="")):
        assert read_head(write_head(head)) == head


@pytest.mark.parametrize("broken", [b'"again": 1', b'"more": 1, "again": true'])
def test_heads_are_strict(broken: bytes) -> None:
    with pytest.raises(TrainerError):
        read_head(b'{"kind": "trouble", "reason": "x", ' + broken + b"}")


def test_the_socket_carries_envelopes_and_outlives_clients_that_die(tmp_path: Path) -> None:
    path, blob = tmp_path / "site", bytes(range(256)) * 10_000
    server = SocketServer(
        path, lambda envelope: Envelope(Present(client=1, examples=2, facts=FACTS), envelope.blob[::-1])
    )
    with socket.socket(socket.AF_UNIX) as dying:
        dying.connect(str(path))
        dying.sendall(b"\0\0\0\5")
    assert ask(str(path), Envelope(Hello(run="r"), blob), 10).blob == blob[::-1]
    server.close()
    with pytest.raises(OSError, match="refused"):
        ask(str(path), Envelope(Hello(run="r")), 10)


def test_a_client_app_does_not_wait_for_ever(tmp_path: Path) -> None:
    hanging = threading.Event()
    server = SocketServer(tmp_path / "site", lambda envelope: (hanging.wait(10) and envelope) or envelope)
    with pytest.raises(TimeoutError):
        ask(str(tmp_path / "site"), Envelope(Hello(run="r")), 0.2)
    hanging.set()
    server.close()


def test_settings_that_change_training_must_be_equal_and_places_need_not() -> None:
    before = settings_facts(resolve())
    for same in ({"device": "cpu"}, {"data.data_root": "/elsewhere"}, {"backbone.pretrained": "w.safetensors"}):
        assert differences(before, settings_facts(resolve(overrides=same))) is None
    for key, value, named in (
        ("method.rank", 7, "the settings of method"),
        ("optimiser.learning_rate", 0.5, "the settings of optimiser"),
        ("seeds.batches", 4, "the settings of seeds"),
        ("compute.precision", "bf16", "the settings of compute"),
        ("federation.local_epochs", 3, "the settings of federation"),
    ):
        assert named in str(differences(before, settings_facts(resolve(overrides={key: value}))))


def test_paths_of_a_sites_file_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE + 'bank = "bank.json"\ndata_root = "/data"\n')
    site = read_party(tmp_path / "site.toml", Site)
    assert (site.bank, site.data_root, site.ca) == (tmp_path / "bank.json", Path("/data"), tmp_path / "ca.pem")


@pytest.mark.parametrize(
    ("line", "where"),
    [("clients = 3", "clients"), ('images = "mine"', "images"), ("client = -1", "TOML"), ("[", "TOML")],
)
def test_wrong_lines_are_named(tmp_path: Path, line: str, where: str) -> None:
    (tmp_path / "site.toml").write_text(f"{SITE}{line}\n")
    with pytest.raises(TrainerError, match=where):
        read_party(tmp_path / "site.toml", Site)


@pytest.mark.parametrize("address", ["host", "host:", "https://host:1", "host:123456", "a b:1"])
def test_wrong_addresses_are_refused(tmp_path: Path, address: str) -> None:
    text = f'clients = 1\nthreads = 1\naddress = "{address}"\nsuperlink = "127.0.0.1:1"\n'
    (tmp_path / "server.toml").write_text(text)
    with pytest.raises(TrainerError, match="address"):
        read_party(tmp_path / "server.toml", Server)


def test_outcomes(tmp_path: Path) -> None:
    assert outcome(tmp_path) is None
    write_outcome(tmp_path, Outcome(error="too few replies"))
    assert outcome(tmp_path) == Outcome(error="too few replies")
    write_outcome(tmp_path, None)
    assert outcome(tmp_path) is None


@with_flower
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"method.context": "sites"}, "counts in the annotations of all sites"),
        ({"federation.rounds": 3}, "does not know how many images the sites have"),
    ],
)
def test_what_needs_the_sites_images_at_the_server_is_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    settings = resolve(overrides={"data.images_per_site": 12, "data.sites": 2, "data.validation_images": 12, **changes})
    with pytest.raises(TrainerError, match=said):
        found(tmp_path / "study", Plan(2, ["127.0.0.1"], 9092, "all", 1), settings, None, Options(tmp_path / "cache"))
    assert not (tmp_path / "study").exists()


def test_a_damaged_expected_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "expected.json").write_text('{"the bank": 3}')
    with pytest.raises(FedmptError, match=r"expected\.json"):
        read_expected(read_party(tmp_path / "site.toml", Site))


def test_a_fault_at_a_site_is_told_and_the_site_stays(tmp_path: Path) -> None:
    """Whatever goes wrong: here the key's file is gone."""
    site = SiteModel.__new__(SiteModel)
    site.__dict__ |= {"_threads": 1, "_owned": {0: np.arange(3)}, "_facts": {}, "_key": tmp_path / "gone"}
    told = site.answer(0, Envelope(Hello(run="r", nonce="n"))).head
    assert isinstance(told, Trouble)
    assert not told.again
    assert told.reason.startswith(("FileNotFoundError", "ModuleNotFoundError"))
