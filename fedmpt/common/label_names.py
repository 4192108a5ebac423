"""What a label's name may be; the one place that decides it, for label files, tables, annotations and banks.

Errors make a name unusable. Traces of a file's own syntax (brackets, quotes, numbering) are errors where anything on a
line would become a name, and warnings where the file says that it is one, as a JSON string does.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from fedmpt.common.words import BIDI_CONTROLS, fold, fold_loosely

MAX_LABEL_CHARACTERS = 100
"""The longest label name."""

_PAIRS = {"[": "]", "{": "}", "(": ")"}
_QUOTES = "'\"`"
_MARK = re.compile(r"[-*+•·] |\||//|</?[A-Za-z!]|<!--|\.\.\. ")
"""What starts an item of a list, a row of a table, or an element of XML."""
_NUMBERING = re.compile(r"(\d+)\s*[:.)\]]\s+\S|\(\d+\)\s+\S|n\d{8}\b|\w+:\s")
_MISSING = frozenset({"nan", "none", "null", "n/a", "na", "<na>", "nil", "undefined"})


def name_error(name: str) -> str | None:
    """Why no label can have this name: it is empty, too long, or has control characters; None if one can."""
    if not name.strip():
        return "an empty name; remove it or write the name"
    if len(name) > MAX_LABEL_CHARACTERS:
        return f"a label of {len(name)} characters; {MAX_LABEL_CHARACTERS} are allowed"
    return character_error(name)


def character_error(text: str) -> str | None:
    """Why a text cannot be a line in a prompt or on a page: its control characters; None if it can."""
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text):
        return f"{text!r} has a control character or a line break; remove it"
    if any(sign in BIDI_CONTROLS for sign in text):
        return f"{text!r} has a bidirectional control character, so that it may look like another label; remove it"
    return None


def syntax_trace(name: str) -> str | None:
    """What in a name looks like the syntax of a file: brackets around it, quotes, a list's mark; None if nothing."""
    if any(name.count(opening) != name.count(closing) for opening, closing in _PAIRS.items()):
        return f"{name!r} has a bracket without its other half; is it part of a list?"
    if name[0] in "[{" or (name[0] in _PAIRS and closing_bracket(name) == len(name) - 1):
        return f"{name!r} starts with a bracket; write the name alone"
    if name[0] in _QUOTES and (name[0] == '"' or (len(name) > 1 and name[-1] == name[0])):
        return f"{name!r} is in quotes; write the name alone"
    if _MARK.match(name) or name.endswith((":", "{", "/>")):
        return f"{name!r} looks like a part of another file format; write one name a line"
    return None


def name_warning(name: str) -> str | None:
    """What is doubtful about a valid name; None if nothing is."""
    if any(unicodedata.category(sign) == "Cf" for sign in name):
        return f"{name!r} has an invisible character; is it intended?"
    if not any(sign.isalnum() for sign in name):
        return f"'{name}' has neither a letter nor a number; is it a label?"
    if name.casefold() in _MISSING:
        return f"'{name}' looks like a missing value; is it a label?"
    if re.fullmatch(r"[-+]?\d+([.,]\d+)?", name):
        return f"'{name}' is a number; is it a label's name, or its place in a list?"
    if _NUMBERING.match(name):
        return f"'{name}' starts like a numbered line or a field; is that part of the name?"
    return None


def check_names(entries: Sequence[tuple[str, tuple[str, ...]]], explicit: bool) -> tuple[list[str], list[str]]:
    """Check the names of labels and that no two are equal, ignoring case, white space and Unicode's forms.

    Args:
        entries: for each label its place, and its name followed by aliases.
        explicit: whether the file marks names as texts, so that traces of syntax are only doubtful.

    Returns:
        Problems and warnings, each with its place.
    """
    problems, warnings = [], []
    first: dict[str, str] = {}
    nearly: dict[str, str] = {}
    for place, names in entries:
        found = [problem for name in names if (problem := name_error(name) or (not explicit and syntax_trace(name)))]
        for name in dict.fromkeys(fold(name) for name in names if name.strip()):
            if name in first:
                found.append(f"'{name}' is already at {first[name]}")
            first.setdefault(name, place)
        problems += [f"{place}: {problem}" for problem in found]
        if not found:
            doubts = (doubt for name in names for doubt in (name_warning(name), explicit and syntax_trace(name)))
            warnings += [f"{place}: {doubt}" for doubt in doubts if doubt]
    for place, names in entries:
        other = nearly.setdefault(fold_loosely(names[0]), names[0])
        if fold(other) != fold(names[0]):
            warnings.append(f"{place}: '{names[0]}' is nearly '{other}'; is it the same label?")
    return problems, warnings


def space_doubts(names: set[str], separated: bool) -> list[str]:
    """A doubt about cells of names that no sign separates, but whose words occur in several cells.

    Args:
        names: the different cells of a column of lists.
        separated: whether a cell has a separator.
    """
    words = [set(name.split()) for name in sorted(names)[:500]]
    shared = {word for i, some in enumerate(words) for other in words[:i] for word in some & other}
    if separated or not shared:
        return []
    return [
        f"no cell has a separator, but several have the word '{min(shared)}'; "
        "if spaces separate the names, write ; instead of them"
    ]


def closing_bracket(text: str) -> int | None:
    """The index of the bracket that closes the one at the start of a text; None if nothing does."""
    depth = 0
    for at, sign in enumerate(text):
        depth += (sign == text[0]) - (sign == _PAIRS[text[0]])
        if not depth:
            return at
    return None
