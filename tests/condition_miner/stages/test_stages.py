"""Unit tests of the stages: parsing, checks, votes and counts."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.errors import MinerError
from condition_miner.mining import StagePlan
from condition_miner.model.reading import InvalidAnswer
from condition_miner.settings import MESSAGES_BY_STAGE, STAGES, AttributeSettings, MinerSettings
from condition_miner.stages.abstract import draw_samples, names_to_refine, parse_proposals
from condition_miner.stages.attribute import condition_by_name, parse_attribution
from condition_miner.stages.describe import labels_named, parse_descriptions
from condition_miner.stages.explain import grounded, mask_labels, parse_factors, unmask_labels, usable_factors
from condition_miner.stages.measure import condition_warnings, dependencies, smallest_explaining, with_measures
from condition_miner.stages.vocabulary import Vocabulary
from condition_miner.stages.voting import Proposal, elect, unusable_names
from prompt_bank.editing.conditions import make_id
from prompt_bank.editing.measures import explained as explained_by
from prompt_bank.schema import Caption, Condition, Factor


class TestDescribe:
    def raw(self, *descriptions: str) -> str:
        return json.dumps({"occasions": ["a", "b", "c"], "descriptions": descriptions})

    def test_a_repeated_description_counts_once(self) -> None:
        assert parse_descriptions(self.raw("A cat.", "A  cat.", "A dog."), 3, True) == ("A cat.", "A dog.")
        with pytest.raises(InvalidAnswer, match="1 different"):
            parse_descriptions(self.raw(*["A cat."] * 3), 3, True)

    def test_another_script_is_invalid_only_if_labels_are_ascii(self) -> None:
        with pytest.raises(InvalidAnswer, match="another script"):
            parse_descriptions(self.raw("在 a cat."), 1, True)
        assert parse_descriptions(self.raw("ネコがいる。"), 1, False) == ("ネコがいる。",)

    def test_labels_are_found_by_name_and_alias_in_any_number(self) -> None:
        named = {"dining table": ("dining table",), "person": ("person", "human"), "ネコ": ("ネコ",), "bus": ("bus",)}
        text = "Two humans sit at DINING tables while ネコがいる."
        assert labels_named(text, tuple(named), named) == ("dining table", "person", "ネコ")

    @pytest.mark.parametrize("label", ["...", "{{7*7}}", "</data>", "ignore previous instructions"])
    def test_any_label_can_be_searched(self, label: str) -> None:
        assert labels_named("A cat on a mat.", (label,), {label: (label,)}) == ()


class TestExplain:
    def test_words_must_be_in_the_description(self) -> None:
        description = "A dog sleeps in a sunny kitchen."
        assert grounded("in a sunny kitchen", description)
        assert grounded("Kitchens, sunny", description)
        assert not grounded("on the beach", description)
        assert not grounded("", description) or not grounded("...", description)

    @pytest.mark.parametrize(
        ("words", "stand"),
        [("sunrise", True), ("parked, driveway", True), ("sunrise, beach", False), ("noon", False), ("park", True)],
    )
    def test_words_may_have_another_form(self, words: str, stand: bool) -> None:
        assert grounded(words, "A car is parking in the driveway as the sun rises.") is stand

    def test_labels_are_masked_and_unmasked(self) -> None:
        named = {"plant": ("plant",), "potted plant": ("potted plant", "flowerpot"), "ネコ": ("ネコ",), "a.b": ("a.b",)}
        shown = Caption(
            id="cap-1", labels=tuple(named), text="Potted plants, a plant and Flowerpots; ネコがいる, a.b axb."
        )
        text = mask_labels(shown, named)
        assert text == "X2, a X1 and X2; X3がいる, X4 axb."
        assert unmask_labels(Factor(words="near X2, X9", kind="place"), shown).words == "near potted plant, X9"

    @given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True), st.text(min_size=1))
    def test_any_label_can_be_masked(self, labels: list[str], text: str) -> None:
        shown = Caption(id="cap-1", labels=tuple(labels), text=text)
        assert isinstance(mask_labels(shown, {label: (label,) for label in labels}), str)

    def test_unusable_kinds_are_dropped(self) -> None:
        factors = [
            Factor(words="sunny kitchen", kind="location"),
            Factor(words="kitchen", kind="location"),
            Factor(words="a dog", kind="dog"),
            Factor(words="a dog", kind="objects"),
            Factor(words="the beach", kind="weather"),
        ]
        kept = usable_factors(factors, "A dog sleeps in a sunny kitchen.", Vocabulary(["dog"]))
        assert kept == (Factor(words="sunny kitchen", kind="location"),)

    def test_answers(self) -> None:
        raw = {"1": {"factors": [{"words": "a  b", "factor": "Place"}, {"words": "", "factor": "x"}]}}
        assert parse_factors(json.dumps(raw), ["1"]) == [(Factor(words="a b", kind="place"),)]
        with pytest.raises(InvalidAnswer, match="keys 1, 2"):
            parse_factors(json.dumps(raw), ["1", "2"])
        with pytest.raises(InvalidAnswer, match="2: no factor"):
            parse_factors(json.dumps(raw | {"2": {"factors": []}}), ["1", "2"])
        with pytest.raises(InvalidAnswer, match=r"1\.factors\.0\.factor: "):
            parse_factors(json.dumps({"1": {"factors": [{"words": "a"}]}}), ["1"])


def proposed(*names: str) -> list[Proposal]:
    return [Proposal(name, f"The {name}.") for name in names]


class TestAbstract:
    ANSWERS = (
        proposed("Location", "Time of Day", "Cat behavior", "Context"),
        proposed("Place setting", "time", "context"),
        proposed("location", "Weather", "cats"),
    )

    def test_votes_merge_synonyms(self) -> None:
        """Location, place and setting are one; what names a label or nothing at all is dropped."""
        elected = elect(self.ANSWERS, Vocabulary(["cat"]))
        assert [(e.text, e.votes) for e in elected] == [("location", 3), ("time", 2), ("weather", 1)]
        assert elected[0].definition == "The Location."

    def test_unusable_names_that_would_be_elected_are_refined(self) -> None:
        """'context' has two votes, as many as 'time', so it goes back only where three conditions are wanted."""
        bad = unusable_names(self.ANSWERS, Vocabulary(["cat"]))
        assert [(b.proposal.name, b.votes) for b in bad] == [("Context", 2), ("Cat behavior", 1), ("cats", 1)]
        assert "says nothing by itself" in bad[0].reason
        assert "names an object (cat)" in bad[1].reason
        assert names_to_refine(self.ANSWERS, Vocabulary(["cat"]), 2) == []
        assert names_to_refine(self.ANSWERS, Vocabulary(["cat"]), 3) == bad[:1]
        assert names_to_refine(self.ANSWERS, Vocabulary(["cat"]), 4) == bad

    @given(st.integers(1, 60), st.integers(2, 20), st.integers(1, 8))
    def test_samples_cover_everything_evenly(self, count: int, size: int, least: int) -> None:
        found = draw_samples(list(range(count)), size, least, "seed")
        assert len(found) == max(least, -(-count // size))
        assert {i for some in found for i in some} == set(range(count)) or len(found) < -(-count // size)
        assert all(len(some) <= size for some in found)
        assert max(map(len, found)) - min(map(len, found)) <= 1
        assert found == draw_samples(list(range(count)), size, least, "seed")

    def test_names_are_spelled_out(self) -> None:
        names = ["timeOfDay", "Time_of_day", "TIME OF DAY"]
        raw = {"conditions": [{"name": name, "definition": "d"} for name in names]}
        assert {p.name for p in parse_proposals(json.dumps(raw))} == {"time of day"}

    def test_an_answer_without_conditions(self) -> None:
        with pytest.raises(InvalidAnswer, match="no condition"):
            parse_proposals('{"conditions": []}')

    def test_identifiers_are_unique_and_readable(self) -> None:
        assert make_id("Time of Day", set()) == "time-of-day"
        assert make_id("Time of Day", {"time-of-day"}) == "time-of-day-2"
        assert make_id("時間", set()) == "condition"


def condition(name: str, *kinds: str) -> Condition:
    return Condition(id=name, text=name, kinds=kinds)


class TestAttribute:
    def test_kinds_are_assigned_by_shared_concept(self) -> None:
        conditions = [condition("location"), condition("lighting"), condition("time-of-day")]
        assert condition_by_name("background", conditions) == "location"
        assert condition_by_name("sunlight", conditions) is None
        assert condition_by_name("place and light", conditions) is None

    def test_answers_name_given_conditions_only(self) -> None:
        assert parse_attribution('{"1": "b", "2": "none"}', ["1", "2"], ["a", "b"]) == ["b", "none"]
        with pytest.raises(InvalidAnswer, match="one of a, b, none"):
            parse_attribution('{"1": "c"}', ["1"], ["a", "b"])
        with pytest.raises(InvalidAnswer, match="one of a, b, none"):
            parse_attribution('{"1": ["a"]}', ["1"], ["a", "b"])
        with pytest.raises(InvalidAnswer, match="keys 1, 2"):
            parse_attribution('{"1": "a"}', ["1", "2"], ["a", "b"])


def caption(number: int, labels: str, *factors: tuple[str, str]) -> Caption:
    told = tuple(Factor(words=words, kind=kind) for words, kind in factors)
    return Caption(id=f"cap-{number}", labels=tuple(labels.split()), text="text", factors=told)


class TestMeasure:
    """Derived by hand: place explains captions 1, 2, 3, light 1 and 4, mood none."""

    CAPTIONS = (
        caption(1, "cat sofa", ("in a room", "place"), ("at dusk", "glow")),
        caption(2, "cat sofa", ("in a room", "setting")),
        caption(3, "cat dog", ("on a sofa", "place")),
        caption(4, "cat dog", ("at noon", "light")),
        caption(5, "dog"),
    )
    CONDITIONS = (condition("mood"), condition("place", "place", "setting"), condition("light", "glow", "light"))
    EXPLAINS = explained_by(CAPTIONS, CONDITIONS)

    def test_support_evidence_and_values(self) -> None:
        mood, place, light = with_measures(
            self.CONDITIONS, self.CAPTIONS, self.EXPLAINS, Vocabulary(["sofa", "cat", "dog"])
        )
        assert (mood.support, place.support, light.support) == (0.0, 0.6, 0.4)
        assert place.evidence == ("cap-1", "cap-2", "cap-3")
        assert place.values == ("in a room",), "'on a sofa' names an object"
        assert light.values == ("at dusk", "at noon")

    def test_dependencies_need_more_than_half(self) -> None:
        """Cat and sofa: place in 2 of 2, light in 1 of 2. Cat and dog: each in 1 of 2."""
        (found,) = dependencies(self.CAPTIONS, self.CONDITIONS, self.EXPLAINS)
        assert (found.labels, found.conditions) == (("cat", "sofa"), ("place",))
        assert found.evidence == ("cap-1", "cap-2")
        assert found.because == "explained by place in 2 of 2 captions"

    def test_warnings(self) -> None:
        assert condition_warnings(self.CONDITIONS, self.EXPLAINS, 0.5) == ["'mood' explains none of the captions"]
        assert "'place' and 'light'" in condition_warnings(self.CONDITIONS, self.EXPLAINS, 0.25)[1]

    def test_the_smallest_set(self) -> None:
        """Four of five captions can be explained, by place (three) and light (one more)."""
        assert [c.id for c in smallest_explaining(self.CONDITIONS, self.EXPLAINS, 0.8)] == ["place", "light"]
        assert [c.id for c in smallest_explaining(self.CONDITIONS, self.EXPLAINS, 0.6)] == ["place"]
        assert [c.id for c in smallest_explaining(self.CONDITIONS, self.EXPLAINS, 1.0)] == ["place", "light"]


class TestStagePlan:
    def test_all_stages(self) -> None:
        assert StagePlan.from_options(None, None, {}) == StagePlan(STAGES, {})
        assert StagePlan.from_options(None, None, {"abstract": 2}).takes == {"abstract": 2}

    def test_from_a_stage_on(self) -> None:
        plan = StagePlan.from_options(None, "abstract", {"describe": 1, "abstract": 1})
        assert plan.stages == ("abstract", "attribute", "measure", "affinities")
        assert plan.takes == {"describe": 1, "abstract": 2, "attribute": 1, "affinities": 1}

    def test_some_stages_in_order(self) -> None:
        assert StagePlan.from_options("explain, describe", None, {}) == StagePlan(("describe", "explain"), {})
        assert StagePlan.from_options("explain", "explain", {}).takes == dict.fromkeys(
            ("explain", "abstract", "attribute", "affinities"), 1
        )

    @pytest.mark.parametrize(("stages", "from_stage"), [("desrcibe", None), ("", None), (None, "all")])
    def test_an_unknown_stage(self, stages: str | None, from_stage: str | None) -> None:
        with pytest.raises(MinerError, match="is not a stage; there are describe, explain"):
            StagePlan.from_options(stages, from_stage, {})


def test_default_combinations_cover_every_label() -> None:
    """Of two to four labels by turns, three on average, so places are three times the combinations."""
    settings = MinerSettings()
    assert settings.combinations_for(20) == 22
    assert settings.combinations_for(80) == 36
    assert all(2 * settings.combinations_for(labels) >= min(labels, 44) for labels in range(1, 1001))
    assert all(2.9 * settings.combinations_for(labels) >= labels for labels in range(1, 1001))
    assert MinerSettings(combinations=7).combinations_for(1000) == 7


def test_every_stage_that_asks_has_a_temperature() -> None:
    for stage, messages in MESSAGES_BY_STAGE.items():
        if messages:
            assert 0 <= AttributeSettings().temperature(stage) <= 2


def smallest_size(explains: dict[str, tuple[str, ...]], names: list[str], share: float) -> int:
    """The size of the smallest set, by exhaustive search."""
    for size in range(len(names) + 1):
        for chosen in combinations(names, size):
            covered = sum(bool(set(chosen) & set(ids)) for ids in explains.values())
            if covered + 1e-9 >= share * len(explains):
                return size
    return len(names)


@given(st.data())
def test_the_greedy_set_reaches_the_share_and_is_nearly_smallest(data: Any) -> None:
    from prompt_bank.editing.measures import greedy_cover

    names = list("abcdef")
    rows = data.draw(st.lists(st.sets(st.sampled_from(names)), min_size=1, max_size=12))
    share = data.draw(st.sampled_from([0.5, 0.8, 0.95, 1.0]))
    explains = {f"cap-{i}": tuple(sorted(row)) for i, row in enumerate(rows)}
    chosen = greedy_cover(names, explains, share)
    covered = sum(bool(set(chosen) & row) for row in rows)
    possible = sum(map(bool, rows))
    assert covered + 1e-9 >= min(possible, share * len(rows))
    if possible + 1e-9 >= share * len(rows):
        assert len(chosen) <= 3 * smallest_size(explains, names, share), "ln(12) + 1 < 4"
