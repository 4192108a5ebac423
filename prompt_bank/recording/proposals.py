"""Merges newly mined content into an existing bank without changing what people decided.

People's decisions are: each condition that is accepted, rejected, edited, added, or has a note or a corrected cell;
attributes that a person changed; each revision that was not recorded by the miner; and whatever such a revision
removed, which is not proposed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fedmpt.common.words import fold
from prompt_bank.editing.affinities import rename_rows
from prompt_bank.editing.conditions import make_id
from prompt_bank.editing.labels import update_attributes
from prompt_bank.editing.requirements import require_valid
from prompt_bank.errors import BankError, Problem
from prompt_bank.recording.changes import ChangeResult, apply_change, record_hand_edit
from prompt_bank.recording.remining import is_untouched, update_from_mining
from prompt_bank.recording.revisions import read_revision
from prompt_bank.recording.store import LoadedBank, load, record
from prompt_bank.schema import ATTRIBUTES, Bank, Caption, Condition, Dependency, Label, Provenance

MINER = "miner"
"""The author of revisions that were mined."""

Labels = frozenset[str]


def record_mined(mined: Bank, path: Path, *, editor: str, did: str) -> ChangeResult:
    """Write a mined bank, or merge it into the bank in the file.

    Args:
        mined: the mined bank.
        path: the bank file.
        editor: the author of an unrecorded hand edit, which is recorded first.
        did: the message of the revision, one line.

    Raises:
        BankError: the existing file is invalid, or has none of the mined labels.
        OSError: the file cannot be written.
    """
    if not path.exists():
        return ChangeResult(record(mined, path, by=MINER, did=did), True)
    loaded = load(path)
    if loaded.edited:
        record_hand_edit(loaded, editor)
    return apply_change(path, lambda bank: propose(bank, mined, recorded_revisions(load(path))), by=MINER, did=did)


def recorded_revisions(loaded: LoadedBank) -> list[Bank]:
    """The recorded revisions that have an intact copy, oldest first."""
    found = (read_revision(loaded, entry).bank for entry in loaded.bank.history)
    return [bank for bank in found if bank is not None]


def propose(existing: Bank, mined: Bank, recorded: Sequence[Bank] = ()) -> Bank:
    """The existing bank with the mined content merged in.

    If no person has changed the existing bank, the mined one replaces it. Otherwise its content is kept, and
    - labels take newly mined attributes, unless a person changed those of the label;
    - conditions with new words are added as proposals, unless a person removed these words;
    - untouched proposals take support, evidence and values from the mined condition with the same words;
    - all conditions except rejected ones take the new numbers of their affinity, except for corrected cells;
    - new captions and labels are added, unless a person removed the label; a mined label that is an alias of an
      existing one is identified with it; new captions get new ids;
    - the conditions of dependencies are united, unless a person changed the dependency.
    Attributes that were not mined again stay in both cases.

    Args:
        existing: the recorded bank.
        mined: the mined bank; at least one label must be the same.
        recorded: earlier revisions, oldest first; they show what people removed.

    Raises:
        BankError: the banks have no label in common, or the merged bank is invalid.
    """
    require_shared_label(existing, mined.labels)
    mined = mined.model_copy(update={"provenance": _with_asked_attributes(mined.provenance, existing.provenance)})
    names = _label_names(existing)
    if not _has_human_changes(existing):
        known = {label.name: label for label in existing.labels}
        kept = (_with_attributes(label, known.get(names.get(fold(label.name), ""))) for label in mined.labels)
        return mined.model_copy(update={"name": existing.name, "history": existing.history, "labels": tuple(kept)})
    mined = _without_labels(mined, _removed_labels(recorded) - names.keys())
    told = update_attributes(existing.labels, mined.labels, lambda label: names.get(fold(label)))
    labels = (*told, *(label for label in mined.labels if fold(label.name) not in names))
    names = {**{fold(label.name): label.name for label in mined.labels}, **names}
    captions, caption_ids = _merge_captions(existing, mined, names)
    conditions, condition_ids = _merge_conditions(existing, mined, _removed_texts(recorded), names, caption_ids)
    return require_valid(
        existing.model_copy(
            update={
                "labels": labels,
                "conditions": conditions,
                "dependencies": _merge_dependencies(
                    existing,
                    _translated_dependencies(mined, names, condition_ids, caption_ids),
                    _decided_dependencies(recorded),
                ),
                "captions": captions,
                "provenance": mined.provenance,
                "about": existing.about or mined.about,
            }
        )
    )


def require_shared_label(existing: Bank, labels: Sequence[Label]) -> None:
    """Check that a bank has at least one of the mined labels.

    Raises:
        BankError: it has none of them.
    """
    known = _label_names(existing)
    if not any(fold(label.name) in known for label in labels):
        message = (
            f"the bank has none of the mined labels ({labels[0].name}, …) but {existing.labels[0].name}, …; "
            "write the mined bank to another file"
        )
        raise BankError(existing.name, [Problem("labels", message)])


def _with_attributes(mined: Label, known: Label | None) -> Label:
    """The mined label, with the known one's attributes if it has none."""
    if mined.attributes or known is None:
        return mined
    return mined.model_copy(update={"attributes": known.attributes})


