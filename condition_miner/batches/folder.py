"""A folder of batches: files of requests, and files of results in any order, as OpenAI's Batch API has them.

FOLDER/
  requests-0001.jsonl    {"custom_id", "method", "url", "body"} in each line; written here, never changed
  *.jsonl                {"custom_id", "response": {"status_code", "body"}, "error"} in each line; what came back

A request's id is a hash of its body, so results are found whatever file they are in and whichever run wrote it.
Results are other people's files: lines are read by the guarded reader, and what is no result is counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from condition_miner.answers.records import canonical_json
from condition_miner.errors import MinerError
from condition_miner.model.untrusted import MAX_BODY_BYTES, Unreadable, load_json
from fedmpt.common.files import write_atomically

URL = "/v1/chat/completions"
MOST_REQUESTS, MOST_BYTES = 50_000, 190 * 2**20
"""Of a file of requests; OpenAI takes 50,000 and 200 MB."""
_REQUESTS = re.compile(r"requests-(\d{4,9})\.jsonl")
ID_DIGITS = 40


def request_id(body: dict[str, Any]) -> str:
    """The id of a request: a hash of its body."""
    return hashlib.sha256(canonical_json(body).encode(errors="surrogatepass")).hexdigest()[:ID_DIGITS]


@dataclass(frozen=True)
class Place:
    """Where a result stands.

    Attributes:
        path: of its file.
        start: of its line, in bytes.
        good: whether it says that the request succeeded.
    """

    path: Path
    start: int
    good: bool


class BatchFolder:
    """A folder of batches.

    Args:
        folder: it is made if it is missing.

    Attributes:
        results: the places of all results, by id.
        unreadable: how many lines are no results.

    Raises:
        MinerError: it is a file, or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results: dict[str, list[Place]] = {}
        self.unreadable = 0
        if folder.exists() and not folder.is_dir():
            raise MinerError(f"--batch {folder}: a file; name a folder")
        folder.mkdir(parents=True, exist_ok=True)
        self.read()

    def read(self) -> None:
        """Read anew what came back."""
        self.results.clear()
        self.unreadable = 0
        for path in sorted(self.folder.glob("*.jsonl")):
            if not _REQUESTS.fullmatch(path.name):
                for start, line in _lines(path):
                    self._note(path, start, line)

    def result(self, request: str) -> tuple[dict[str, Any] | None, int]:
        """The result of a request, a good one if there is any; and how many results it has.

        None if it has none.
        """
        places = self.results.get(request, [])
        if not places:
            return None, 0
        chosen = next((place for place in places if place.good), places[-1])
        with chosen.path.open("rb") as file:
            file.seek(chosen.start)
            content: dict[str, Any] = load_json(file.readline(MAX_BODY_BYTES))
        return content, len(places)

    def pending(self) -> list[Path]:
        """The files of requests of which no result came back.

        A request that failed stands in a later file again; then its first result is of the first file.
        """
        found = []
        asked: Counter[str] = Counter()
        for path in self.request_files():
            ids = set(_ids(path))
            asked.update(ids)
            if not any(len(self.results.get(one, ())) >= asked[one] for one in ids):
                found.append(path)
        return found

    def request_files(self) -> list[Path]:
        """All files of requests, in order."""
        return sorted(path for path in self.folder.glob("*.jsonl") if _REQUESTS.fullmatch(path.name))

    def write(self, bodies: dict[str, dict[str, Any]]) -> list[Path]:
        """Write the requests that are not in a pending file.

        Args:
            bodies: by id.

        Returns:
            The files that were written.
        """
        waiting = {one for path in self.pending() for one in _ids(path)}
        lines = [
            canonical_json({"custom_id": one, "method": "POST", "url": URL, "body": body}) + "\n"
            for one, body in bodies.items()
            if one not in waiting
        ]
        written = []
        last = max((int(path.stem.rpartition("-")[2]) for path in self.request_files()), default=0)
        for number, part in enumerate(_parts(lines), last + 1):
            path = self.folder / f"requests-{number:04d}.jsonl"
            write_atomically(path, "".join(part))
            written.append(path)
        return written

    def _note(self, path: Path, start: int, line: bytes) -> None:
        try:
            content = load_json(line)
        except Unreadable:
            content = None
        named = content.get("custom_id") if isinstance(content, dict) else None
        if not isinstance(named, str):
            self.unreadable += 1
            return
        response = content.get("response")
        good = isinstance(response, dict) and response.get("status_code") == 200 and not content.get("error")
        self.results.setdefault(named, []).append(Place(path, start, good))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file with their places; one that is too long is cut, and so no JSON."""
    with path.open("rb") as file:
        while True:
            start = file.tell()
            line = file.readline(MAX_BODY_BYTES)
            if not line:
                return
            while not line.endswith(b"\n") and len(line) == MAX_BODY_BYTES and (more := file.readline(MAX_BODY_BYTES)):
                if more.endswith(b"\n"):
                    break
            if line.strip():
                yield start, line


def _ids(path: Path) -> Iterator[str]:
    """The ids in a file of requests."""
    for _, line in _lines(path):
        try:
            content = load_json(line)
        except Unreadable as error:
            raise MinerError(f"{path}: a line is no request ({error}); delete the file") from error
        if isinstance(content, dict) and isinstance(content.get("custom_id"), str):
            yield content["custom_id"]


def _parts(lines: list[str]) -> Iterator[list[str]]:
    """The lines in groups of which each fits into a file."""
    part: list[str] = []
    size = 0
    for line in lines:
        taken = len(line.encode(errors="surrogatepass"))
        if part and (len(part) == MOST_REQUESTS or size + taken > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(line)
        size += taken
    if part:
        yield part


def count_requests(path: Path) -> int:
    """The number of requests in a file."""
    return sum(1 for _ in _ids(path))


def read_state(path: Path) -> dict[str, str]:
    """A small JSON file of texts by name; empty if it is missing.

    Raises:
        MinerError: it has another form.
    """
    if not path.is_file():
        return {}
    try:
        content = load_json(path.read_bytes())
    except Unreadable as error:
        raise MinerError(f"{path}: {error}; delete it") from error
    if not isinstance(content, dict) or not all(isinstance(value, str) for value in content.values()):
        raise MinerError(f"{path}: not of this program's form; delete it")
    return content


def write_state(path: Path, content: dict[str, str]) -> None:
    """Write what `read_state` reads."""
    write_atomically(path, json.dumps(content, indent=2) + "\n")
