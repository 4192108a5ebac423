"""Edits of the dependencies that a bank lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prompt_bank.editing.conditions import deduplicate
from prompt_bank.editing.requirements import condition_index, fail, index_of, require_distinct, require_valid
from prompt_bank.reading.locate import format_place
from prompt_bank.schema import Bank, Dependency


def set_dependency(bank: Bank, labels: Sequence[str], condition_ids: Sequence[str]) -> Bank:
    """Set the conditions that govern whether labels occur together; an empty list removes the dependency.

    An existing dependency of the same labels, in any order, keeps its reason and its evidence.

    Raises:
        BankError: fewer than two labels, a repeated label, or an unknown label or condition.
    """
    existing = next((i for i, d in enumerate(bank.dependencies) if set(d.labels) == set(labels)), None)
    at = len(bank.dependencies) if existing is None else existing
    place = format_place(("dependencies", at))
    names = [label.name for label in bank.labels]
    for label in labels:
        index_of(bank, place, "label", label, names)
    if len(set(labels)) < max(len(labels), 2):
        fail(bank, place, "a dependency is between at least two different labels")
    require_distinct(bank, condition_ids)
    for i in condition_ids:
        condition_index(bank, i)
    kept = [d for i, d in enumerate(bank.dependencies) if i == at or set(d.labels) != set(labels)]
    before = kept[at : at + 1]
    if not condition_ids:
        after = []
    elif before:
        after = [before[0].model_copy(update={"conditions": tuple(condition_ids)})]
    else:
        after = [Dependency(labels=tuple(labels), conditions=tuple(condition_ids))]
    return require_valid(bank.model_copy(update={"dependencies": (*kept[:at], *after, *kept[at + 1 :])}))


def replace_conditions(
    dependencies: Sequence[Dependency], replacements: Mapping[str, tuple[str, ...]]
) -> tuple[Dependency, ...]:
    """Dependencies after conditions were replaced or removed.

    Args:
        dependencies: of the bank.
        replacements: for each replaced condition id the ids that take its place. A dependency that is left without
            conditions is dropped.
    """
    found = []
    for dependency in dependencies:
        ids = deduplicate(new for old in dependency.conditions for new in replacements.get(old, (old,)))
        if ids:
            found.append(dependency.model_copy(update={"conditions": ids}))
    return tuple(found)
