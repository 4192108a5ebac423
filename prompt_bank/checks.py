"""What the schema cannot say: uniqueness, references, texts that fit into a prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from prompt_bank.errors import Problem
from prompt_bank.locate import Place, written
from prompt_bank.schema import Bank

FIELDS = ("{condition}", "{label}")
Found = tuple[Place, Problem]


def check(bank: Bank) -> list[Found]:
    """Every problem of a bank that its types don't show, with its place; errors and warnings."""
    return [
        *_words(bank),
        *_unique(bank),
        *_references(bank),
        *_template(bank),
        *_near_duplicates(bank),
    ]


def fold(text: str) -> str:
    """What two texts have in common that only differ in case, Unicode form or white space."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _problem(place: Place, message: str, warning: bool = False) -> Found:
    return place, Problem(written(place), message, severity="warning" if warning else "error")


def _words(bank: Bank) -> Iterator[Found]:
    """Labels and conditions stand in prompts: one line of printable text."""
    texts: list[tuple[Place, str]] = []
    for i, label in enumerate(bank.labels):
        texts.append((("labels", i, "name"), label.name))
        texts += [(("labels", i, "aliases", j), alias) for j, alias in enumerate(label.aliases)]
    texts += [(("conditions", i, "text"), condition.text) for i, condition in enumerate(bank.conditions)]
    for place, text in texts:
        if not text.strip():
            yield _problem(place, "is empty")
        elif text != text.strip():
            yield _problem(place, f"{text!r} begins or ends with white space; remove it")
        if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text):
            yield _problem(place, f"{text!r} has a line break or another control character; remove it")


def _unique(bank: Bank) -> Iterator[Found]:
    yield from _once([(("labels", i, "name"), fold(label.name)) for i, label in enumerate(bank.labels)], "label")
    yield from _once([(("conditions", i, "id"), c.id) for i, c in enumerate(bank.conditions)], "condition id")
    yield from _once(
        [(("conditions", i, "text"), fold(c.text)) for i, c in enumerate(bank.conditions) if c.status != "rejected"],
        "condition",
    )
    yield from _once([(("captions", i, "id"), c.id) for i, c in enumerate(bank.captions)], "caption id")


def _once(values: list[tuple[Place, str]], what: str) -> Iterator[Found]:
    first: dict[str, Place] = {}
    for place, value in values:
        if value in first:
            yield _problem(place, f"the {what} '{value}' stands at {written(first[value])} already")
        first.setdefault(value, place)


def _references(bank: Bank) -> Iterator[Found]:
    labels = {label.name for label in bank.labels}
    conditions = {condition.id for condition in bank.conditions}
    captions = {caption.id for caption in bank.captions}
    uses: list[tuple[Place, str, set[str], str]] = []
    for i, condition in enumerate(bank.conditions):
        uses += [(("conditions", i, "evidence", j), e, captions, "caption") for j, e in enumerate(condition.evidence)]
    for i, dependency in enumerate(bank.dependencies):
        place: Place = ("dependencies", i)
        uses += [((*place, "labels", j), v, labels, "label") for j, v in enumerate(dependency.labels)]
        uses += [((*place, "conditions", j), v, conditions, "condition") for j, v in enumerate(dependency.conditions)]
        uses += [((*place, "evidence", j), v, captions, "caption") for j, v in enumerate(dependency.evidence)]
    for i, caption in enumerate(bank.captions):
        uses += [(("captions", i, "labels", j), v, labels, "label") for j, v in enumerate(caption.labels)]
    for where, used, there, what in uses:
        if used not in there:
            yield _problem(where, f"there is no {what} '{used}'")


def _template(bank: Bank) -> Iterator[Found]:
    place, template = ("prompt", "template"), bank.prompt.template
    for field in FIELDS:
        if template.count(field) != 1:
            yield _problem(place, f"has {template.count(field)} times {field}; it must stand there once")
    for other in re.findall(r"\{[^{}]*\}?|\}", template):
        if other not in FIELDS:
            yield _problem(place, f"'{other}' is not a field; only {{condition}} and {{label}} are")
    if all(template.count(field) == 1 for field in FIELDS) and template.index(FIELDS[0]) > template.index(FIELDS[1]):
        yield _problem(place, "{condition} must stand before {label}")


def _near_duplicates(bank: Bank) -> Iterator[Found]:
    """Labels that differ in a plural or in punctuation alone."""
    seen: dict[str, int] = {}
    for i, label in enumerate(bank.labels):
        key = re.sub(r"[\W_]+", "", fold(label.name)).removesuffix("s")
        if key in seen and fold(bank.labels[seen[key]].name) != fold(label.name):
            other = bank.labels[seen[key]].name
            yield _problem(("labels", i, "name"), f"'{label.name}' is nearly '{other}'; is it the same label?", True)
        seen.setdefault(key, i)
