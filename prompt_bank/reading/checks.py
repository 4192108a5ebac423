"""Checks that the schema cannot express: uniqueness, references, texts that fit into a prompt.

The checks read the parsed JSON, not the models, and skip values of the wrong type. So all problems of a file are
reported at once, even if it has type errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Any

from fedmpt.common.label_names import character_error, name_warning, syntax_trace
from fedmpt.common.words import fold, fold_loosely
from prompt_bank.errors import Problem
from prompt_bank.reading.locate import Place, format_place

TEMPLATE_FIELDS = ("{condition}", "{label}")
Content = dict[str, Any]
PlacedProblem = tuple[Place, Problem]
Texts = list[tuple[Place, str]]


def check(content: Content) -> list[PlacedProblem]:
    """All errors and warnings that the type check does not find, with their places."""
    return [
        *_prompt_texts(content),
        *_doubtful_names(content),
        *_uniqueness(content),
        *_references(content),
        *_affinities(content),
        *_control(content),
        *_template(content),
        *_similar_names(content),
        *_history(content),
    ]


def _problem(place: Place, message: str, warning: bool = False) -> PlacedProblem:
    return place, Problem(format_place(place), message, severity="warning" if warning else "error")


def _rows(content: Content, part: str) -> Iterator[tuple[Place, Content]]:
    """The objects in a list, with their places."""
    rows = content.get(part)
    for i, row in enumerate(rows if isinstance(rows, list) else ()):
        if isinstance(row, dict):
            yield (part, i), row


def _texts(content: Content, part: str, *fields: str) -> Texts:
    """The strings in some fields of a list of objects; a field may be a string or a list of strings."""
    found: Texts = []
    for place, row in _rows(content, part):
        for field in fields:
            value = row.get(field)
            if isinstance(value, str):
                found.append(((*place, field), value))
            elif isinstance(value, list):
                found += [((*place, field, j), text) for j, text in enumerate(value) if isinstance(text, str)]
    return found


def _prompt_texts(content: Content) -> Iterator[PlacedProblem]:
    """Texts that are inserted into prompts must be one line of printable text: labels, conditions, about."""
    about = [(("about",), content["about"])] if isinstance(content.get("about"), str) and content["about"] else []
    labels = _texts(content, "labels", "name", "aliases", "attributes")
    for place, text in [*labels, *_texts(content, "conditions", "text"), *about]:
        if not text.strip():
            yield _problem(place, "is empty")
        elif text != text.strip():
            yield _problem(place, f"{text!r} starts or ends with white space; remove it")
        if problem := character_error(text):
            yield _problem(place, problem)


def _doubtful_names(content: Content) -> Iterator[PlacedProblem]:
    """Warns of labels that look like a missing value, a number or a part of a file's syntax."""
    for place, text in _texts(content, "labels", "name", "aliases"):
        if text.strip() and (doubt := name_warning(text) or syntax_trace(text.strip())):
            yield _problem(place, doubt, warning=True)


def _uniqueness(content: Content) -> Iterator[PlacedProblem]:
    yield from _duplicates(((place, fold(text)) for place, text in _texts(content, "labels", "name")), "label")
    yield from _duplicates(_texts(content, "conditions", "id"), "condition id")
    in_use = {place for place, row in _rows(content, "conditions") if row.get("status") != "rejected"}
    texts = [(place, fold(text)) for place, text in _texts(content, "conditions", "text") if place[:2] in in_use]
    yield from _duplicates(texts, "condition")
    yield from _duplicates(_texts(content, "captions", "id"), "caption id")
    for at, (_, row) in enumerate(_rows(content, "conditions")):
        yield from _duplicates(((("conditions", at, *place), fold(value)) for place, value in _values(row)), "value")
    for _, own in groupby(_texts(content, "labels", "attributes"), key=lambda found: found[0][:2]):
        yield from _duplicates(((place, fold(text)) for place, text in own), "attribute")


def _duplicates(values: Iterable[tuple[Place, str]], what: str) -> Iterator[PlacedProblem]:
    first: dict[str, Place] = {}
    for place, value in values:
        if value in first:
            yield _problem(place, f"the {what} '{value}' is already used at {format_place(first[value])}")
        first.setdefault(value, place)


def _references(content: Content) -> Iterator[PlacedProblem]:
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


def _affinities(content: Content) -> Iterator[PlacedProblem]:
    """Each row belongs to a label and has one number per value; each correction refers to a distinct, existing cell."""
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
                yield _problem((*place, "corrected", i), f"'{label}' under '{value}' is already corrected")
            seen.add((str(label), str(value)))


def _control(content: Content) -> Iterator[PlacedProblem]:
    provenance = content.get("provenance")
    control = provenance.get("control") if isinstance(provenance, dict) else None
    rows = control.get("rows") if isinstance(control, dict) else None
    if not isinstance(rows, dict):
        return
    for label, numbers in rows.items():
        if isinstance(numbers, list) and len(numbers) != len(rows):
            place: Place = ("provenance", "control", "rows", label)
            yield _problem(place, f"has {len(numbers)} numbers, but there are {len(rows)} rows")


def _template(content: Content) -> Iterator[PlacedProblem]:
    prompt = content.get("prompt")
    template = prompt.get("template") if isinstance(prompt, dict) else None
    if not isinstance(template, str):
        return
    place: Place = ("prompt", "template")
    for field in TEMPLATE_FIELDS:
        if template.count(field) != 1:
            yield _problem(place, f"has {field} {template.count(field)} times; it must occur once")
    for other in re.findall(
        r"\{[^{}]*\}?|\}", template.replace(TEMPLATE_FIELDS[0], "").replace(TEMPLATE_FIELDS[1], "")
    ):
        yield _problem(place, f"'{other}' is not a field; only {{condition}} and {{label}} are")
    if all(template.count(field) == 1 for field in TEMPLATE_FIELDS) and template.index(
        TEMPLATE_FIELDS[0]
    ) > template.index(TEMPLATE_FIELDS[1]):
        yield _problem(place, "{condition} must come before {label}")


def _similar_names(content: Content) -> Iterator[PlacedProblem]:
    """Warns of names that differ only in plural or punctuation, and of aliases that are the name of another label."""
    yield from _similar_texts(_texts(content, "labels", "name"), "label")
    yield from _similar_texts(_texts(content, "conditions", "text"), "condition")
    names = {fold(text): place for place, text in _texts(content, "labels", "name")}
    for place, alias in _texts(content, "labels", "aliases"):
        owner = names.get(fold(alias))
        if owner is not None and owner[:2] != place[:2]:
            yield _problem(place, f"'{alias}' is also the name of the label at {format_place(owner[:2])}", warning=True)


def _similar_texts(texts: Texts, what: str) -> Iterator[PlacedProblem]:
    seen: dict[str, str] = {}
    for place, text in texts:
        other = seen.setdefault(fold_loosely(text), text)
        if fold(other) != fold(text):
            yield _problem(place, f"'{text}' is similar to '{other}'; is it the same {what}?", warning=True)


def _history(content: Content) -> Iterator[PlacedProblem]:
    """Revisions must be numbered 1, 2, 3 …; git may have merged two histories."""
    for (_, i), row in _rows(content, "history"):
        if isinstance(row.get("revision"), int) and row["revision"] != int(i) + 1:
            message = f"is {row['revision']}, but it is entry {int(i) + 1} of the history"
            yield _problem(("history", i, "revision"), message, warning=True)
