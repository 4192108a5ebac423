"""Mine again into a bank that people have worked on: new proposals come beside their decisions and change none of them.

What counts as a person's: every condition that is accepted, rejected, edited, added, has a note or a corrected cell;
every revision that
somebody else than the miner recorded; and what such a revision took away, which stays away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fedmpt.common.words import fold
from prompt_bank.editing.affinities import relabelled
from prompt_bank.editing.conditions import identifier
from prompt_bank.editing.edits import checked
from prompt_bank.errors import BankError, Problem
from prompt_bank.recording.changes import Recorded, change, record_hand_edit
from prompt_bank.recording.remining import remined, untouched
from prompt_bank.recording.revisions import kept
from prompt_bank.recording.store import LoadedBank, load, record
from prompt_bank.schema import Bank, Caption, Condition, Dependency, Label

MINER = "miner"
"""Who records what was mined."""

Labels = frozenset[str]


def record_mined(mined: Bank, path: Path, *, editor: str, did: str) -> Recorded:
    """Write a mined bank, as new proposals where there is a bank already.

    Args:
        mined: what was mined.
        path: the file.
        editor: whose an edit by hand is that was not recorded yet.
        did: what was mined, one line.

    Raises:
        BankError: the file there is bad, or it is about other labels.
        OSError: it cannot be written.
    """
    if not path.exists():
        return Recorded(record(mined, path, by=MINER, did=did), True)
    loaded = load(path)
    if loaded.edited:
        record_hand_edit(loaded, editor)
    return change(path, lambda bank: propose(bank, mined, revisions(load(path))), by=MINER, did=did)


def revisions(loaded: LoadedBank) -> list[Bank]:
    """The recorded revisions of which a good copy is left, oldest first."""
    found = (kept(loaded, entry).bank for entry in loaded.bank.history)
    return [bank for bank in found if bank is not None]


def propose(existing: Bank, mined: Bank, recorded: Sequence[Bank] = ()) -> Bank:
    """The bank with what was mined beside what is there.

    Where nobody has decided or changed anything yet, what was mined takes the place of what was. Otherwise everything
    stays, and
    - a condition with new words is added as a proposal, unless somebody took these words away;
    - a proposal that nobody has touched gets the new support, evidence and values of the same words;
    - any condition but a rejected one gets the new numbers of its affinity, but for the cells that people set;
    - captions and labels that are not there yet are added, unless somebody took the label away; a label that is the
      alias of another one is that one; ids of new captions follow on;
    - conditions that govern labels are added to those that do already, unless somebody changed that dependency.

    Args:
        existing: the bank as it is, recorded.
        mined: from the same labels, or some more or fewer of them.
        recorded: earlier revisions, oldest first; they tell what people took away.

    Raises:
        BankError: the two have no label in common, or together they are no good bank.
    """
    same_world(existing, mined.labels)
    if not _touched_by_people(existing):
        return mined.model_copy(update={"name": existing.name, "history": existing.history})
    names = _label_names(existing)
    mined = _without(mined, _labels_taken_away(recorded) - names.keys())
    labels = (*existing.labels, *(label for label in mined.labels if fold(label.name) not in names))
    names = {**{fold(label.name): label.name for label in mined.labels}, **names}
    captions, caption_ids = _united_captions(existing, mined, names)
    conditions, condition_ids = _united_conditions(existing, mined, _words_taken_away(recorded), names, caption_ids)
    return checked(
        existing.model_copy(
            update={
                "labels": labels,
                "conditions": conditions,
                "dependencies": _united_dependencies(
                    existing, _renamed(mined, names, condition_ids, caption_ids), _decided_dependencies(recorded)
                ),
                "captions": captions,
                "provenance": mined.provenance,
                "about": existing.about or mined.about,
            }
        )
    )


def same_world(existing: Bank, labels: Sequence[Label]) -> None:
    """Refuse to mine labels into a bank that has none of them.

    Raises:
        BankError: it is another bank.
    """
    known = _label_names(existing)
    if not any(fold(label.name) in known for label in labels):
        message = (
            f"the bank has none of the labels that are mined ({labels[0].name}, …), but {existing.labels[0].name}, …; "
            "choose another file for the new ones"
        )
        raise BankError(existing.name, [Problem("labels", message)])


def _touched_by_people(bank: Bank) -> bool:
    return any(entry.by != MINER for entry in bank.history) or not all(map(untouched, bank.conditions))


def _by_people(recorded: Sequence[Bank]) -> list[tuple[Bank, Bank]]:
    """Each revision that a person recorded, behind the one before it."""
    return [(a, b) for a, b in pairwise(recorded) if b.history[-1].by != MINER]


def _label_names(bank: Bank) -> dict[str, str]:
    """From each label's name or alias, folded, to its name."""
    # Backwards, so that of two labels with the same alias the first one has it, however many come behind it.
    aliases = {fold(alias): label.name for label in reversed(bank.labels) for alias in label.aliases}
    return {**aliases, **{fold(label.name): label.name for label in bank.labels}}