def _with_asked_attributes(mined: Provenance, existing: Provenance) -> Provenance:
    """The mined provenance, which still tells how attributes were asked for that were not mined again."""
    told = {key: value for key, value in existing.parameters.items() if key == ATTRIBUTES}
    return mined.model_copy(update={"parameters": {**told, **mined.parameters}}) if told else mined


def _has_human_changes(bank: Bank) -> bool:
    decided = any(label.attributes_edited for label in bank.labels) or not all(map(is_untouched, bank.conditions))
    return decided or any(entry.by != MINER for entry in bank.history)


def _human_revisions(recorded: Sequence[Bank]) -> list[tuple[Bank, Bank]]:
    """Pairs of a revision that a person recorded and the revision before it, as (before, after)."""
    return [(a, b) for a, b in pairwise(recorded) if b.history[-1].by != MINER]


def _label_names(bank: Bank) -> dict[str, str]:
    """For each folded label name or alias the name of the label."""
    # In reverse, so that an alias of several labels belongs to the first of them.
    aliases = {fold(alias): label.name for label in reversed(bank.labels) for alias in label.aliases}
    return {**aliases, **{fold(label.name): label.name for label in bank.labels}}


def _removed_labels(recorded: Sequence[Bank]) -> set[str]:
    """The folded names of labels that people removed or renamed."""
    return {name for a, b in _human_revisions(recorded) for name in _label_names(a).keys() - _label_names(b).keys()}


def _without_labels(mined: Bank, labels: set[str]) -> Bank:
    """The mined bank without some labels, and without the captions and dependencies that contain them."""
    if not labels:
        return mined
    captions = tuple(c for c in mined.captions if not labels & set(map(fold, c.labels)))
    ids = {c.id for c in captions}
    dependencies = (d for d in mined.dependencies if not labels & set(map(fold, d.labels)))
    return mined.model_copy(
        update={
            "labels": tuple(label for label in mined.labels if fold(label.name) not in labels),
            "conditions": tuple(c.model_copy(update=_known_evidence(c.evidence, ids)) for c in mined.conditions),
            "dependencies": tuple(d.model_copy(update=_known_evidence(d.evidence, ids)) for d in dependencies),
            "captions": captions,
        }
    )


def _known_evidence(evidence: Sequence[str], captions: set[str]) -> dict[str, tuple[str, ...]]:
    return {"evidence": tuple(i for i in evidence if i in captions)}


def _removed_texts(recorded: Sequence[Bank]) -> set[str]:
    """The folded texts of conditions that people removed, renamed or merged into others."""
    return {text for a, b in _human_revisions(recorded) for text in _texts(a) - _texts(b)}


def _decided_dependencies(recorded: Sequence[Bank]) -> set[Labels]:
    """The labels of dependencies that people set or removed, other than by removing a condition."""
    decided: set[Labels] = set()
    for before, after in _human_revisions(recorded):
        there = {c.id for c in after.conditions}
        old = {labels: ids & there for labels, ids in _governing(before).items()}
        new = _governing(after)
        decided |= {labels for labels in {*old, *new} if old.get(labels, set()) != new.get(labels, set())}
    return decided


def _texts(bank: Bank) -> set[str]:
    return {fold(c.text) for c in bank.conditions}


def _governing(bank: Bank) -> dict[Labels, set[str]]:
    found: dict[Labels, set[str]] = {}
    for dependency in bank.dependencies:
        found.setdefault(frozenset(dependency.labels), set()).update(dependency.conditions)
    return found


