"""Export, import and verification of the answer cache."""

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
from condition_miner.answers.records import DamagedRow, parse_row, row_json
from condition_miner.errors import MinerError, MiningFailed

MAX_LINE_BYTES = 16 * 2**20
"""The longest line of an export, in bytes; far longer than any answer."""
MAX_LISTED = 20
"""Invalid lines that an error lists."""


@dataclass(frozen=True)
class Damage:
    """A damaged row: its key, and what is wrong with it."""

    key: str
    problem: str


def export_answers(cache: AnswerCache, path: Path) -> tuple[int, list[Damage]]:
    """Write all answers as JSON lines, gzipped if the name ends in .gz. Equal caches give equal bytes.

    Returns:
        The number of answers, and the rows that could not be read.

    Raises:
        OSError: the file cannot be written; an existing one is unchanged.
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
            file.write(row_json(question, answer).encode() + b"\n")
            count += 1
    return count, damages


def import_answers(cache: AnswerCache, path: Path) -> tuple[int, int]:
    """Add the answers of an export, after all its lines were checked. Existing answers are kept.

    Returns:
        The number of added answers, and of answers that were in the cache already.

    Raises:
        MinerError: the file is unreadable or has invalid lines, which are listed; nothing was added.
    """
    bad: list[str] = []
    for number, line in _lines(path):
        try:
            parse_row(line)
        except DamagedRow as error:
            bad.append(f"{path}, line {number}: {error}")
            if len(bad) == MAX_LISTED:
                bad.append(f"{path}: and perhaps more")
                break
    if bad:
        raise MinerError("\n".join(bad))
    added = there = 0
    for _, line in _lines(path):
        question, answer = parse_row(line)
        if cache.get(question) is None:
            cache.put(question, answer)
            added += 1
        else:
            there += 1
    return added, there


def verify(cache: AnswerCache) -> tuple[int, list[Damage]]:
    """Read every row and check its checksum, its fields and its key.

    Returns:
        The number of valid rows, and the damaged ones.
    """
    damages: list[Damage] = []
    keys = cache.answer_keys()
    for key in keys:
        try:
            cache.row(key)
        except (DamagedRow, MiningFailed) as error:
            damages.append(Damage(key, str(error)))
        except KeyError:  # deleted meanwhile, or the bytes of the key are damaged
            damages.append(Damage(key, "it cannot be found by its key"))
    return len(keys) - len(damages), damages


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, with their numbers from 1."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            number = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise MinerError(f"{path}, line {number}: longer than {MAX_LINE_BYTES} bytes")
                if line.strip():
                    yield number, line.decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise MinerError(f"{path}: cannot be read ({error})") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file that replaces `path` when it has been written completely."""
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
