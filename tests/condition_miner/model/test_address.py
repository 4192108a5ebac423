"""The identity of an endpoint, and how its address is printed."""

from __future__ import annotations

import pytest

from condition_miner.errors import MinerError
from condition_miner.model.address import Address, endpoint_identity


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
def test_identity_has_no_local_ports_and_no_credentials(url: str, name: str) -> None:
    assert endpoint_identity(url) == name


def test_display_has_the_port_but_no_credentials() -> None:
    assert Address.resolve("http://user:secret@127.0.0.1:8000/v1").display == "http://127.0.0.1:8000/v1"
    assert Address.resolve("http://[::1]:8000/v1").display == "http://[::1]:8000/v1"
    assert Address.resolve("https://user:secret@a.example/v1").display == "https://a.example/v1"
    assert Address("local", "local").display == "local"


@pytest.mark.parametrize("url", ["ftp://x", "http://", "http://x:port/v1", "x"])
def test_not_an_address(url: str) -> None:
    with pytest.raises(MinerError, match="http://HOST:PORT/v1"):
        endpoint_identity(url)
