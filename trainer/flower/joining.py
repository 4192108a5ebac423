"""A site's process: loads data and model once, answers the client app, and keeps a SuperNode running."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import torch

from trainer.errors import TrainerError
from trainer.evaluation.at_sites import Tells
from trainer.federation.memory import ClientMemory, stateful_clients
from trainer.flower import children
from trainer.flower.envelope import Envelope, Evaluate, Facts, Train
from trainer.flower.facts import differences, facts
from trainer.flower.installed import require_flower
from trainer.flower.parties import (
    Site,
    own_images,
    own_test_images,
    party_options,
    party_settings,
    read_expected,
    read_party,
)
from trainer.flower.site import Site as SiteModel
from trainer.flower.socket_line import SocketServer
from trainer.preparing import Prepared

PAUSE = 15.0
"""Seconds before a SuperNode that ended is started again. One that died counts as present for up to a minute, and until
then a new one is refused."""
LOG = "supernode.log"
MEMORY = "memory"
NOT_ACTIVATED = "[code: 2004]"
"""Flower's word for a key that it does not accept."""
TOLD: dict[Tells, str] = {"no": "nothing", "counts": "counts for each label", "scores": "scores and labels of each"}


class LoadedSite:
    """A site with its data and model.

    The last reply is kept, so that the same request is not trained twice.

    Args:
        file: site.toml.
        say: tells the user.

    Raises:
        TrainerError: see `trainer.preparing.prepare`; or it differs from what the server expects.
    """

    def __init__(self, file: Path, say: Callable[[str], None]) -> None:
        self.folder, self.party = file.absolute().parent, read_party(file, Site)
        torch.set_num_threads(self.party.threads)
        prepared = party_options(self.party).prepare(party_settings(self.party), self.party.bank)
        self.facts: Facts = facts(prepared, self.party.bank)
        if different := differences(read_expected(self.party), self.facts):
            raise TrainerError(f"{file}: this site would be refused, since it differs from the server in {different}")
        client, owned, tested = (
            self.party.client,
            own_images(self.party, prepared),
            own_test_images(self.party, prepared),
        )
        self._site = SiteModel(
            prepared,
            self.facts,
            {client: owned},
            self.party.threads,
            self.party.key,
            {client: tested},
            self.party.evaluation,
            memory_of(file, prepared),
        )
        self._last: tuple[Train, Envelope] | None = None
        self._say = say
        say(
            f"client {client}: {len(owned):,} training images; "
            f"of {len(tested):,} test images it tells {TOLD[self.party.evaluation]}"
        )

    def answer(self, ask: Envelope) -> Envelope:
        """See `trainer.flower.site.Site.answer`."""
        if isinstance(ask.head, Train) and self._last and self._last[0] == ask.head:
            return self._last[1]
        found = self._site.answer(self.party.client, ask)
        if isinstance(ask.head, Train):
            self._last = (ask.head, found) if found.head.kind == "trained" else None
            self._say(f"round {ask.head.round + 1}/{ask.head.rounds}: {_told(found)}")
        if isinstance(ask.head, Evaluate):
            self._say(f"test images: {_told(found)}")
        return found


def memory_of(file: Path, prepared: Prepared) -> ClientMemory | None:
    """Where a site keeps between rounds what it does not send; None if it keeps nothing."""
    kept = stateful_clients(prepared.config.federation, prepared.method)
    return ClientMemory(file.absolute().parent / MEMORY) if kept else None


def _told(envelope: Envelope) -> str:
    head = envelope.head
    if head.kind == "trained":
        loss = "" if head.loss is None else f", loss {head.loss:.4f}"
        return f"trained on {head.examples:,} images in {head.seconds:.1f} s{loss}"
    if head.kind == "counted":
        return (
            f"told {'scores and labels' if head.scores else 'counts'} of {head.images:,}"
            if head.images
            else "told nothing"
        )
    return str(getattr(head, "reason", head.kind))


def join(file: Path, say: Callable[[str], None], stop: threading.Event | None = None) -> None:
    """Take part in a federation until the process is interrupted.

    Args:
        file: site.toml.
        say: tells the user.
        stop: ends it, too.

    Raises:
        TrainerError: see `LoadedSite`; Flower is not installed.
    """
    require_flower()
    site, stop = LoadedSite(file, say), stop or threading.Event()
    with tempfile.TemporaryDirectory(prefix="fedmpt-") as private:  # of this user alone
        line = SocketServer(Path(private) / "site", site.answer)
        try:
            _keep_running(site, Path(private) / "site", say, stop)
        finally:
            line.close()


def _keep_running(site: LoadedSite, line: Path, say: Callable[[str], None], stop: threading.Event) -> None:
    log = site.folder / LOG
    while not stop.is_set():
        say(f"SuperNode to {site.party.address} (log: {log})")
        since = log.stat().st_size if log.exists() else 0
        child = children.start(supernode(site.party, line), log)
        try:
            while child.poll() is None and not stop.wait(0.5):
                pass
        finally:
            children.end(child)
        if not stop.is_set():
            why = children.complaint(log, since)
            say(f"the SuperNode ended; again in {PAUSE:.0f} s. It said: {why}")
            if NOT_ACTIVATED in why:
                say(
                    "the server does not know this site's key, or still counts its last SuperNode as present (a minute)"
                )
            stop.wait(PAUSE)


def supernode(site: Site, line: Path) -> list[str]:
    """The words that start a site's SuperNode."""
    words = ["flower-supernode", "--superlink", site.address, "--root-certificates", str(site.ca)]
    words += ["--auth-supernode-private-key", str(site.key), "--port", str(children.free_port())]
    return [*words, "--node-config", f'socket="{line}"']
