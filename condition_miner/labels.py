"""Labels from a text file: one a line, aliases behind commas, comments behind #."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from condition_miner.errors import MinerError
from prompt_bank.checks import fold
from prompt_bank.schema import Label

LONGEST = 100
"""Characters of a label."""


@dataclass(frozen=True)
class LabelFile:
    """What was read.

    Attributes:
        labels: in the file's order.
        warnings: doubts, one a line.
    """

    labels: tuple[Label, ...]
    warnings: tuple[str, ...]


def read_labels(path: Path) -> LabelFile:
    """Read a label file.

    Raises:
        MinerError: missing, not UTF-8, empty, or with lines that can't be labels; all of them at once.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise MinerError(f"{path}: there is no such label file") from error
    except UnicodeDecodeError as error:
        raise MinerError(f"{path}: not UTF-8; save the file as UTF-8") from error
    except OSError as error:
        raise MinerError(f"{path}: cannot be read ({error.strerror})") from error
    labels: list[Label] = []
    problems: list[str] = []
    first: dict[str, int] = {}
    # Not splitlines(): it would also break at separators that are control characters inside a label.
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        names = [part.strip() for part in line.split("#", 1)[0].split(",")]
        if not any(names):
            continue
        found = [problem for name in names if (problem := _wrong(name))]
        for name in dict.fromkeys(fold(name) for name in names if name):
            if name in first:
                found.append(f"'{name}' stands on line {first[name]} already")
            first.setdefault(name, number)
        problems += [f"{path}, line {number}: {problem}" for problem in found]
        if not found:
            labels.append(Label(name=names[0], aliases=tuple(names[1:])))
    if problems:
        raise MinerError("\n".join(problems))
    if not labels:
        raise MinerError(f"{path}: no labels; write one a line")
    return LabelFile(tuple(labels), tuple(_nearly_equal(path, labels)))


def _wrong(name: str) -> str | None:
    if not name:
        return "an empty name beside a comma; remove the comma or write the name"
    if len(name) > LONGEST:
        return f"a label of {len(name)} characters; {LONGEST} are allowed"
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in name):
        return f"{name!r} has a control character; remove it"
    return None


def _nearly_equal(path: Path, labels: list[Label]) -> list[str]:
    seen: dict[str, str] = {}
    warnings = []
    for label in labels:
        key = re.sub(r"[\W_]+", "", fold(label.name)).removesuffix("s")
        if key and key in seen:
            warnings.append(f"{path}: '{label.name}' is nearly '{seen[key]}'; is it the same label?")
        seen.setdefault(key, label.name)
    return warnings
