"""The miner's parts on their own: labels, answers, voting."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from condition_miner import answers
from condition_miner.answers import InvalidAnswer, ProposedCondition
from condition_miner.errors import MinerError
from condition_miner.labels import read_labels
from condition_miner.voting import elect, identifier


class TestLabels:
    def read(self, folder: Path, content: str | bytes) -> list[str]:
        path = folder / "l.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return [label.name for label in read_labels(path).labels]

    def test_comments_aliases_and_a_mark(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbf# all\r\ncat\r\n\r\ntv, television, telly # old\r\n")
        read = read_labels(tmp_path / "l.txt").labels
        assert [(label.name, label.aliases) for label in read] == [("cat", ()), ("tv", ("television", "telly"))]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "no labels"),
            ("# nothing\n", "no labels"),
            ("cat\ndog\nCat\n", "line 3: 'cat' stands on line 1 already"),
            ("café\ncafe\u0301\n", "line 2"),
            ("cat, dog\ndog\n", "line 2: 'dog' stands on line 1 already"),
            ("x" * 10_000, "10000 characters"),
            ("a\x07b\n", "control character"),
            ("a\u2028b\n", "control character"),
            ("cat,,dog\n", "empty name beside a comma"),
            (b"\xff\xfe", "not UTF-8"),
        ],
    )
    def test_what_cannot_be_a_label(self, tmp_path: Path, content: str | bytes, said: str) -> None:
        with pytest.raises(MinerError) as caught:
            self.read(tmp_path, content)
        assert said in str(caught.value)

    def test_all_problems_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(MinerError) as caught:
            self.read(tmp_path, "cat\ncat\na\x01\n")
        assert len(str(caught.value).splitlines()) == 2

    def test_near_duplicates_are_a_warning(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_text("traffic light\ntraffic-lights\n")
        assert "nearly" in read_labels(tmp_path / "l.txt").warnings[0]

    @pytest.mark.parametrize("count", [1, 1000])
    def test_any_number(self, tmp_path: Path, count: int) -> None:
        assert len(self.read(tmp_path, "".join(f"label {i}\n" for i in range(count)))) == count


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
