"""Batches at a server: uploads files of requests, waits, and fetches the results (OpenAI's Batch API).

The folder remembers which file went where, so the command may end at any time and go on later; a file that was
uploaded just before the command ended is recognised by its checksum, so it is not paid twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from condition_miner.batches.folder import URL, BatchFolder, count_requests, read_state, write_state
from condition_miner.errors import MiningFailed
from condition_miner.model.address import Address
from condition_miner.model.backend import RequestFailed, TransientFailure
from condition_miner.model.endpoint import Endpoint
from condition_miner.model.untrusted import words
from condition_miner.settings import ServiceSettings
from fedmpt.common.files import write_atomically

STATE = "batches.json"
"""In the folder: the id of the batch of each file of requests."""
MARK = "fedmpt_requests"
"""The name under which a batch carries its file's checksum."""
POLL_SECONDS = 20.0
"""Between two looks at a batch."""
MOST_BYTES = 512 * 2**20
"""Of a file of results."""
MOST_FAILURES = 30
"""So often in a row a server may not be reached."""
_ENDED = ("completed", "failed", "expired", "cancelled")
_LISTED = 100


class BatchService:
    """Sends a folder's requests to a server, and brings the results into the folder.

    Args:
        folder: of requests and results.
        address: of the server.
        service: time limit of a request.
        notice: called with what happens.
    """

    def __init__(
        self, folder: BatchFolder, address: Address, service: ServiceSettings, notice: Callable[[str], None]
    ) -> None:
        self.folder, self._address, self._service, self._notice = folder, address, service, notice
        self._state = read_state(folder.folder / STATE)

    def complete(self) -> None:
        """Upload what is pending, wait until its batches have ended, and fetch the results.

        Raises:
            MiningFailed: a batch failed as a whole, or no request can succeed.
            KeyboardInterrupt: the user pressed Ctrl-C. The server goes on.
        """
        asyncio.run(self._complete())
        self.folder.read()
        if left := self.folder.pending():
            raise MiningFailed(f"{self._address.display}: {left[0].name} came back without any result")

    async def _complete(self) -> None:
        async with Endpoint(self._address, self._service, MOST_BYTES) as server:
            files = self.folder.pending()
            for path in files:
                if path.name not in self._state:
                    await self._upload(server, path)
            for path in files:
                await self._await(server, path)

    async def _upload(self, server: Endpoint, path: Path) -> None:
        content = path.read_bytes()
        mark = hashlib.sha256(content).hexdigest()
        known = await self._known(server, mark)
        if known is None:
            form = {"purpose": "batch"}
            file = (path.name, content)
            uploaded = _text((await self._json(server, "POST", "/files", form, file)), "id")
            asked = {"input_file_id": uploaded, "endpoint": URL, "completion_window": "24h", "metadata": {MARK: mark}}
            known = _text(await self._json(server, "POST", "/batches", asked), "id")
            self._notice(
                f"{path.name}: {count_requests(path)} requests are batch {words(known)}; Ctrl-C leaves it there"
            )
        self._state[path.name] = known
        write_state(self.folder.folder / STATE, self._state)

    async def _known(self, server: Endpoint, mark: str) -> str | None:
        """The id of a batch with this mark that has not failed."""
        listed = await self._json(server, "GET", f"/batches?limit={_LISTED}")
        batches = listed.get("data")
        for one in batches if isinstance(batches, list) else []:
            marked = isinstance(one, dict) and isinstance(one.get("metadata"), dict) and one["metadata"].get(MARK)
            if marked == mark and one.get("status") not in ("failed", "expired", "cancelled", "cancelling"):
                return _text(one, "id")
        return None

    async def _await(self, server: Endpoint, path: Path) -> None:
        batch = self._state[path.name]
        told = ""
        while True:
            found = await self._json(server, "GET", f"/batches/{batch}")
            status = words(found.get("status"))
            counts = found.get("request_counts")
            counts = counts if isinstance(counts, dict) else {}
            said = f"{path.name}: {status}, {_count(counts, 'completed')} of {_count(counts, 'total')} answered"
            if said != told:
                self._notice(said)
                told = said
            if status in _ENDED:
                break
            await asyncio.sleep(POLL_SECONDS)
        brought = [await self._fetch(server, path, found, kind) for kind in ("output", "error")]
        if not any(brought):
            del self._state[path.name]
            write_state(self.folder.folder / STATE, self._state)
            raise MiningFailed(f"{self._address.display}: batch {words(batch)} {status}{_reasons(found)}")

    async def _fetch(self, server: Endpoint, path: Path, batch: dict[str, Any], kind: str) -> bool:
        """Bring a batch's file of one kind into the folder; whether there is one."""
        name = batch.get(f"{kind}_file_id")
        if not isinstance(name, str) or not name:
            return False
        content = await self._retried(lambda: server.response("GET", f"/files/{_safe(name)}/content"))
        write_atomically(path.with_name(f"{path.stem}-{kind}.jsonl".replace("requests", "results")), content.content)
        return True

    async def _json(
        self,
        server: Endpoint,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        file: tuple[str, bytes] | None = None,
    ) -> dict[str, Any]:
        content = await self._retried(lambda: server.content(method, path, body, file))
        if not isinstance(content, dict):
            raise MiningFailed(f"{self._address.display}: no batches there (an answer of another form)")
        return content

    async def _retried(self, ask: Callable[[], Any]) -> Any:
        """What the server answers, asked again while it cannot be reached."""
        for failures in range(1, MOST_FAILURES + 1):
            try:
                return await ask()
            except TransientFailure as error:
                if failures == MOST_FAILURES:
                    raise MiningFailed(
                        f"{self._address.display}: {error}; the batches go on there, run the same command again later"
                    ) from error
                await asyncio.sleep(POLL_SECONDS if error.retry_after is None else error.retry_after)
            except RequestFailed as error:
                raise MiningFailed(f"{self._address.display}: no batches there ({error})") from error
        raise AssertionError


def _text(content: dict[str, Any], key: str) -> str:
    """An id in a server's answer, in a form that can stand in a URL.

    Raises:
        MiningFailed: there is none.
    """
    return _safe(content.get(key))


def _safe(name: Any) -> str:
    if not isinstance(name, str) or not name or not all(sign.isalnum() or sign in "-_." for sign in name):
        raise MiningFailed(f"the server's answer about a batch has no usable id ({words(name)})")
    return name


def _count(counts: dict[str, Any], key: str) -> int:
    return counts[key] if type(counts.get(key)) is int else 0


def _reasons(batch: dict[str, Any]) -> str:
    """Why a batch failed, in the server's words."""
    errors = batch.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    said = [words(one.get("message")) for one in listed or [] if isinstance(one, dict)] if listed else []
    return f": {'; '.join(said[:3])}" if said else ""
