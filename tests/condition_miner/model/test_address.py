"""What names an endpoint, and what of an address is ever shown."""

from __future__ import annotations

import pytest

from condition_miner.errors import MinerError
from condition_miner.model.address import Address, identity


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://127.0.0.1:8000/v1", "local"),
        ("http://localhost:1/v1", "local"),
        ("http://[::1]:1/v1", "local"),
        ("https://user:secret@api.example.org/v1/", "https://api.example.org/v1"),
        ("https://api.example.org:8443/v1", "https://api.example.org:8443/v1"),
    ],
)
def test_identity_leaves_ports_of_this_machine_and_credentials_out(url: str, name: str) -> None:
    assert identity(url) == name


def test_what_is_shown_has_the_port_but_no_credentials() -> None:
    assert Address.of("http://user:secret@127.0.0.1:8000/v1").shown == "http://127.0.0.1:8000/v1"
    assert Address.of("http://[::1]:8000/v1").shown == "http://[::1]:8000/v1"
    assert Address.of("https://user:secret@a.example/v1").shown == "https://a.example/v1"
    assert Address("local", "local").shown == "local"


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:port/v1", "x"])
def test_not_an_address(url: str) -> None:
    with pytest.raises(MinerError, match="http://HOST:PORT/v1"):
        identity(url)
