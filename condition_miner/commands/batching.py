"""mine-conditions --batch: one run after another, each with the results of the last batch of requests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import typer

from condition_miner.asking.stops import AnswersLater
from condition_miner.batches.backend import BatchBackend
from condition_miner.batches.folder import BatchFolder, count_requests
from condition_miner.batches.service import BatchService
from fedmpt.common.files import expanded
from fedmpt.common.progress import print_note
from fedmpt.common.terminal import echo

if TYPE_CHECKING:
    from condition_miner.model.address import Address
    from condition_miner.settings import ServiceSettings
    from prompt_bank.schema import Bank

OPENAI = "openai"
"""The word in place of a folder: batches are uploaded to the endpoint."""


@dataclass
class Batches:
    """Batches of requests.

    Attributes:
        folder: of requests and results.
        backend: answers from it.
        service: uploads and fetches; None if the user does.
    """

    folder: BatchFolder
    backend: BatchBackend
    service: BatchService | None

    @classmethod
    def opened(cls, named: str, folder: Path, address: Address, service: ServiceSettings) -> Self:
        """The batches that --batch names.

        Args:
            named: a folder, or OPENAI.
            folder: for the batches of services, each in a folder of its own.
            address: whose answers they are.
            service: time limit of a request.
        """
        if named != OPENAI:
            batches = BatchFolder(expanded(Path(named)))
            return cls(batches, BatchBackend(batches, str(batches.folder)), None)
        mark = hashlib.sha256(address.endpoint.encode()).hexdigest()[:8]
        batches = BatchFolder(folder / f"{re.sub(r'[^a-z0-9.-]', '-', address.host)}-{mark}")
        return cls(batches, BatchBackend(batches, address.display), BatchService(batches, address, service, print_note))

    def go_on(self, stop: AnswersLater, as_json: bool) -> bool:
        """Write the requests of a stage; whether their results are there now.

        Raises:
            MiningFailed: see `BatchService.complete`.
        """
        for reason in sorted(set(self.backend.again.values())):
            print_note(f"asked again, since a request failed in a batch: {reason}")
        if self.folder.unreadable:
            print_note(f"{self.folder.unreadable} lines in {self.folder.folder} are no results, and are passed over")
        self.folder.write(self.backend.wanted)
        self.backend.wanted.clear()
        self.backend.again.clear()
        if self.service is not None:
            self.service.complete()
            return True
        _print_waiting(self.folder, stop, as_json)
        return False


def mined(mine: Callable[[], Bank], batches: Batches | None, as_json: bool) -> Bank | None:
    """The bank, by as many runs as there are batches to wait for; None if the user is to answer one."""
    while True:
        try:
            return mine()
        except AnswersLater as stop:
            if batches is None or not batches.go_on(stop, as_json):
                return None


def _print_waiting(folder: BatchFolder, stop: AnswersLater, as_json: bool) -> None:
    """Say which files of requests are to be answered, and how."""
    files = folder.pending()
    if as_json:
        waiting = [{"file": str(path), "requests": count_requests(path)} for path in files]
        typer.echo(json.dumps({"waiting": waiting, "stage": stop.stage}))
        return
    for path in files:
        echo(f"{path}: {count_requests(path)} requests; its results go into the same folder:")
        results = path.with_name(path.name.replace("requests", "results"))
        echo(f"    vllm run-batch -i {path} -o {results} --model MODEL")
    echo(
        "or upload it to your provider's Batch API, and download the file of results (and the one of errors). "
        f"Stage {stop.stage} waits for it: then run the same command again"
    )
