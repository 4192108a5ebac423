"""What people do to a bank: each edit by its effect, and what holds after any row of edits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_bank.editing import edits as editing
from prompt_bank.editing.dependencies import set_dependency
from prompt_bank.errors import BankError
from prompt_bank.recording.store import dumps, loads
from prompt_bank.schema import Bank, Caption, Condition, Dependency, Label


def four() -> Bank:
    """Three labels, four conditions, five captions.

    "light" and "weather" have complete evidence: 2 and 3 of 5 captions, one of them shared, so together 4 of 5.
    "place" has evidence for 1 of the 3 captions that its support of 0.6 stands for.
    """
    return Bank(
        name="four",
        labels=(Label(name="cat"), Label(name="dog"), Label(name="sofa")),
        conditions=(
            Condition(id="place", text="place", support=0.6, evidence=("cap-1",), values=("room",)),
            Condition(id="light", text="light", support=0.4, evidence=("cap-1", "cap-2"), values=("Dim", "bright")),
            Condition(
                id="weather",
                text="weather",
                definition="What the sky does.",
                status="accepted",
                support=0.6,
                evidence=("cap-2", "cap-3", "cap-4"),
                values=("rain", "dim"),
                note="often outdoors",
            ),
            Condition(id="mine", text="my own", origin="added", status="rejected"),
        ),
        dependencies=(
            Dependency(labels=("cat", "sofa"), conditions=("place", "weather"), because="seen", evidence=("cap-1",)),
            Dependency(labels=("cat", "dog"), conditions=("light", "weather")),
            Dependency(labels=("dog", "sofa"), conditions=("weather",)),
        ),
        captions=tuple(Caption(id=f"cap-{i}", labels=("cat",), text=f"Caption {i}.") for i in range(1, 6)),
    )


def condition(bank: Bank, condition_id: str) -> Condition:
    return next(c for c in bank.conditions if c.id == condition_id)


def ids(bank: Bank) -> list[str]:
    return [c.id for c in bank.conditions]


def governing(bank: Bank) -> dict[tuple[str, ...], tuple[str, ...]]:
    return {d.labels: d.conditions for d in bank.dependencies}


def test_decisions_are_set_and_reverted() -> None:
    bank = editing.accept(four(), ["place", "light"])
    bank = editing.reject(bank, ["weather"])
    assert [c.status for c in bank.conditions] == ["accepted", "accepted", "rejected", "rejected"]
    bank = editing.propose(bank, ["place", "weather"])
    assert [c.status for c in bank.conditions] == ["proposed", "accepted", "proposed", "rejected"]
    assert [c.origin for c in bank.conditions] == [c.origin for c in four().conditions], "a decision is no edit"


def test_rename_keeps_the_id_and_marks_a_mined_condition_as_edited() -> None:
    bank = editing.rename(four(), "light", "lighting")
    assert condition(bank, "light") == condition(four(), "light").model_copy(
        update={"text": "lighting", "origin": "edited"}
    )
    assert condition(editing.rename(four(), "mine", "ours"), "mine").origin == "added"
    assert editing.rename(four(), "light", "light") == four(), "the same words are no edit"


def test_edit_changes_only_the_given_fields() -> None:
    bank = editing.edit(four(), "weather", definition="", values=["sun", "fog"])
    changed = condition(bank, "weather")
    assert (changed.definition, changed.values, changed.text, changed.note, changed.origin) == (
        "", ("sun", "fog"), "weather", "often outdoors", "edited",
    )  # fmt: skip
    assert condition(editing.edit(four(), "weather", note="ask Ada"), "weather").origin == "mined", "a note is no edit"


def test_merge_unites_the_fields_of_the_conditions() -> None:
    """Supports 0.4 and 0.6 over five captions with one shared: (2 + 3 - 1) / 5 = 0.8."""
    bank = editing.merge(four(), ["light", "weather"], text="light and weather")
    assert ids(bank) == ["place", "light", "mine"]
    merged = condition(bank, "light")
    assert merged.text == "light and weather" and merged.definition == ""
    assert merged.values == ("Dim", "bright", "rain"), "'dim' differs from 'Dim' in case alone"
    assert merged.evidence == ("cap-1", "cap-2", "cap-3", "cap-4")
    assert merged.support == 0.8
    assert (merged.status, merged.origin, merged.note) == ("accepted", "edited", "often outdoors")
    assert governing(bank) == {
        ("cat", "sofa"): ("place", "light"), ("cat", "dog"): ("light",), ("dog", "sofa"): ("light",),
    }  # fmt: skip


def test_merge_does_not_guess_a_support() -> None:
    bank = editing.merge(four(), ["place", "light"], text="surroundings", definition="Where it is.")
    merged = condition(bank, "place")
    assert merged.support is None, "two of the captions that place explains are not named"
    assert (merged.status, merged.definition) == ("proposed", "Where it is.")
    later_first = editing.merge(four(), ["light", "place"], text="surroundings")
    assert ids(later_first) == ["light", "weather", "mine"]


def test_split_copies_evidence_and_dependencies_to_each_part() -> None:
    bank = editing.split(four(), "weather", [("sky", "Above.", ["rain"]), ("Temperature", "", []), ("light!", "", [])])
    assert ids(bank) == ["place", "light", "weather", "temperature", "light-2", "mine"]
    parts = bank.conditions[2:5]
    assert [p.text for p in parts] == ["sky", "Temperature", "light!"]
    assert {(p.status, p.origin, p.support, p.evidence) for p in parts} == {
        ("accepted", "edited", None, ("cap-2", "cap-3", "cap-4"))
    }
    assert [p.values for p in parts] == [("rain",), (), ()]
    assert governing(bank)[("cat", "sofa")] == ("place", "weather", "temperature", "light-2")
    assert governing(bank)[("dog", "sofa")] == ("weather", "temperature", "light-2")


def test_move_sets_the_place_in_the_order() -> None:
    assert ids(editing.move(four(), "mine", 0)) == ["mine", "place", "light", "weather"]
    assert ids(editing.move(four(), "place", 3)) == ["light", "weather", "mine", "place"]
    assert editing.move(four(), "light", 1) == four()


def test_add_derives_the_id_from_the_text() -> None:
    bank = editing.add(four(), "Time of Day", "When.", ["dawn"], note="n")
    assert bank.conditions[-1] == Condition(
        id="time-of-day", text="Time of Day", definition="When.", values=("dawn",), origin="added", note="n"
    )
    bank = editing.add(editing.add(bank, "天気"), "light?", status="accepted")
    assert ids(bank)[-2:] == ["condition", "light-2"] and bank.conditions[-1].status == "accepted"


def test_remove_drops_it_from_dependencies() -> None:
    bank = editing.remove(four(), "weather")
    assert ids(bank) == ["place", "light", "mine"]
    assert governing(bank) == {("cat", "sofa"): ("place",), ("cat", "dog"): ("light",)}


def test_a_dependency_is_changed_created_and_removed() -> None:
    bank = set_dependency(four(), ["sofa", "cat"], ["light"])
    changed = bank.dependencies[0]
    assert (changed.labels, changed.conditions, changed.because) == (("cat", "sofa"), ("light",), "seen")
    assert bank.dependencies[1:] == four().dependencies[1:]
    bank = set_dependency(bank, ["dog", "cat", "sofa"], ["place"])
    assert governing(bank)[("dog", "cat", "sofa")] == ("place",) and len(bank.dependencies) == 4
    bank = set_dependency(bank, ["dog", "cat"], [])
    assert ("cat", "dog") not in governing(bank) and len(bank.dependencies) == 3
    assert set_dependency(bank, ["dog", "cat"], []) == bank


def test_duplicate_dependencies_become_one() -> None:
    bank = four()
    bank = bank.model_copy(
        update={"dependencies": (*bank.dependencies, Dependency(labels=("sofa", "cat"), conditions=("light",)))}
    )
    assert set_dependency(bank, ["cat", "sofa"], ["place", "weather"]) == four()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda b: editing.accept(b, ["lihgt"]), "conditions: there is no condition 'lihgt'; there are light, place"),
        (lambda b: editing.rename(b, "light", ""), r"conditions\[1\].text: is empty"),
        (lambda b: editing.rename(b, "light", " x"), r"conditions\[1\].text: ' x' starts or ends with white space"),
        (lambda b: editing.rename(b, "light", "a\nb"), r"conditions\[1\].text: .* line break"),
        (
            lambda b: editing.rename(b, "weather", "Light"),
            r"conditions\[2\].text: the condition 'light' is already used at",
        ),
        (lambda b: editing.rename(b, "light", "x" * 101), r"conditions\[1\].text: has more than 100 characters"),
        (lambda b: editing.edit(b, "light", values=["a", ""]), r"conditions\[1\].values\[1\]: is empty"),
        (lambda b: editing.edit(b, "light", definition="\ud800"), r"conditions\[1\].definition"),
        (lambda b: editing.merge(b, ["light"], text="x"), "at least two"),
        (lambda b: editing.merge(b, ["light", "light"], text="x"), "'light' is named twice"),
        (lambda b: editing.merge(b, ["light", "place"], text="weather"), "is already used at"),
        (lambda b: editing.split(b, "light", [("a", "", [])]), "at least two"),
        (lambda b: editing.split(b, "light", [("a", "", []), ("A", "", [])]), "is already used at"),
        (lambda b: editing.split(b, "light", [("a", "", []), ("", "", [])]), r"conditions\[2\].text: is empty"),
        (lambda b: editing.move(b, "light", 4), "there is no position 4; there are 0 to 3"),
        (lambda b: editing.move(b, "light", -1), "there is no position -1"),
        (lambda b: editing.add(b, "PLACE"), "is already used at"),
        (lambda b: editing.add(b, ""), r"conditions\[4\].text: is empty"),
        (lambda b: editing.remove(b, "x"), "there is no condition 'x'"),
        (lambda b: set_dependency(b, ["cat"], ["light"]), r"dependencies\[3\]: .* at least two"),
        (lambda b: set_dependency(b, ["cat", "cat"], ["light"]), "at least two different"),
        (lambda b: set_dependency(b, ["cat", "dgo"], ["light"]), "there is no label 'dgo'; there are dog"),
        (lambda b: set_dependency(b, ["cat", "dog"], ["lite"]), "there is no condition 'lite'"),
        (lambda b: set_dependency(b, ["cat", "dog"], ["light", "light"]), "named twice"),
    ],
)
def test_an_invalid_edit_is_an_error_with_its_place(edit: Callable[[Bank], Bank], message: str) -> None:
    with pytest.raises(BankError, match=message):
        edit(four())


def test_words_of_a_rejected_condition_are_free_until_it_comes_back() -> None:
    bank = editing.add(four(), "My own")
    assert ids(bank)[-1] == "my-own"
    with pytest.raises(BankError, match="is already used at"):
        editing.accept(bank, ["mine"])


TEXTS = st.text(max_size=6) | st.sampled_from(["place", "light", "Weather ", "x" * 101, "a b"])
IDS = st.sampled_from(["place", "light", "weather", "mine", "a-b", "condition", "nobody"])
LABELS = st.sampled_from(["cat", "dog", "sofa", "horse"])
VALUES = st.lists(TEXTS, max_size=2)
EDITS: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.sampled_from([editing.accept, editing.reject, editing.propose]), st.tuples(st.lists(IDS, max_size=3))),
    st.tuples(st.just(editing.rename), st.tuples(IDS, TEXTS)),
    st.tuples(
        st.just(lambda b, i, t, v, n: editing.edit(b, i, definition=t, values=v, note=n)),
        st.tuples(IDS, TEXTS, VALUES, TEXTS),
    ),
    st.tuples(st.just(lambda b, i, t: editing.merge(b, i, text=t)), st.tuples(st.lists(IDS, max_size=3), TEXTS)),
    st.tuples(
        st.just(editing.split), st.tuples(IDS, st.lists(st.tuples(TEXTS, TEXTS, VALUES), min_size=1, max_size=3))
    ),
    st.tuples(st.just(editing.move), st.tuples(IDS, st.integers(-1, 5))),
    st.tuples(st.just(editing.add), st.tuples(TEXTS, TEXTS, VALUES)),
    st.tuples(st.just(editing.remove), st.tuples(IDS)),
    st.tuples(st.just(set_dependency), st.tuples(st.lists(LABELS, max_size=3), st.lists(IDS, max_size=2, unique=True))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(EDITS, max_size=8))
def test_every_sequence_of_edits_gives_a_bank_that_can_be_saved(edits: list[tuple[Any, Any]]) -> None:
    bank = four()
    for edit, arguments in edits:
        before, text = bank, dumps(bank)
        try:
            bank = edit(bank, *arguments)
        except BankError as error:
            assert error.problems and all(problem.place and problem.message for problem in error.problems)
        assert dumps(before) == text, "the bank that an edit was given stays as it is"
        assert loads(dumps(bank))[0] == bank, "what an edit returns comes back from a file"
        assert {c.id for c in bank.conditions} >= {i for d in bank.dependencies for i in d.conditions}
        assert bank.captions == four().captions and bank.labels == four().labels
