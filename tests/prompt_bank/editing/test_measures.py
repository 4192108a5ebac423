"""Statistics of factors and kinds, and files of before they existed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_bank.editing import edits as editing
from prompt_bank.editing.measures import explained, greedy_cover, overlaps, support
from prompt_bank.errors import BankError
from prompt_bank.recording.proposals import propose
from prompt_bank.recording.store import content_hash, dumps, load, loads
from prompt_bank.schema import SCHEMA_FILE, Bank, Caption, Condition, Factor, Label
from tests.prompt_bank.banks import content, fedmpt, good, text

KINDS = ("place", "light", "pose", "sound")


def bank(of_captions: list[tuple[str, ...]], **of_conditions: tuple[str, ...]) -> Bank:
    """A bank with one caption for each list of kinds, and conditions with their kinds."""
    captions = [
        Caption(
            id=f"cap-{i}", labels=("cat",), text=f"Caption {i}.", factors=tuple(Factor(words="x", kind=k) for k in ks)
        )
        for i, ks in enumerate(of_captions)
    ]
    conditions = tuple(Condition(id=name, text=name, kinds=kinds) for name, kinds in of_conditions.items())
    return Bank(name="b", labels=(Label(name="cat"),), conditions=conditions, captions=tuple(captions))


def test_kinds_of_factors_are_counted() -> None:
    """Captions 0 and 1 have a place, 1 and 2 light, 3 a sound, which no condition has."""
    b = bank(
        [("place",), ("place", "light"), ("glow",), ("sound",)], place=("place",), light=("light", "glow"), mood=()
    )
    explains = explained(b.captions, b.conditions)
    assert explains == {"cap-0": ("place",), "cap-1": ("place", "light"), "cap-2": ("light",), "cap-3": ()}
    assert support(b.conditions, explains) == {"place": 0.5, "light": 0.5, "mood": 0.0}
    assert overlaps(b.conditions, explains) == {("place", "light"): 1 / 3, ("place", "mood"): 0, ("light", "mood"): 0}
    assert greedy_cover(["place", "light", "mood"], explains, 0.75) == ["place", "light"]
    assert support(b.conditions, {}) == {"place": 0.0, "light": 0.0, "mood": 0.0}


@given(st.lists(st.sets(st.sampled_from(KINDS)), min_size=1, max_size=8), st.sets(st.sampled_from(KINDS), min_size=1))
def test_merged_conditions_explain_the_captions_of_both(rows: list[set[str]], first: set[str]) -> None:
    b = bank([tuple(sorted(row)) for row in rows], a=tuple(sorted(first)), b=("pose",))
    merged = editing.merge(b, ["a", "b"], text="both")
    (both,) = merged.conditions
    assert set(both.kinds) == first | {"pose"}
    together = sum(bool(row & (first | {"pose"})) for row in rows) / len(rows)
    assert both.support == pytest.approx(together, abs=1e-4)


def test_a_file_with_factors_and_kinds_round_trips() -> None:
    b = bank([("place",)], place=("place",))
    read, _ = loads(dumps(b))
    assert read == b
    assert dumps(read) == dumps(b)
    assert content_hash(read) != content_hash(bank([()], place=("place",)))


def test_files_without_kinds_and_factors_keep_their_text_and_hash() -> None:
    """Format 1 began without factors and kinds."""
    assert "kinds" not in dumps(good())
    assert "factors" not in dumps(good())
    for path in SCHEMA_FILE.parent.glob("*.json"):
        if path != SCHEMA_FILE:
            loaded = load(path)
            written = path.read_text(encoding="utf-8").replace('"format": 1,', '"format": 2,', 1)
            assert dumps(loaded.bank) == written
            assert not loaded.edited


def test_empty_factors_and_kinds_are_not_written() -> None:
    spelled = content()
    spelled["conditions"][0]["kinds"] = []
    spelled["captions"][0]["factors"] = []
    read, _ = loads(text(spelled))
    assert dumps(read) == dumps(good())


def test_mining_again_gives_an_untouched_proposal_more_kinds() -> None:
    old = bank([("place",)], place=("place",), light=("light",))
    old = editing.accept(old, ["light"])
    new = propose(old, bank([("setting",), ("light",)], place=("setting",), light=("glow",)))
    kinds = {c.id: c.kinds for c in new.conditions}
    assert kinds == {"place": ("place", "setting"), "light": ("light",)}, "what a person accepted stays as it was"


def test_an_unknown_field_of_a_factor(tmp_path: Path) -> None:
    spelled = content()
    spelled["captions"][0]["factors"] = [{"words": "a", "kind": "b", "why": "c"}]
    path = tmp_path / "bank.json"
    path.write_text(text(spelled))
    with pytest.raises(BankError, match=r"captions\[0\]\.factors\[0\]\.why"):
        load(path)


def test_show_points_out_conditions_that_explain_the_same(tmp_path: Path) -> None:
    """Place and light explain two captions each, one of them in common; place and mood both of theirs."""
    path = tmp_path / "bank.json"
    rows = [("place", "light"), ("place",), ("light",)]
    path.write_text(dumps(bank(rows, place=("place",), light=("light",), mood=("place",))))
    shown = fedmpt("bank", "show", path, folder=tmp_path)
    assert "place and mood explain 100 % of their captions in common" in shown.stdout
    assert "place and light" not in shown.stdout
    told = json.loads(fedmpt("bank", "show", path, "--json", folder=tmp_path).stdout)
    assert {tuple(o["conditions"]): o["share"] for o in told["overlaps"]} == {
        ("place", "light"): 0.3333,
        ("place", "mood"): 1.0,
        ("light", "mood"): 0.3333,
    }
