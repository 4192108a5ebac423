"""Applies conditions, labels and prompt as a person rewrote them in a file to the bank they came from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fedmpt.common.words import suggestions
from prompt_bank.editing.conditions import make_id, update_origins
from prompt_bank.errors import BankError, Problem
from prompt_bank.exchange.matrices import carry_affinities
from prompt_bank.reading.locate import Place, format_place
from prompt_bank.reading.validation import build_bank
from prompt_bank.schema import Bank

EDITABLE_FIELDS = ("text", "status", "definition", "values", "note")
"""The fields of a condition that a person may change."""

READ_ONLY_FIELDS = ("origin", "support", "evidence", "affinity")
"""The fields of a condition that are computed or recorded, and cannot be edited."""

Row = dict[str, Any]


def apply_rewrite(
    bank: Bank,
    conditions: Sequence[Row],
    source: Path | str,
    line: Callable[[Place], int | None],
    *,
    labels: Sequence[Row] | None = None,
    prompt: Row | None = None,
    about: Any = None,
) -> Bank:
    """The bank with rewritten conditions and, if given, labels, prompt and domain.

    A row without an id is a new condition. A condition without a row is removed, also from dependencies. Missing
    fields are unchanged. If a label is replaced in its position, it counts as renamed in captions, dependencies and
    affinities; dependencies of a removed label are removed. Affinities are aligned to changed values.

    Args:
        bank: the bank from which the file was written.
        conditions: rows with `id`, the EDITABLE_FIELDS, and `corrected`: all corrections of the affinity,
            {label: {value: number}}.
        source: the file that the problems refer to.
        line: gives the line number of a place, such as ("conditions", 2, "text"), in the source.
        labels: rows with `name` and `aliases`.
        prompt: the fields of the prompt.
        about: the domain of the images.

    Raises:
        BankError: with all problems.
    """
    content = bank.model_dump(mode="json", by_alias=True)
    problems: list[Problem] = []

    def problem(place: Place, message: str) -> None:
        problems.append(Problem(format_place(place), message, line(place)))

    renamed = _relabel(content, labels, problem) if labels is not None else {}
    content["conditions"] = _complete_conditions(content["conditions"], conditions, problem)
    corrected = {at: row.pop("corrected") for at, row in enumerate(content["conditions"]) if "corrected" in row}
    _drop_missing_conditions(content)
    if prompt is not None:
        content["prompt"] |= prompt
    if about is not None:
        content["about"] = about
    plain = build_bank(content, source, line, problems)[0]
    return update_origins(bank, carry_affinities(bank, plain, renamed, corrected, source, line))


def _complete_conditions(old: Sequence[Row], rows: Sequence[Row], problem: Callable[[Place, str], None]) -> list[Row]:
    """The rows with all fields: ids of new conditions, and unchanged fields of existing ones."""
    known = {row["id"]: {field: row[field] for field in row if field != "affinity"} for row in old}
    taken = set(known)
    found = []
    for at, row in enumerate(rows):
        for field in READ_ONLY_FIELDS:
            if field in row:
                problem(("conditions", at, field), "cannot be changed by hand; leave it out")
        given = {field: value for field, value in row.items() if field not in READ_ONLY_FIELDS}
        name = given.pop("id", "")
        if not name:
            text = given.get("text")
            name = make_id(text if isinstance(text, str) else "", taken)
            taken.add(name)
            found.append({"id": name, "origin": "added", **given})
        elif name in known:
            found.append({**known[name], **given})
        else:
            problem(
                ("conditions", at, "id"),
                f"there is no condition '{name}'; there are {suggestions(name, list(known))}. A new one has no id",
            )
            found.append({"id": name, **given})
    return found


def _relabel(content: Row, labels: Sequence[Row], problem: Callable[[Place, str], None]) -> dict[str, str]:
    """Replace the labels; update captions and dependencies for renamed and removed ones.

    Returns:
        For each renamed label its new name.
    """
    old = [label["name"] for label in content["labels"]]
    new = [label.get("name") for label in labels]
    removed = [name for name in old if name not in new]
    added = [name for name in new if name not in old]
    renamed: dict[str, str] = {}
    if removed and added:
        pairs = [(a, b) for a, b in zip(old, new, strict=False) if a in removed and b in added]
        if len(old) == len(new) and len(pairs) == len(removed):
            renamed = {a: b for a, b in pairs if isinstance(b, str)}
        else:
            message = (
                f"it is ambiguous whether {', '.join(removed[:3])} was renamed or removed: rename labels in place, "
                "and add or remove labels in a separate edit"
            )
            problem(("labels",), message)
            return {}
    known = {label["name"]: label for label in content["labels"]}
    content["labels"] = [{**known.get(str(row.get("name")), {}), **row} for row in labels]
    content["dependencies"] = [
        {**row, "labels": [renamed.get(name, name) for name in row["labels"]]}
        for row in content["dependencies"]
        if not set(row["labels"]) & set(removed) - renamed.keys()
    ]
    captions = [
        {**row, "labels": [renamed.get(name, name) for name in row["labels"] if name not in removed or name in renamed]}
        for row in content["captions"]
    ]
    content["captions"] = [row for row in captions if row["labels"]]
    _drop_missing_evidence(content)
    return renamed


def _drop_missing_evidence(content: Row) -> None:
    """Remove references to captions that no longer exist."""
    there = {row["id"] for row in content["captions"]}
    for part in ("conditions", "dependencies"):
        content[part] = [{**row, "evidence": [i for i in row["evidence"] if i in there]} for row in content[part]]


def _drop_missing_conditions(content: Row) -> None:
    """Remove references to conditions that no longer exist, and dependencies without conditions."""
    there = {row["id"] for row in content["conditions"]}
    rows = [{**row, "conditions": [i for i in row["conditions"] if i in there]} for row in content["dependencies"]]
    content["dependencies"] = [row for row in rows if row["conditions"]]


def source_error(source: Path | str, message: str, line: int | None = None) -> BankError:
    """An error about a source file as a whole, or about one of its lines."""
    return BankError(source, [Problem("", message, line)])
