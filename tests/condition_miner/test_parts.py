"""The miner's parts on their own: answers, voting."""

from __future__ import annotations

import json

import pytest

from condition_miner import answers
from condition_miner.answers import InvalidAnswer, ProposedCondition
from condition_miner.voting import elect, identifier


def test_a_repeated_description_counts_once() -> None:
    raw = json.dumps({"reasoning": "", "descriptions": ["A cat.", "A  cat.", "A dog."]})
    assert answers.described(raw, 3, True).descriptions == ("A cat.", "A dog.")
    with pytest.raises(InvalidAnswer, match="1 different"):
        answers.described(json.dumps({"reasoning": "", "descriptions": ["A cat."] * 3}), 3, True)


def test_attribution_names_given_conditions_only() -> None:
    raw = json.dumps({"1": ["b", "a", "b"], "2": []})
    assert answers.attributed(raw, ["1", "2"], ["a", "b"]) == {"1": ("a", "b"), "2": ()}
    with pytest.raises(InvalidAnswer, match="some of a, b"):
        answers.attributed(json.dumps({"1": ["c"], "2": []}), ["1", "2"], ["a", "b"])
    with pytest.raises(InvalidAnswer, match="keys 1, 2"):
        answers.attributed(json.dumps({"1": []}), ["1", "2"], ["a", "b"])


def proposed(*names: str) -> tuple[ProposedCondition, ...]:
    return tuple(ProposedCondition(name=n, definition=f"The {n}.", values=("x", "cat bed")) for n in names)


def test_votes_merge_names_of_the_same_idea() -> None:
    """Location, place and setting are one; what names a label or nothing at all is dropped."""
    elected = elect(
        [
            proposed("Location", "Time of Day", "Cat behavior", "Context"),
            proposed("Place setting", "time"),
            proposed("location", "Weather", "cats"),
        ],
        ["cat"],
        5,
    )
    assert [(e.text, e.votes) for e in elected] == [("location", 3), ("time", 2), ("weather", 1)]
    assert elected[0].values == ("x",)


def test_identifiers_are_unique_and_readable() -> None:
    assert identifier("Time of Day", set()) == "time-of-day"
    assert identifier("Time of Day", {"time-of-day"}) == "time-of-day-2"
    assert identifier("時間", set()) == "condition"
