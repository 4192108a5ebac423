"""The answer cache: every answer that a model gave, by everything that went on the wire to get it.

Kept by diskcache, through a Disk that only knows text: nothing in it is ever unpickled. Nothing is evicted. A row is
the sha256 of its JSON, and the JSON; its tag says which endpoint, model and stage it belongs to, so that counting reads
no rows. A row that is damaged counts as missing.
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

from condition_miner.answers.records import Answer, DamagedRow, Failure, Origin, Question, canonical, packed, unpacked
from condition_miner.errors import MinerError, MiningFailed

_WITHOUT_LIMIT = 2**62
_FAILED = "failed"
"""Tag, and beginning of the key, of rows that say why a question has no answer."""


class _TextDisk(diskcache.Disk):
    """Stores text as text; a row of any other kind, a pickle above all, is refused and never read."""

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
    """Answers on the disk.

    Args:
        folder: the cache folder; answers go into its `answers` folder.

    Attributes:
        damaged: keys of the damaged rows that were met so far.

    Raises:
        MinerError: where it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "answers"
        self.damaged: list[str] = []
        try:
            self._cache = diskcache.Cache(
                str(self.folder),
                disk=_TextDisk,
                eviction_policy="none",
                size_limit=_WITHOUT_LIMIT,
                cull_limit=0,
                tag_index=True,
                sqlite_mmap_size=0,  # a file that is cut off while it is mapped would end the process
            )
            self._failed = {key for (key,) in self._select("SELECT key FROM Cache WHERE tag = ?", _FAILED)}
        except Exception as error:  # diskcache raises sqlite3's own, for a folder and for a file that is no database
            raise MinerError(f"{self.folder}: cannot be used as an answer cache ({error}); name another") from error

    def __enter__(self) -> AnswerCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._cache.close()

    def __len__(self) -> int:
        return sum(self.counts().values())

    def get(self, question: Question) -> Answer | None:
        """The answer to a question; None where there is none, or where its row is damaged.

        Raises:
            MiningFailed: the cache cannot be read.
        """
        key = question.key
        try:
            with self._reported():
                text = self._cache.get(key)
            return None if text is None else unpacked(text)[1]
        except DamagedRow:
            self.damaged.append(key)
            return None

    def put(self, question: Question, answer: Answer) -> None:
        """Keep an answer; once this returns, ending the process loses nothing of it.

        Raises:
            MiningFailed: the cache cannot be written.
        """
        origin = Origin(question.endpoint, str(question.body.get("model")), question.stage)
        with self._reported():
            self._cache.set(question.key, packed(question, answer), tag=canonical(origin))
        self.forget(question)

    def fail(self, question: Question, reason: str, requests: int, at: str) -> None:
        """Keep why a question has no answer, until there is one.

        Raises:
            MiningFailed: the cache cannot be written.
        """
        key = question.key
        failure = Failure(key, question.stage, str(question.body.get("model")), reason, requests, at)
        with self._reported():
            self._cache.set(f"{_FAILED}:{key}", canonical(failure.__dict__), tag=_FAILED)
        self._failed.add(f"{_FAILED}:{key}")

    def forget(self, question: Question) -> None:
        """Forget that a question failed."""
        self._forget(question.key)

    def failure(self, question: Question) -> Failure | None:
        """Why a question has no answer, if that is known."""
        key = f"{_FAILED}:{question.key}"
        return self._failure(key) if key in self._failed else None

    def failures(self) -> list[Failure]:
        """All of them, by stage and key."""
        found = [self._failure(key) for key in self._failed]
        return sorted((f for f in found if f), key=lambda f: (f.stage, f.key))

    def answer_keys(self) -> list[str]:
        """Of all rows that hold answers, sorted; the rows aren't read."""
        with self._reported():
            return sorted(str(key) for (key,) in self._select("SELECT key FROM Cache WHERE tag IS NOT ?", _FAILED))

    def row(self, key: str) -> tuple[Question, Answer]:
        """A question and its answer.

        Raises:
            DamagedRow: it is not what was written, or not under its key.
            KeyError: there is none.
        """
        with self._reported():
            question, answer = unpacked(self._cache[key])
        if question.key != key:
            raise DamagedRow("the question is another one than its key says")
        return question, answer

    def counts(self) -> dict[Origin, int]:
        """How many answers there are of whom, to which stage."""
        with self._reported():
            rows = self._select("SELECT tag, COUNT(*) FROM Cache WHERE tag IS NOT ? GROUP BY tag", _FAILED)
        counted: dict[Origin, int] = {}
        for tag, count in rows:
            origin = _origin(tag)
            counted[origin] = counted.get(origin, 0) + count
        return dict(sorted(counted.items()))

    def origins(self) -> list[tuple[str, str]]:
        """The (endpoint, model) pairs that answered, most answers first."""
        counted: dict[tuple[str, str], int] = {}
        for origin, count in self.counts().items():
            counted[origin[:2]] = counted.get(origin[:2], 0) + count
        return sorted(counted, key=lambda pair: (-counted[pair], pair))

    def clear(self, wanted: Callable[[Origin], bool]) -> int:
        """Delete the answers of the origins that are wanted, and what failed there.

        Returns:
            How many answers.
        """
        with self._reported():
            tags = [tag for (tag,) in self._select("SELECT DISTINCT tag FROM Cache WHERE tag IS NOT ?", _FAILED)]
            count = sum(self._cache.evict(tag) for tag in tags if wanted(_origin(tag)))
            for failure in self.failures():
                if wanted(Origin("", failure.model, failure.stage)):
                    self._forget(failure.key)
        return count

    def drop(self, key: str) -> None:
        """Delete a row."""
        with self._reported():
            self._cache.delete(key)

    def _failure(self, key: str) -> Failure | None:
        try:
            with self._reported():
                return Failure(**json.loads(self._cache[key]))
        except (DamagedRow, KeyError, ValueError, TypeError):
            return None

    def _forget(self, key: str) -> None:
        failed = f"{_FAILED}:{key}"
        if failed in self._failed:
            self.drop(failed)
            self._failed.discard(failed)

    def _select(self, query: str, *values: str) -> list[Any]:
        with closing(sqlite3.connect(self.folder / "cache.db", timeout=60)) as database:
            return database.execute(query, values).fetchall()

    @contextmanager
    def _reported(self) -> Iterator[None]:
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
