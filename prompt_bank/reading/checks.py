"""What the schema cannot say: uniqueness, references, texts that fit into a prompt.

The checks read the parsed JSON, not the models, and pass over what has the wrong type: so a file with a mistake of
type still gets every other problem named at once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Any

from fedmpt.common.words import BIDI_CONTROLS, fold, fold_loosely
from prompt_bank.errors import Problem
from prompt_bank.reading.locate import Place, written

FIELDS = ("{condition}", "{label}")
Content = dict[str, Any]
Found = tuple[Place, Problem]
Texts = list[tuple[Place, str]]


def check(content: Content) -> list[Found]:
    """Every problem of a bank's content that its types don't show, with its place; errors and warnings."""
    return [
        *_words(content),
        *_unique(content),
        *_references(content),
        *_affinities(content),
        *_control(content),
        *_template(content),
        *_near_duplicates(content),
        *_history(content),
    ]


def _problem(place: Place, message: str, warning: bool = False) -> Found:
    return place, Problem(written(place), message, severity="warning" if warning else "error")


def _rows(content: Content, part: str) -> Iterator[tuple[Place, Content]]:
    """The objects of a list of objects."""
    rows = content.get(part)
    for i, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, dict):
            yield (part, i), row


def _texts(content: Content, part: str, *fields: str) -> Texts:
    """The texts that stand in some fields of a list of objects; a field may hold one text or a list of them."""
    found: Texts = []
    for place, row in _rows(content, part):
        for field in fields:
            value = row.get(field)
            if isinstance(value, str):
                found.append(((*place, field), value))
            elif isinstance(value, list):
                found += [((*place, field, j), text) for j, text in enumerate(value) if isinstance(text, str)]
    return found


def _words(content: Content) -> Iterator[Found]:
    """Labels and conditions stand in prompts, and what the images are in messages: one line of printable text."""
    about = [(("about",), content["about"])] if isinstance(content.get("about"), str) and content["about"] else []
    for place, text in [*_texts(content, "labels", "name", "aliases"), *_texts(content, "conditions", "text"), *about]:
        if not text.strip():
            yield _problem(place, "is empty")
        elif text != text.strip():
            yield _problem(place, f"{text!r} begins or ends with white space; remove it")
        if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") or sign in BIDI_CONTROLS for sign in text):
            yield _problem(place, f"{text!r} has a line break or another control character; remove it")


def _unique(content: Content) -> Iterator[Found]:
    yield from _once(((place, fold(text)) for place, text in _texts(content, "labels", "name")), "label")
    yield from _once(_texts(content, "conditions", "id"), "condition id")
    in_use = {place for place, row in _rows(content, "conditions") if row.get("status") != "rejected"}
    texts = [(place, fold(text)) for place, text in _texts(content, "conditions", "text") if place[:2] in in_use]
    yield from _once(texts, "condition")
    yield from _once(_texts(content, "captions", "id"), "caption id")
    for at, (_, row) in enumerate(_rows(content, "conditions")):
        yield from _once(((("conditions", at, *place), fold(value)) for place, value in _values(row)), "value")


def _once(values: Iterable[tuple[Place, str]], what: str) -> Iterator[Found]:
    first: dict[str, Place] = {}
    for place, value in values:
        if value in first:
            yield _problem(place, f"the {what} '{value}' stands at {written(first[value])} already")
        first.setdefault(value, place)


def _references(content: Content) -> Iterator[Found]:
    there = {
        "label": {text for _, text in _texts(content, "labels", "name")},
        "condition": {text for _, text in _texts(content, "conditions", "id")},
        "caption": {text for _, text in _texts(content, "captions", "id")},
    }
    uses = [
        ("caption", _texts(content, "conditions", "evidence") + _texts(content, "dependencies", "evidence")),
        ("label", _texts(content, "dependencies", "labels") + _texts(content, "captions", "labels")),
        ("condition", _texts(content, "dependencies", "conditions")),
    ]
    for what, used in uses:
        for place, name in used:
            if name not in there[what]:
                yield _problem(place, f"there is no {what} '{name}'")


def _values(condition: Content) -> Texts:
    values = condition.get("values")
    listed = values if isinstance(values, list) else []
    return [(("values", i), value) for i, value in enumerate(listed) if isinstance(value, str)]


def _affinities(content: Content) -> Iterator[Found]:
    """Rows belong to labels and have a number for each value; what was corrected is a cell that is there, once."""
    labels = {text for _, text in _texts(content, "labels", "name")}
    for (part, at), condition in _rows(content, "conditions"):
        affinity = condition.get("affinity")
        rows = affinity.get("rows") if isinstance(affinity, dict) else None
        if not isinstance(affinity, dict) or not isinstance(rows, dict):
            continue
        place: Place = (part, at, "affinity")
        values = [value for _, value in _values(condition)]
        for label, numbers in rows.items():
            if label not in labels:
                yield _problem((*place, "rows", label), f"there is no label '{label}'")
            elif isinstance(numbers, list) and len(numbers) != len(values):
                message = f"has {len(numbers)} numbers, but the condition has {len(values)} values"
                yield _problem((*place, "rows", label), message)
        seen: set[tuple[Any, Any]] = set()
        for (_, i), cell in _rows(affinity, "corrected"):
            label, value = cell.get("label"), cell.get("value")
            if isinstance(label, str) and label not in rows:
                yield _problem((*place, "corrected", i, "label"), f"'{label}' has no row")
            if isinstance(value, str) and value not in values:
                yield _problem((*place, "corrected", i, "value"), f"the condition has no value '{value}'")
            if isinstance(label, str) and isinstance(value, str) and (label, value) in seen:
                yield _problem((*place, "corrected", i), f"'{label}' under '{value}' is corrected already")
            seen.add((str(label), str(value)))


def _control(content: Content) -> Iterator[Found]:
    provenance = content.get("provenance")
    control = provenance.get("control") if isinstance(provenance, dict) else None
    rows = control.get("rows") if isinstance(control, dict) else None
    if not isinstance(rows, dict):
        return
    for label, numbers in rows.items():
        if isinstance(numbers, list) and len(numbers) != len(rows):
            place: Place = ("provenance", "control", "rows", label)
            yield _problem(place, f"has {len(numbers)} numbers, but there are {len(rows)} rows")


def _template(content: Content) -> Iterator[Found]:
    prompt = content.get("prompt")
    template = prompt.get("template") if isinstance(prompt, dict) else None
    if not isinstance(template, str):
        return
    place: Place = ("prompt", "template")
    for field in FIELDS:
        if template.count(field) != 1:
            yield _problem(place, f"has {field} {template.count(field)} times; it must stand there once")
    for other in re.findall(r"\{[^{}]*\}?|\}", template.replace(FIELDS[0], "").replace(FIELDS[1], "")):
        yield _problem(place, f"'{other}' is not a field; only {{condition}} and {{label}} are")
    if all(template.count(field) == 1 for field in FIELDS) and template.index(FIELDS[0]) > template.index(FIELDS[1]):
        yield _problem(place, "{condition} must stand before {label}")


def _near_duplicates(content: Content) -> Iterator[Found]:
    """Names that differ in a plural or in punctuation alone, and aliases that name another label."""
    yield from _nearly(_texts(content, "labels", "name"), "label")
    yield from _nearly(_texts(content, "conditions", "text"), "condition")
    names = {fold(text): place for place, text in _texts(content, "labels", "name")}
    for place, alias in _texts(content, "labels", "aliases"):
        owner = names.get(fold(alias))
        if owner is not None and owner[:2] != place[:2]:
            yield _problem(place, f"'{alias}' is also the name at {written(owner)}", warning=True)


def _nearly(texts: Texts, what: str) -> Iterator[Found]:
    seen: dict[str, str] = {}
    for place, text in texts:
        other = seen.setdefault(fold_loosely(text), text)
        if fold(other) != fold(text):
            yield _problem(place, f"'{text}' is nearly '{other}'; is it the same {what}?", warning=True)


def _history(content: Content) -> Iterator[Found]:
    """The recorded revisions count 1, 2, 3 …; a merge of two people's files may have mixed them."""
    for (_, i), row in _rows(content, "history"):
        if isinstance(row.get("revision"), int) and row["revision"] != int(i) + 1:
            message = f"is {row['revision']}, but it is entry {int(i) + 1} of the history"
            yield _problem(("history", i, "revision"), message, warning=True)
