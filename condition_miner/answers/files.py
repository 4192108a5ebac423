"""Cached answers as files, for another machine or beside a paper; and whether what is cached is whole."""

from __future__ import annotations

import gzip
import secrets
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.records import DamagedRow, read_row, row_text
from condition_miner.errors import MinerError, MiningFailed

LONGEST_LINE = 16 * 2**20
"""Bytes of a line of an export; no answer comes near."""
MOST_LISTED = 20
"""Bad lines that are listed."""


@dataclass(frozen=True)
class Damage:
    """A row that cannot be used: its key and what is wrong with it."""

    key: str
    problem: str


def export_answers(cache: AnswerCache, path: Path) -> tuple[int, list[Damage]]:
    """Write all answers, one JSON a line, gzipped where the name ends so; the same cache gives the same bytes.

    Returns:
        How many, and what could not be read.

    Raises:
        OSError: the file cannot be written; one that was there is untouched then.
    """
    damages: list[Damage] = []
    count = 0
    with _replacing(path) as file:
        for key in cache.answer_keys():
            try:
                question, answer = cache.row(key)
            except (DamagedRow, MiningFailed, KeyError) as error:
                damages.append(Damage(key, str(error)))
                continue
            file.write(row_text(question, answer).encode() + b"\n")
            count += 1
    return count, damages


def import_answers(cache: AnswerCache, path: Path) -> tuple[int, int]:
    """Add the answers of an export; every line is checked before the first is added, and no answer is replaced.

    Returns:
        How many were added, and how many were there already.

    Raises:
        MinerError: unreadable, or with lines that are no answers; says which.
    """
    bad: list[str] = []
    for number, line in _lines(path):
        try:
            read_row(line)
        except DamagedRow as error:
            bad.append(f"{path}, line {number}: {error}")
            if len(bad) == MOST_LISTED:
                bad.append(f"{path}: and perhaps more")
                break
    if bad:
        raise MinerError("\n".join(bad))
    added = there = 0
    for _, line in _lines(path):
        question, answer = read_row(line)
        if cache.get(question) is None:
            cache.put(question, answer)
            added += 1
        else:
            there += 1
    return added, there


def verify(cache: AnswerCache) -> tuple[int, list[Damage]]:
    """Read every row again: text, matching its checksum, an answer, under the key that its content has.

    Returns:
        How many are whole, and those that aren't.
    """
    damages: list[Damage] = []
    keys = cache.answer_keys()
    for key in keys:
        try:
            cache.row(key)
        except (DamagedRow, MiningFailed) as error:
            damages.append(Damage(key, str(error)))
        except KeyError:  # deleted in the meantime, or its key's own bytes are damaged
            damages.append(Damage(key, "it cannot be found by its key"))
    return len(keys) - len(damages), damages


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that aren't blank, with their numbers."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise MinerError(f"{path}, line {number}: longer than {LONGEST_LINE} bytes")
                if line.strip():
                    yield number, line.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise MinerError(f"{path}: cannot be read ({error})") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of another once it is whole."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as raw:
            if path.suffix == ".gz":
                with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
                    yield packed  # type: ignore[misc]
            else:
                yield raw
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
