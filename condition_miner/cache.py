"""The answer cache: every answer that a model gave, by everything that went on the wire to get it.

Kept by diskcache, through a Disk that only knows text: nothing in it is ever unpickled. Nothing is evicted.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import diskcache
from diskcache.core import MODE_RAW

from condition_miner.errors import MinerError

LOOPBACK = ("localhost", "127.0.0.1", "::1")
LOCAL = "local"
"""Identity of any endpoint on this machine: which port a server happens to have changes no answer."""

_WITHOUT_LIMIT = 2**62


class _TextDisk(diskcache.Disk):
    """Stores text as text; a row of any other kind, a pickle above all, is refused and never read."""

    def put(self, key: Any) -> tuple[Any, bool]:
        return _text(key), True

    def get(self, key: Any, raw: bool) -> Any:
        if not raw:
            raise MinerError("the answer cache has a key that is not text; it was tampered with, delete it")
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, str]:
        return 0, MODE_RAW, None, _text(value)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> Any:
        if mode != MODE_RAW or not isinstance(value, str):
            raise MinerError("the answer cache has a row that is not text; it was tampered with, delete it")
        return value


@dataclass(frozen=True)
class Question:
    """A request as it goes on the wire, and what else its answer depends on.

    Attributes:
        stage: "describe", "abstract" or "attribute".
        endpoint: its identity, see `identity`.
        body: the JSON body.
        template: hash of the templates that the messages came from.
        sample: tells apart questions that are asked several times.
    """

    stage: str
    endpoint: str
    body: dict[str, Any]
    template: str
    sample: int = 0

    @property
    def key(self) -> str:
        """sha256 over the canonical JSON of everything above."""
        return hashlib.sha256(_canonical(self.__dict__).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """An answer that was found valid.

    Attributes:
        text: as it came.
        finish_reason: why the model stopped.
        tokens_in, tokens_out: all attempts together.
        requests: how many attempts there were.
        at: UTC.
    """

    text: str
    finish_reason: str
    tokens_in: int
    tokens_out: int
    requests: int
    at: str


class AnswerCache:
    """Answers on the disk.

    Args:
        folder: the cache folder; answers go into its `answers` folder.

    Raises:
        MinerError: where it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "answers"
        try:
            self._cache = diskcache.Cache(
                str(self.folder), disk=_TextDisk, eviction_policy="none", size_limit=_WITHOUT_LIMIT, cull_limit=0
            )
        except Exception as error:  # diskcache raises sqlite3's own, for a folder and for a file that is no database
            raise MinerError(f"{self.folder}: cannot be used as an answer cache ({error})") from error

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._cache.close()

    def __len__(self) -> int:
        return len(self._cache)

    def get(self, question: Question) -> Answer | None:
        """The answer to a question, None where there is none."""
        text = self._cache.get(question.key)
        return None if text is None else _row(text)[1]

    def put(self, question: Question, answer: Answer) -> None:
        """Keep an answer; on the disk when this returns."""
        self._cache.set(question.key, _canonical({"question": question.__dict__, "answer": answer.__dict__}))

    def rows(self) -> Iterator[tuple[Question, Answer]]:
        """Everything, by key."""
        for key in sorted(self._cache.iterkeys()):
            yield _row(self._cache[key])

    def origins(self) -> list[tuple[str, str]]:
        """The (endpoint, model) pairs that answered, most answers first."""
        counted: dict[tuple[str, str], int] = {}
        for question, _ in self.rows():
            origin = (question.endpoint, str(question.body.get("model")))
            counted[origin] = counted.get(origin, 0) + 1
        return sorted(counted, key=lambda origin: (-counted[origin], origin))


def identity(base_url: str) -> str:
    """What names an endpoint in keys and in a bank: "local", or scheme, host, port and path, without credentials.

    Raises:
        MinerError: not an http(s) address.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MinerError(f"--base-url {parts.scheme}://…: write http://HOST:PORT/v1 or https://HOST/v1")
    if parts.hostname in LOOPBACK:
        return LOCAL
    host = parts.hostname + (f":{parts.port}" if parts.port else "")
    return f"{parts.scheme}://{host}{parts.path.rstrip('/')}"


def export_answers(cache: AnswerCache, path: Path) -> int:
    """Write all answers, one JSON a line, gzipped where the name ends so; the same cache gives the same bytes.

    Returns:
        How many.
    """
    lines = [_canonical({"question": q.__dict__, "answer": a.__dict__}) for q, a in cache.rows()]
    content = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return len(lines)


def import_answers(cache: AnswerCache, path: Path) -> int:
    """Add the answers of an export; every line is checked before the first is added.

    Raises:
        MinerError: unreadable, or with lines that are no answers; says which.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise MinerError(f"{path}: cannot be read ({error})") from error
    rows, bad = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            rows.append(_row(line))
        except MinerError as error:
            bad.append(f"{path}, line {number}: {error}")
    if bad:
        raise MinerError("\n".join(bad))
    for question, answer in rows:
        cache.put(question, answer)
    return len(rows)


def _row(text: str) -> tuple[Question, Answer]:
    try:
        content = json.loads(text)
        question, answer = Question(**content["question"]), Answer(**content["answer"])
    except (ValueError, TypeError, KeyError) as error:
        raise MinerError("not an answer of this cache's form") from error
    typed = all(isinstance(v, str) for v in (question.stage, question.endpoint, question.template, answer.text))
    if not typed or not isinstance(question.body, dict):
        raise MinerError("not an answer of this cache's form")
    return question, answer


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"the answer cache holds text, not {type(value).__name__}")
    return value
