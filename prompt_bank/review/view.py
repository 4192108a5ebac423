"""A bank as JSON for the page, with the labels marked in each caption."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from fedmpt.common.words import fold
from prompt_bank.errors import Problem
from prompt_bank.schema import Bank, Caption, Condition, Label


def fixed_content(bank: Bank) -> dict[str, Any]:
    """The parts that the page cannot edit: names of labels, captions, prompt and provenance."""
    known = {label.name: label for label in bank.labels}
    return {
        "name": bank.name,
        "labels": [label.name for label in bank.labels],
        "captions": {caption.id: highlight_labels(caption, known) for caption in bank.captions},
        "template": bank.prompt.template,
        "about": bank.about,
        "model": bank.provenance.model if bank.provenance.requests else None,
        "created": bank.provenance.created,
        "last": bank.history[-1].model_dump(include={"revision", "at", "by", "did"}) if bank.history else None,
    }


def editable_content(bank: Bank) -> dict[str, Any]:
    """The parts that the page can edit. Of an affinity only its size; the page requests it when it is opened."""
    return {
        "conditions": [
            {**condition.model_dump(mode="json", exclude={"affinity"}), "matrix": _size(condition)}
            for condition in bank.conditions
        ],
        "dependencies": [dependency.model_dump(mode="json") for dependency in bank.dependencies],
        "attributes": _attributes(bank),
    }


def matrix(bank: Bank, condition: Condition) -> dict[str, Any]:
    """The affinity of a condition.

    Returns:
        labels: all labels of the bank; values; rows: for each label its numbers, or None if it has no row; corrected:
        for each correction [index of the label, index of the value, mined number, author]; asked: the readings as text.
    """
    labels = [label.name for label in bank.labels]
    affinity = condition.affinity
    corrected = affinity.corrected if affinity else ()
    return {
        "labels": labels,
        "values": condition.values,
        "rows": [affinity.rows.get(label) if affinity else None for label in labels],
        "corrected": [[labels.index(c.label), condition.values.index(c.value), c.mined, c.by] for c in corrected],
        "asked": [f"{reading.kind} by {reading.model}" for reading in (affinity.asked if affinity else ())],
    }


def _attributes(bank: Bank) -> list[dict[str, Any]]:
    """The labels' attributes; empty if no label has any."""
    if not any(label.attributes or label.attributes_edited for label in bank.labels):
        return []
    return [
        {"label": label.name, "attributes": label.attributes, "edited": label.attributes_edited}
        for label in bank.labels
    ]


def _size(condition: Condition) -> dict[str, int] | None:
    affinity = condition.affinity
    return {"labels": len(affinity.rows), "corrected": len(affinity.corrected)} if affinity else None


def highlight_labels(caption: Caption, labels: dict[str, Label]) -> dict[str, Any]:
    """A caption with its labels marked.

    Args:
        caption: the caption.
        labels: the bank's labels by name.

    Returns:
        labels; unnamed: the labels that do not occur in the text; pieces: the text in pieces, each with the label that
        it names, or None.
    """
    words = [(word, name) for name in caption.labels if name in labels for word in (name, *labels[name].aliases)]
    owner = {fold(word): name for word, name in words}
    pieces: list[dict[str, str | None]] = []
    at = 0
    for found in _pattern([word for word, _ in words]).finditer(caption.text) if words else ():
        if found.start() > at:
            pieces.append({"text": caption.text[at : found.start()], "label": None})
        pieces.append({"text": found.group(), "label": owner.get(fold(found.group("word")))})
        at = found.end()
    if at < len(caption.text):
        pieces.append({"text": caption.text[at:], "label": None})
    named = {piece["label"] for piece in pieces}
    return {
        "labels": caption.labels,
        "unnamed": [name for name in caption.labels if name not in named],
        "pieces": pieces,
    }


def problems_as_json(found: Sequence[Problem]) -> list[dict[str, str]]:
    """Problems as JSON for the page."""
    return [{"place": problem.place, "message": problem.message} for problem in found]


def _pattern(words: Sequence[str]) -> re.Pattern[str]:
    """Matches whole words, longest first: singular or plural, in any case and with any white space."""
    longest = sorted(words, key=len, reverse=True)
    spaced = (r"\s+".join(re.escape(part) for part in word.split()) for word in longest)
    return re.compile(rf"(?<!\w)(?P<word>{'|'.join(spaced)})(?:e?s)?(?!\w)", re.IGNORECASE)
