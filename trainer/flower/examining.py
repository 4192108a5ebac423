"""fedmpt federation doctor: what would keep a site from taking part, before it tries."""

from __future__ import annotations

import http.client
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import torch

from fedmpt.common.check import Check, Status
from fedmpt.common.errors import FedmptError
from trainer.flower.facts import facts
from trainer.flower.gate import MARK
from trainer.flower.installed import require_flower
from trainer.flower.parties import Site, own_images, party_options, party_settings, read_expected, read_party

CLOCK = 60.0
"""Seconds by which the clocks of server and site may differ; certificates and signed requests depend on them."""
SECONDS = 10.0
CONTROL = "/v1/control/list-runs"
"""A path of the SuperLink's interface for starting and watching runs."""


def _check(name: str, fine: bool, detail: str, remedy: str = "") -> Check:
    return Check(name, Status.OK if fine else Status.BROKEN, detail, remedy)


def examine(file: Path) -> Iterator[Check]:
    """Check a site, the network first.

    Args:
        file: site.toml.

    Raises:
        TrainerError: Flower is not installed, or the file cannot be read.
    """
    require_flower()
    site = read_party(file, Site)
    yield _key(site)
    yield from _server(site)
    yield from _inputs(site)


def _key(site: Site) -> Check:
    if not site.key.is_file():
        return _check("key", False, f"{site.key}: not there", "ask for this site's folder of federation init")
    if stat.S_IMODE(site.key.stat().st_mode) & 0o077:
        return _check("key", False, f"{site.key}: others can read it", f"chmod 600 {site.key}")
    return _check("key", True, str(site.key))


def _server(site: Site) -> Iterator[Check]:
    host, _, port = site.address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
    except OSError as error:
        yield _check("server", False, f"{site.address}: {error}", "is it running, and does a firewall let you through?")
        return
    yield _check("server", True, f"{site.address} answers")
    trusted = ssl.create_default_context(cafile=str(site.ca))
    line = http.client.HTTPSConnection(host.strip("[]"), int(port), timeout=SECONDS, context=trusted)
    try:
        line.request("POST", CONTROL)
        answer = line.getresponse()
    except ssl.SSLCertVerificationError as error:
        remedy = f"{site.ca} must be the server's CA, and the address a name in its certificate"
        yield _check("certificate", False, error.verify_message or str(error), remedy)
        return
    except (ssl.SSLError, OSError, http.client.HTTPException) as error:
        yield _check("certificate", False, f"no TLS there ({error})", "the server must be fedmpt federation serve")
        return
    finally:
        line.close()
    yield _check("certificate", True, f"signed by {site.ca}")
    yield _gate(answer)
    yield _clock(answer.getheader("Date"))


def _gate(answer: http.client.HTTPResponse) -> Check:
    if answer.status == 403 and answer.getheader(MARK):
        return _check("gate", True, "passes on nothing but what SuperNodes need")
    return _check(
        "gate",
        False,
        f"the server's interface for starting runs answers from outside (HTTP {answer.status}): whoever reaches it can "
        "start programs at your site",
        "do not join; the SuperLink must listen on its own machine alone, behind the gate (server.toml)",
    )


def _clock(date: str | None) -> Check:
    if date is None:
        return _check("clock", True, "the server does not tell the time")
    apart = abs(parsedate_to_datetime(date).timestamp() - time.time())
    detail = f"{apart:.0f} s from the server's"
    return _check("clock", apart <= CLOCK, detail, "" if apart <= CLOCK else "set the clock of the one that is wrong")


def _inputs(site: Site) -> Iterator[Check]:
    torch.set_num_threads(site.threads)
    try:
        expected = read_expected(site)
        prepared = party_options(site).prepare(party_settings(site), site.bank)
        owned, own = own_images(site, prepared), facts(prepared, site.bank)
    except FedmptError as error:
        yield _check("data and model", False, str(error), "see site.toml: data_root, weights, bank")
        return
    yield _check("data", len(owned) > 0, f"{len(owned):,} training images of {prepared.dataset.name}")
    for name in sorted(expected.keys() | own.keys()):
        fine = expected.get(name) == own.get(name)
        here, there = (found.get(name, "missing")[:19] for found in (own, expected))
        detail = here if fine else f"{here}, at the server {there}"
        yield _check(name, fine, detail, "" if fine else "must be equal to the server's")