def _labels_taken_away(recorded: Sequence[Bank]) -> set[str]:
    """Labels that people removed or renamed, folded."""
    return {name for a, b in _by_people(recorded) for name in _label_names(a).keys() - _label_names(b).keys()}


def _without(mined: Bank, labels: set[str]) -> Bank:
    """What was mined, without some labels and all that was said of them."""
    if not labels:
        return mined
    captions = tuple(c for c in mined.captions if not labels & set(map(fold, c.labels)))
    ids = {c.id for c in captions}
    dependencies = (d for d in mined.dependencies if not labels & set(map(fold, d.labels)))
    return mined.model_copy(
        update={
            "labels": tuple(label for label in mined.labels if fold(label.name) not in labels),
            "conditions": tuple(c.model_copy(update=_evident(c.evidence, ids)) for c in mined.conditions),
            "dependencies": tuple(d.model_copy(update=_evident(d.evidence, ids)) for d in dependencies),
            "captions": captions,
        }
    )


def _evident(evidence: Sequence[str], captions: set[str]) -> dict[str, tuple[str, ...]]:
    return {"evidence": tuple(i for i in evidence if i in captions)}


def _words_taken_away(recorded: Sequence[Bank]) -> set[str]:
    """Texts of conditions that people removed, renamed or merged away."""
    return {text for a, b in _by_people(recorded) for text in _texts(a) - _texts(b)}


def _decided_dependencies(recorded: Sequence[Bank]) -> set[Labels]:
    """Labels whose dependency people changed, made or took away, other than by taking a condition away."""
    decided: set[Labels] = set()
    for before, after in _by_people(recorded):
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


def _united_captions(existing: Bank, mined: Bank, names: dict[str, str]) -> tuple[tuple[Caption, ...], dict[str, str]]:
    """All captions, each once, and under which id each mined one stands."""
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


def _united_conditions(
    existing: Bank, mined: Bank, taken_away: set[str], names: dict[str, str], caption_ids: dict[str, str]
) -> tuple[tuple[Condition, ...], dict[str, str]]:
    """All conditions, and under which id each mined one stands that is wanted."""
    conditions = {c.id: c for c in existing.conditions}
    # One that is in use comes before a rejected one with the same words.
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
                conditions[there] = remined(condition, proposal, name)
            if untouched(condition):
                kinds = tuple(dict.fromkeys((*condition.kinds, *proposal.kinds)))
                conditions[there] = conditions[there].model_copy(update={**measured, "kinds": kinds})
        elif words not in taken_away:
            new = identifier(proposal.text, conditions.keys())
            affinity = relabelled(proposal.affinity, name)
            conditions[new] = proposal.model_copy(update={"id": new, **measured, "affinity": affinity})
            by_words[words] = ids[proposal.id] = new
    return tuple(conditions.values()), ids


def _renamed(
    mined: Bank, names: dict[str, str], condition_ids: dict[str, str], caption_ids: dict[str, str]
) -> list[Dependency]:
    """The mined dependencies in the united bank's names; those that nothing wanted governs are left out."""
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


def _united_dependencies(existing: Bank, mined: list[Dependency], decided: set[Labels]) -> tuple[Dependency, ...]:
    united = list(existing.dependencies)
    places = {frozenset(dependency.labels): place for place, dependency in enumerate(united)}
    for dependency in mined:
        labels = frozenset(dependency.labels)
        if labels in decided:
            continue
        if labels in places:
            united[places[labels]] = _joined(united[places[labels]], dependency)
        else:
            places[labels] = len(united)
            united.append(dependency)
    return tuple(united)


def _joined(old: Dependency, new: Dependency) -> Dependency:
    """One dependency of the same labels; the old reason stays, the new one comes behind it where both have room."""
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
