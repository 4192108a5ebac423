"""Mining again: decisions are kept, and new content is added."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedmpt.common.words import fold
from prompt_bank.editing import edits as editing
from prompt_bank.editing.affinities import cell_lift
from prompt_bank.editing.cells import correct
from prompt_bank.editing.conditions import make_id
from prompt_bank.editing.dependencies import set_dependency
from prompt_bank.errors import BankError
from prompt_bank.recording.changes import apply_change
from prompt_bank.recording.proposals import propose, record_mined
from prompt_bank.recording.remining import is_untouched
from prompt_bank.recording.store import dumps, load, loads
from prompt_bank.schema import Affinity, Bank, Caption, Condition, Correction, Dependency, Label, Provenance, Reading
from tests.prompt_bank.strategies import banks


def mined(*texts: str, labels: tuple[str, ...] = ("cat", "dog", "sofa"), model: str = "m", captions: int = 2) -> Bank:
    """A mined bank: the first caption is evidence of each condition, which governs the first two labels."""
    conditions = tuple(
        Condition(id=make_id(text, ()), text=text, support=0.5, evidence=("cap-0001",)) for text in texts
    )
    told = tuple(
        Caption(id=f"cap-{i:04d}", labels=labels[:2], text=f"Caption {i} by {model}.") for i in range(1, captions + 1)
    )
    governed = Dependency(labels=labels[:2], conditions=tuple(c.id for c in conditions), evidence=("cap-0001",))
    return Bank(
        name="mined",
        labels=tuple(Label(name=name) for name in labels),
        conditions=conditions,
        dependencies=(governed,),
        captions=told,
        provenance=Provenance(model=model),
    )


def mine(path: Path, bank: Bank) -> Bank:
    return record_mined(bank, path, editor="ada", did="mined").bank


def told(bank: Bank) -> list[tuple[str, str, str]]:
    return [(c.id, c.text, c.status) for c in bank.conditions]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "bank.json"
    mine(path, mined("place", "light", "weather", "pose"))
    return path


def test_an_untouched_bank_is_replaced(path: Path) -> None:
    bank = mine(path, mined("season", "light", model="n"))
    assert told(bank) == [("season", "season", "proposed"), ("light", "light", "proposed")]
    assert [c.text for c in bank.captions] == ["Caption 1 by n.", "Caption 2 by n."] and bank.revision == 2


def test_mining_the_same_again_records_no_revision(path: Path) -> None:
    before = path.read_bytes()
    mine(path, mined("place", "light", "weather", "pose"))
    assert path.read_bytes() == before
    apply_change(path, lambda b: editing.accept(b, ["light"]), by="ada", did="yes")
    before = path.read_bytes()
    mine(path, mined("place", "light", "weather", "pose"))
    assert path.read_bytes() == before


def test_decisions_are_kept_and_new_proposals_added(path: Path) -> None:
    apply_change(path, lambda b: editing.accept(b, ["light"]), by="ada", did="yes")
    apply_change(path, lambda b: editing.reject(b, ["pose"]), by="ada", did="no")
    decided = load(path).bank
    again = mined("Light", "pose", "season", "weather", model="n", captions=3)
    bank = mine(
        path,
        again.model_copy(update={"conditions": tuple(c.model_copy(update={"support": 1.0}) for c in again.conditions)}),
    )
    assert told(bank) == [*told(decided), ("season", "season", "proposed")]
    old = {c.id: c for c in decided.conditions}
    now = {c.id: c for c in bank.conditions}
    for untouched_by_mining in ("light", "pose", "place"):
        assert now[untouched_by_mining] == old[untouched_by_mining]
    assert (now["weather"].support, now["weather"].evidence) == (1.0, ("cap-0003",)), "nobody had touched it"
    assert now["season"].evidence == ("cap-0003",)
    assert [c.id for c in bank.captions] == ["cap-0001", "cap-0002", "cap-0003", "cap-0004", "cap-0005"]
    assert bank.captions[2].text == "Caption 1 by n." and bank.provenance.model == "n"
    assert bank.dependencies[0].conditions == ("place", "light", "weather", "pose", "season")
    assert bank.dependencies[0].evidence == ("cap-0001", "cap-0003")


def test_an_existing_caption_keeps_its_id(path: Path) -> None:
    apply_change(path, lambda b: editing.accept(b, ["light"]), by="ada", did="yes")
    again = mined("season")
    turned = tuple(
        c.model_copy(update={"id": f"cap-{i}", "labels": c.labels[::-1]}) for i, c in enumerate(again.captions)
    )
    again = again.model_copy(
        update={
            "captions": turned,
            "conditions": (again.conditions[0].model_copy(update={"evidence": ("cap-0",)}),),
            "dependencies": (),
        }
    )
    bank = mine(path, again)
    assert len(bank.captions) == 2 and bank.conditions[-1].evidence == ("cap-0001",)


@pytest.mark.parametrize("way", ["removed", "renamed", "merged", "by hand"])
def test_what_people_removed_is_not_mined_again(path: Path, way: str) -> None:
    if way == "by hand":
        path.write_text(
            path.read_text(encoding="utf-8").replace('"text": "pose"', '"text": "posture"'), encoding="utf-8"
        )
    else:
        edits = {
            "removed": lambda b: editing.remove(b, "pose"),
            "renamed": lambda b: editing.rename(b, "pose", "posture"),
            "merged": lambda b: editing.merge(b, ["light", "pose"], text="light"),
        }
        apply_change(path, edits[way], by="ada", did=way)
    before = told(load(path).bank)
    for model in ("n", "o"):
        bank = mine(path, mined("Pose", "season", model=model))
        assert told(bank) == [*before, ("season", "season", "proposed")]
    by = [entry.by for entry in bank.history]
    assert by == ["miner", "ada", "miner", "miner"], "a hand edit was recorded as a person's first"
    if way == "by hand":
        assert bank.conditions[3].origin == "edited"


def test_conditions_that_the_miner_replaced_may_be_mined_again(path: Path) -> None:
    mine(path, mined("season", model="n"))
    apply_change(path, lambda b: editing.accept(b, ["season"]), by="ada", did="yes")
    assert [c.text for c in mine(path, mined("pose", model="o")).conditions] == ["season", "pose"]


def test_a_new_proposal_never_takes_an_id_that_is_in_use(path: Path) -> None:
    apply_change(path, lambda b: editing.rename(b, "pose", "posture"), by="ada", did="renamed")
    apply_change(path, lambda b: editing.rename(b, "pose", "stance!"), by="ada", did="renamed")
    bank = mine(path, mined("pose!", model="n"))
    assert told(bank)[-1] == ("pose-2", "pose!", "proposed")


def test_changed_dependencies_are_kept(path: Path) -> None:
    apply_change(path, lambda b: set_dependency(b, ["dog", "cat"], ["light"]), by="ada", did="only light")
    bank = mine(path, mined("light", "season", model="n"))
    assert [d.conditions for d in bank.dependencies] == [("light",)]
    apply_change(path, lambda b: set_dependency(b, ["dog", "cat"], []), by="ada", did="none")
    assert mine(path, mined("light", "season", model="o")).dependencies == ()


def test_removing_a_condition_does_not_freeze_its_dependencies(path: Path) -> None:
    apply_change(path, lambda b: editing.remove(b, "pose"), by="ada", did="removed")
    bank = mine(path, mined("light", "season", model="n"))
    assert bank.dependencies[0].conditions == ("place", "light", "weather", "season")


def test_a_rejected_condition_governs_nothing_new(path: Path) -> None:
    apply_change(path, lambda b: editing.reject(b, ["pose"]), by="ada", did="no")
    again = mined("pose", model="n", labels=("dog", "sofa", "cat"))
    bank = mine(path, again)
    assert [d.labels for d in bank.dependencies] == [("cat", "dog")]


def test_new_labels_are_added_and_missing_ones_kept(path: Path) -> None:
    apply_change(path, lambda b: editing.accept(b, ["light"]), by="ada", did="yes")
    bank = mine(path, mined("season", labels=("Cat", "horse"), model="n"))
    assert [label.name for label in bank.labels] == ["cat", "dog", "sofa", "horse"]
    assert bank.captions[-1].labels == ("cat", "horse") and bank.dependencies[-1].labels == ("cat", "horse")


def test_a_renamed_or_removed_label_is_not_mined_again(path: Path) -> None:
    def without_sofa(bank: Bank) -> Bank:
        labels = (bank.labels[0], Label(name="hound", aliases=("dog",)))
        dependency = bank.dependencies[0].model_copy(update={"labels": ("cat", "hound")})
        captions = tuple(c.model_copy(update={"labels": ("cat", "hound")}) for c in bank.captions)
        return bank.model_copy(update={"labels": labels, "dependencies": (dependency,), "captions": captions})

    apply_change(path, without_sofa, by="ada", did="labels")
    bank = mine(path, mined("season", labels=("dog", "cat", "sofa"), model="n"))
    assert [label.name for label in bank.labels] == ["cat", "hound"]
    assert bank.captions[-1].labels == ("hound", "cat")
    bank = mine(path, mined("time", labels=("sofa", "cat"), model="o"))
    assert [label.name for label in bank.labels] == ["cat", "hound"]
    assert bank.conditions[-1].text == "time" and bank.conditions[-1].evidence == ()


def test_a_bank_without_common_labels_is_refused(path: Path) -> None:
    with pytest.raises(BankError, match=r"has none of the mined labels \(bus, …\)"):
        record_mined(mined("place", labels=("bus", "car")), path, editor="ada", did="mined")


def test_prompt_and_name_are_kept(path: Path) -> None:
    text = path.read_text(encoding="utf-8").replace('"class_tokens": 7', '"class_tokens": 3')
    path.write_text(text.replace('"name": "mined"', '"name": "ours"'), encoding="utf-8")
    bank = mine(path, mined("season", model="n"))
    assert (bank.prompt.class_tokens, bank.name) == (3, "ours")


def placed(values: tuple[str, ...], model: str, **rows: tuple[float | None, ...]) -> Bank:
    """A mined bank of one condition with an affinity."""
    affinity = Affinity(rows=dict(rows), asked=(Reading(kind="yes-no", model=model),))
    bank = mined("place", model=model)
    one = bank.conditions[0].model_copy(update={"values": values, "affinity": affinity})
    return bank.model_copy(update={"conditions": (one,), "about": f"photos of {model}"})


def test_mining_again_keeps_corrected_cells(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    mine(path, placed(("bed", "yard"), "m", cat=(1.0, 0.5), dog=(-1.0, 2.0)))
    apply_change(path, lambda b: correct(b, "place", "cat", "yard", -2.0), by="ada", did="no")
    apply_change(path, lambda b: correct(b, "place", "sofa", "bed", 2.0), by="ada", did="yes")
    bank = mine(path, placed(("sea", "Yard", "bed"), "n", cat=(0.1, 0.9, None), sofa=(-3.0, 0.2, -0.5)))
    (place,) = bank.conditions
    assert place.values == ("bed", "yard", "sea") and bank.about == "photos of m"
    assert place.affinity == Affinity(
        rows={"cat": (1.0, -2.0, 0.1), "dog": (-1.0, 2.0, None), "sofa": (2.0, 0.2, -3.0)},
        corrected=(
            Correction(label="cat", value="yard", mined=0.9, by="ada"),
            Correction(label="sofa", value="bed", mined=-0.5, by="ada"),
        ),
        asked=(Reading(kind="yes-no", model="n"), Reading(kind="yes-no", model="m")),
    )
    back = correct(correct(bank, "place", "cat", "yard", None), "place", "sofa", "bed", None).conditions[0].affinity
    assert back and (back.rows["cat"][1], back.rows["sofa"][0], back.corrected) == (0.9, -0.5, ())


def test_values_that_a_person_wrote_are_kept_and_get_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    mine(path, placed(("bed", "yard"), "m", cat=(1.0, 0.5)))
    apply_change(
        path, lambda b: editing.edit(b, "place", values=["yard", "garden shed", "sea"]), by="ada", did="values"
    )
    (place,) = mine(path, placed(("bed", "sea", "yard"), "n", cat=(3.0, -1.0, 0.75))).conditions
    assert place.values == ("yard", "garden shed", "sea")
    assert place.affinity and place.affinity.rows == {"cat": (0.75, None, -1.0)}
    assert place.affinity.asked == (Reading(kind="yes-no", model="n"),), "no older number is left"
    apply_change(path, lambda b: editing.reject(b, ["place"]), by="ada", did="no")
    assert mine(path, placed(("yard",), "o", cat=(9.0,))).conditions == (
        place.model_copy(update={"status": "rejected"}),
    )


@settings(max_examples=60, deadline=None)
@given(banks(), banks(), st.data())
def test_no_mining_changes_what_a_person_decided(existing: Bank, new: Bank, data: st.DataObject) -> None:
    """For any two banks with a common label: everything a person touched is unchanged, and nothing is lost."""
    shared = data.draw(st.sampled_from(existing.labels))
    if fold(shared.name) not in {fold(label.name) for label in new.labels}:
        new = new.model_copy(update={"labels": (*new.labels, Label(name=shared.name))})
    conditions = (
        c.model_copy(update={"affinity": c.affinity.model_copy(update={"corrected": ()})}) if c.affinity else c
        for c in new.conditions
    )
    new = new.model_copy(update={"conditions": tuple(conditions)})  # a model corrects nothing
    existing = editing.edit(existing, existing.conditions[0].id, note="decided")
    bank = propose(existing, new)
    assert loads(dumps(bank))[0] == bank
    before, after = ({c.id: c for c in b.conditions} for b in (existing, bank))
    for name, condition in before.items():
        # Numbers may be others, of cells that no person set; and values, where no person wrote them.
        mined = {"affinity": condition.affinity, "values": condition.values}
        if is_untouched(condition):
            mined |= {"support": condition.support, "evidence": condition.evidence}
        elif condition.origin != "mined" or condition.status == "rejected":
            assert after[name].values == condition.values
        else:
            assert after[name].values[: len(condition.values)] == condition.values
        assert after[name].model_copy(update=mined) == condition
        for corrected in condition.affinity.corrected if condition.affinity else ():
            where = (corrected.label, corrected.value)
            assert cell_lift(after[name], *where) == cell_lift(condition, *where)
            affinity = after[name].affinity
            assert affinity and where in {(c.label, c.value) for c in affinity.corrected}
    assert bank.captions[: len(existing.captions)] == existing.captions
    for label, kept in zip(existing.labels, bank.labels, strict=False):
        mined_again = {} if label.attributes_edited else {"attributes": label.attributes}
        assert kept.model_copy(update=mined_again) == label
        assert kept.attributes or not label.attributes
    known = {fold(c.text) for c in bank.conditions}
    assert {fold(c.text) for c in new.conditions} <= known
    assert {(frozenset(map(fold, c.labels)), c.text) for c in new.captions} <= {
        (frozenset(map(fold, c.labels)), c.text) for c in bank.captions
    } or any(alias for label in existing.labels for alias in label.aliases)
    again = propose(bank, new)
    assert again == bank.model_copy(update={"provenance": new.provenance}), "the same proposals again change nothing"