def _merge_captions(existing: Bank, mined: Bank, names: dict[str, str]) -> tuple[tuple[Caption, ...], dict[str, str]]:
    """The distinct captions of both banks, and for each mined caption id its id in the merged bank."""
    known = {(frozenset(c.labels), c.text): c.id for c in existing.captions}
    taken = {c.id for c in existing.captions}
    added: list[Caption] = []
    ids: dict[str, str] = {}
    number = len(taken)
    for caption in mined.captions:
        labels = tuple(names[fold(label)] for label in caption.labels)
        content = (frozenset(labels), caption.text)
        if content not in known:
            name = caption.id
            while name in taken:
                number += 1
                name = f"cap-{number:04d}"
            taken.add(name)
            known[content] = name
            added.append(caption.model_copy(update={"id": name, "labels": labels}))
        ids[caption.id] = known[content]
    return (*existing.captions, *added), ids


def _merge_conditions(
    existing: Bank, mined: Bank, taken_away: set[str], names: dict[str, str], caption_ids: dict[str, str]
) -> tuple[tuple[Condition, ...], dict[str, str]]:
    """The conditions of both banks, and for each wanted mined condition id its id in the merged bank."""
    conditions = {c.id: c for c in existing.conditions}
    # A condition that is not rejected takes precedence over a rejected one with the same words.
    by_words = {fold(c.text): c.id for c in sorted(existing.conditions, key=lambda c: c.status != "rejected")}
    ids: dict[str, str] = {}

    def name(label: str) -> str | None:
        return names.get(fold(label))

    for proposal in mined.conditions:
        measured = {"support": proposal.support, "evidence": tuple(caption_ids[i] for i in proposal.evidence)}
        words = fold(proposal.text)
        there = by_words.get(words)
        if there is not None:
            condition = conditions[there]
            if condition.status != "rejected":
                ids[proposal.id] = there
                conditions[there] = update_from_mining(condition, proposal, name)
            if is_untouched(condition):
                kinds = tuple(dict.fromkeys((*condition.kinds, *proposal.kinds)))
                conditions[there] = conditions[there].model_copy(update={**measured, "kinds": kinds})
        elif words not in taken_away:
            new = make_id(proposal.text, conditions.keys())
            affinity = rename_rows(proposal.affinity, name)
            conditions[new] = proposal.model_copy(update={"id": new, **measured, "affinity": affinity})
            by_words[words] = ids[proposal.id] = new
    return tuple(conditions.values()), ids


def _translated_dependencies(
    mined: Bank, names: dict[str, str], condition_ids: dict[str, str], caption_ids: dict[str, str]
) -> list[Dependency]:
    """The mined dependencies with the ids and label names of the merged bank; those without conditions are dropped."""
    found = []
    for dependency in mined.dependencies:
        governing = tuple(dict.fromkeys(condition_ids[i] for i in dependency.conditions if i in condition_ids))
        if governing:
            changes = {
                "labels": tuple(names[fold(label)] for label in dependency.labels),
                "conditions": governing,
                "evidence": tuple(dict.fromkeys(caption_ids[i] for i in dependency.evidence)),
            }
            found.append(dependency.model_copy(update=changes))
    return found


def _merge_dependencies(existing: Bank, mined: list[Dependency], decided: set[Labels]) -> tuple[Dependency, ...]:
    united = list(existing.dependencies)
    places = {frozenset(dependency.labels): place for place, dependency in enumerate(united)}
    for dependency in mined:
        labels = frozenset(dependency.labels)
        if labels in decided:
            continue
        if labels in places:
            united[places[labels]] = _merge_dependency(united[places[labels]], dependency)
        else:
            places[labels] = len(united)
            united.append(dependency)
    return tuple(united)


def _merge_dependency(old: Dependency, new: Dependency) -> Dependency:
    """Two dependencies of the same labels as one; the new reason is appended to the old one if both fit."""
    because = old.because or new.because
    both = f"{old.because}; {new.because}"
    if old.because and new.because and new.because not in old.because and len(both) <= 2000:
        because = both
    return old.model_copy(
        update={
            "conditions": tuple(dict.fromkeys([*old.conditions, *new.conditions])),
            "because": because,
            "evidence": tuple(dict.fromkeys([*old.evidence, *new.evidence])),
        }
    )
