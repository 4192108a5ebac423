"""The answer cache. The cache key covers the whole request, so an answer is reused only for the same request.

It is a diskcache whose Disk stores text only: nothing in it is ever unpickled. Nothing is evicted. A row is JSON,
preceded by its SHA-256; its tag names endpoint, model and stage, so that counting reads no rows. A damaged row counts
as missing.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import diskcache
from diskcache.core import MODE_RAW

from condition_miner.answers.records import (
    Answer,
    DamagedRow,
    Failure,
    Origin,
    Question,
    canonical_json,
    pack_row,
    unpack_row,
)
from condition_miner.errors import MinerError, MiningFailed

_NO_SIZE_LIMIT = 2**62
_FAILED = "failed"
"""Tag and key prefix of rows that hold a Failure."""


class _TextDisk(diskcache.Disk):
    """Stores text only. Rows of any other kind, pickles above all, are never read."""

    def put(self, key: Any) -> tuple[Any, bool]:
        return _text(key), True

    def get(self, key: Any, raw: bool) -> Any:
        if not raw or not isinstance(key, str):
            raise DamagedRow("a key that is not text")
        return key

    def store(self, value: Any, read: bool, key: Any = None) -> tuple[int, int, None, str]:
        return 0, MODE_RAW, None, _text(value)

    def fetch(self, mode: int, filename: Any, value: Any, read: bool) -> Any:
        if mode != MODE_RAW or not isinstance(value, str):
            raise DamagedRow("not text; it may have been tampered with")
        return value


class AnswerCache:
    """Answers and failures on disk; a context manager.

    Args:
        folder: the cache folder; answers are kept in its subfolder `answers`.

    Attributes:
        damaged: keys of the damaged rows found so far.

    Raises:
        MinerError: the cache cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "answers"
        self.damaged: list[str] = []
        try:
            self._cache = diskcache.Cache(
                str(self.folder),
                disk=_TextDisk,
                eviction_policy="none",
                size_limit=_NO_SIZE_LIMIT,
                cull_limit=0,
                tag_index=True,
                sqlite_mmap_size=0,  # truncating a mapped file would kill the process
            )
            self._failed = {key for (key,) in self._select("SELECT key FROM Cache WHERE tag = ?", _FAILED)}
        except Exception as error:  # diskcache passes on sqlite3's errors, of several types
            raise MinerError(f"{self.folder}: cannot be used as an answer cache ({error}); name another") from error

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._cache.close()

    def __len__(self) -> int:
        return sum(self.counts().values())

    def get(self, question: Question) -> Answer | None:
        """The cached answer; None if there is none or if its row is damaged.

        Raises:
            MiningFailed: the cache cannot be read.
        """
        key = question.cache_key
        try:
            with self._errors_explained():
                text = self._cache.get(key)
            return None if text is None else unpack_row(text)[1]
        except DamagedRow:
            self.damaged.append(key)
            return None

    def put(self, question: Question, answer: Answer) -> None:
        """Store an answer and delete the question's failure. Once this returns, it survives the end of the process.

        Raises:
            MiningFailed: the cache cannot be written.
        """
        origin = Origin(question.endpoint, str(question.body.get("model")), question.stage)
        with self._errors_explained():
            self._cache.set(question.cache_key, pack_row(question, answer), tag=canonical_json(origin))
        self.forget_failure(question)

    def put_failure(self, question: Question, reason: str, requests: int, at: str) -> None:
        """Store why a question has no answer.

        Raises:
            MiningFailed: the cache cannot be written.
        """
        key = question.cache_key
        failure = Failure(key, question.stage, str(question.body.get("model")), reason, requests, at)
        with self._errors_explained():
            self._cache.set(f"{_FAILED}:{key}", canonical_json(failure.__dict__), tag=_FAILED)
        self._failed.add(f"{_FAILED}:{key}")

    def forget_failure(self, question: Question) -> None:
        """Delete the failure of a question, if there is one."""
        self._delete_failure(question.cache_key)

    def failure(self, question: Question) -> Failure | None:
        """The failure of a question; None if there is none."""
        key = f"{_FAILED}:{question.cache_key}"
        return self._failure(key) if key in self._failed else None

    def failures(self) -> list[Failure]:
        """All failures, sorted by stage and key."""
        found = [self._failure(key) for key in self._failed]
        return sorted((f for f in found if f), key=lambda f: (f.stage, f.key))

    def answer_keys(self) -> list[str]:
        """The sorted keys of all answers. The rows themselves are not read."""
        with self._errors_explained():
            return sorted(str(key) for (key,) in self._select("SELECT key FROM Cache WHERE tag IS NOT ?", _FAILED))

    def row(self, key: str) -> tuple[Question, Answer]:
        """The question and the answer of a key.

        Raises:
            DamagedRow: the row is damaged, or belongs to another key.
            KeyError: there is no such row.
        """
        with self._errors_explained():
            question, answer = unpack_row(self._cache[key])
        if question.cache_key != key:
            raise DamagedRow("the question is another one than its key says")
        return question, answer

    def counts(self) -> dict[Origin, int]:
        """The number of answers of each origin."""
        with self._errors_explained():
            rows = self._select("SELECT tag, COUNT(*) FROM Cache WHERE tag IS NOT ? GROUP BY tag", _FAILED)
        counted: dict[Origin, int] = {}
        for tag, count in rows:
            origin = _origin(tag)
            counted[origin] = counted.get(origin, 0) + count
        return dict(sorted(counted.items()))

    def origins(self) -> list[tuple[str, str]]:
        """The (endpoint, model) pairs in the cache, those with most answers first."""
        counted: dict[tuple[str, str], int] = {}
        for origin, count in self.counts().items():
            counted[origin[:2]] = counted.get(origin[:2], 0) + count
        return sorted(counted, key=lambda pair: (-counted[pair], pair))

    def clear(self, wanted: Callable[[Origin], bool]) -> int:
        """Delete the answers and failures of the origins for which `wanted` is true.

        Returns:
            The number of deleted answers.
        """
        with self._errors_explained():
            tags = [tag for (tag,) in self._select("SELECT DISTINCT tag FROM Cache WHERE tag IS NOT ?", _FAILED)]
            count = sum(self._cache.evict(tag) for tag in tags if wanted(_origin(tag)))
            for failure in self.failures():
                if wanted(Origin("", failure.model, failure.stage)):
                    self._delete_failure(failure.key)
        return count

    def delete(self, key: str) -> None:
        """Delete a row."""
        with self._errors_explained():
            self._cache.delete(key)

    def _failure(self, key: str) -> Failure | None:
        try:
            with self._errors_explained():
                return Failure(**json.loads(self._cache[key]))
        except (DamagedRow, KeyError, ValueError, TypeError):
            return None

    def _delete_failure(self, key: str) -> None:
        failed = f"{_FAILED}:{key}"
        if failed in self._failed:
            self.delete(failed)
            self._failed.discard(failed)

    def _select(self, query: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "cache.db", timeout=60)) as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def _errors_explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            if "malformed" in str(error) or "not a database" in str(error):
                advice = "rescue what is readable (fedmpt cache export FILE) and import it into another --cache-dir"
                raise MiningFailed(f"{self.folder}: the cache file is damaged ({error}); {advice}") from error
            raise MiningFailed(
                f"{self.folder}: the answer cache cannot be used ({error}); "
                "the answers so far are kept; make room or the folder writable, and run the same command again"
            ) from error
        except (diskcache.Timeout, OSError) as error:
            reason = str(error) or "another process holds it"
            raise MiningFailed(f"{self.folder}: the answer cache cannot be used ({reason})") from error


def _origin(tag: Any) -> Origin:
    try:
        return Origin(*json.loads(tag))
    except (ValueError, TypeError):
        return Origin("unknown", "unknown", "unknown")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"the answer cache holds text, not {type(value).__name__}")
    return value
