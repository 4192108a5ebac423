"""Match a bank's labels with those of a data set, by name or by the aliases of either."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from fedmpt.common.words import fold
from prompt_bank.editing.affinities import rename_rows
from prompt_bank.schema import Bank, Label


def matched_bank(
    bank: Bank, names: Sequence[str], aliases: Mapping[str, Sequence[str]] | None = None
) -> tuple[Bank, dict[str, str]]:
    """The bank with its labels named as in the data, where aliases (or only case and spaces) tell which they are.

    A bank's label is renamed if exactly one label of the data that the bank lacks shares a name with it. The old name
    becomes an alias. Captions and dependencies keep their words, since nothing is trained on them.

    Args:
        bank: a bank.
        names: the data's labels.
        aliases: other names of the data's labels, by label.

    Returns:
        The bank, and the new names by old name.
    """
    own = {label.name for label in bank.labels}
    lacking = [name for name in names if name not in own]
    called = {name: _folded(name, (aliases or {}).get(name, ())) for name in lacking}
    candidates = {
        label.name: [name for name in lacking if called[name] & _folded(label.name, label.aliases)]
        for label in bank.labels
        if label.name not in names
    }
    wanted = [name for found in candidates.values() for name in found]
    renamed = {old: found[0] for old, found in candidates.items() if len(found) == 1 and wanted.count(found[0]) == 1}
    return (_renamed(bank, renamed) if renamed else bank), renamed


def match_notes(bank: Bank, renamed: Mapping[str, str]) -> list[str]:
    """For users: which labels were matched by aliases."""
    return [
        f"'{old}' of bank '{bank.name}' is the data's '{new}' (by alias or spelling)" for old, new in renamed.items()
    ]


def _renamed(bank: Bank, renamed: Mapping[str, str]) -> Bank:
    def name(old: str) -> str:
        return renamed.get(old, old)

    labels = tuple(
        Label(name=name(x.name), aliases=(x.name, *(a for a in x.aliases if a != name(x.name))))
        if x.name in renamed
        else x
        for x in bank.labels
    )
    keep: Callable[[str], str | None] = name
    conditions = tuple(c.model_copy(update={"affinity": rename_rows(c.affinity, keep)}) for c in bank.conditions)
    return bank.model_copy(update={"labels": labels, "conditions": conditions})


def _folded(name: str, aliases: Sequence[str]) -> set[str]:
    return {fold(text) for text in (name, *aliases)}
