"""The miner's parts on their own: labels, covering design, templates, answers, voting, keys."""

from __future__ import annotations

import json
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from condition_miner import answers
from condition_miner.answers import InvalidAnswer, ProposedCondition
from condition_miner.cache import Answer, AnswerCache, Question, export_answers, identity, import_answers
from condition_miner.combinations import covering_design
from condition_miner.errors import MinerError
from condition_miner.labels import read_labels
from condition_miner.templates import MESSAGES, Templates, shipped_folder
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


@settings(max_examples=40, deadline=None)
@given(labels=st.integers(2, 60), count=st.integers(1, 80), largest=st.integers(2, 4), seed=st.integers(0, 99))
def test_covering_design(labels: int, count: int, largest: int, seed: int) -> None:
    """Distinct combinations of the right sizes; labels occur about equally often; the same again for the same seed."""
    names = tuple(f"l{i}" for i in range(labels))
    chosen = covering_design(names, count, largest, seed)
    assert len(set(chosen)) == len(chosen) <= count
    assert all(2 <= len(set(c)) == len(c) <= largest or len(c) == labels for c in chosen)
    assert all(list(c) == sorted(c, key=names.index) for c in chosen)
    assert chosen == covering_design(names, count, largest, seed)
    used = Counter(name for c in chosen for name in c)
    if len(chosen) >= labels:
        assert set(used) == set(names)


def test_covering_design_covers_pairs_and_scales() -> None:
    names = tuple(f"l{i}" for i in range(12))
    seen = {pair for c in covering_design(names, 40, 3, 0) for pair in combinations(c, 2)}
    assert len(seen) > 55
    many = covering_design(tuple(f"l{i}" for i in range(1000)), 600, 4, 0)
    assert len({name for c in many for name in c}) == 1000


def test_one_label_stands_alone() -> None:
    assert covering_design(("cat",), 10, 3, 0) == [("cat",)]


VARIABLES = {"describe": {"labels": ["cat"], "count": 2}, "abstract": {"descriptions": ["a"], "count": 2}}


class TestTemplates:
    def own(self, folder: Path, name: str, content: str) -> Templates:
        (folder / name).write_text(content)
        return Templates(folder)

    def test_shipped_ones_render_and_are_all_used(self) -> None:
        assert {p.name for p in shipped_folder().glob("*.j2")} == {
            f"{m}_{r}.j2" for m in MESSAGES for r in ("system", "user")
        }
        for message, variables in VARIABLES.items():
            assert all(m["content"] for m in Templates().messages(message, variables))

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("one\n{{ lables }}", "describe_user.j2, line 2: 'lables' is undefined"),
            ("{{ labels", "describe_user.j2, line 1"),
            ("{{ ''.__class__.__mro__ }}", "unsafe"),
            ("{{ 'x' * 100000 }}", "grows over 60000 characters"),
            ("{% for i in range(99999999) %}x{% endfor %}", "Range too big"),
            ("{{ 1 / 0 }}", "division"),
        ],
    )
    def test_broken_ones_are_named(self, tmp_path: Path, content: str, said: str) -> None:
        with pytest.raises(MinerError) as caught:
            self.own(tmp_path, "describe_user.j2", content).messages("describe", VARIABLES["describe"])
        assert said in str(caught.value)

    def test_own_ones_change_the_hash(self, tmp_path: Path) -> None:
        own = self.own(tmp_path, "describe_user.j2", "Describe {{ labels | data }} {{ count }} times.")
        assert own.hash("describe") != Templates().hash("describe")
        assert own.hash("abstract") == Templates().hash("abstract")
        assert own.messages("describe", VARIABLES["describe"])[1]["content"] == 'Describe ["cat"] 2 times.'

    def test_unknown_files_and_folders(self, tmp_path: Path) -> None:
        with pytest.raises(MinerError, match="no message is rendered from it"):
            self.own(tmp_path, "desrcibe_user.j2", "x")
        with pytest.raises(MinerError, match="no such folder"):
            Templates(tmp_path / "nowhere")

    @given(label=st.text(min_size=1, max_size=40))
    def test_any_label_stays_inside_its_data_block(self, label: str) -> None:
        user = Templates().messages("describe", {"labels": [label], "count": 1})[1]["content"]
        assert user.count("<data>") == user.count("</data>") == 1
        inside = user.split("<data>")[1].split("</data>")[0]
        assert json.loads(inside) == {"objects": [label]}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("", "empty"),
        ("{", "not JSON"),
        ('{"a": 1, "a": 2}', "twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": 1} and so on', "not JSON"),
        ("[" * 100_000, "nested|not JSON"),
    ],
)
def test_answers_are_read_strictly(raw: str, said: str) -> None:
    with pytest.raises(InvalidAnswer, match=said):
        answers.parse(raw)


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


def question(**change: object) -> Question:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": 0.1}
    return Question(**{"stage": "describe", "endpoint": "local", "body": body, "template": "t", "sample": 0, **change})


class TestCache:
    ANSWER = Answer("{}", "stop", 1, 2, 1, "2026-01-01T00:00:00Z")

    def test_a_key_depends_on_everything(self) -> None:
        base = question()
        others = [
            question(endpoint="https://a/v1"),
            question(template="u"),
            question(sample=1),
            question(body={**base.body, "temperature": 0.2}),
            question(body={**base.body, "messages": [{"role": "system", "content": "x"}]}),
        ]
        assert len({base.key, *(other.key for other in others)}) == 6
        shuffled = dict(reversed(list(base.body.items())))
        assert question(body=shuffled).key == base.key

    @pytest.mark.parametrize(
        ("url", "name"),
        [
            ("http://127.0.0.1:8000/v1", "local"),
            ("http://localhost:1/v1", "local"),
            ("http://[::1]:1/v1", "local"),
            ("https://user:secret@api.example.org/v1/", "https://api.example.org/v1"),
            ("https://api.example.org:8443/v1", "https://api.example.org:8443/v1"),
        ],
    )
    def test_identity_leaves_ports_of_this_machine_and_credentials_out(self, url: str, name: str) -> None:
        assert identity(url) == name

    def test_not_an_address(self) -> None:
        with pytest.raises(MinerError, match="http"):
            identity("ftp://x")

    def test_export_and_import(self, tmp_path: Path) -> None:
        with AnswerCache(tmp_path / "a") as cache:
            cache.put(question(), self.ANSWER)
            cache.put(question(sample=1), self.ANSWER)
            assert export_answers(cache, tmp_path / "x.jsonl.gz") == 2
            assert export_answers(cache, tmp_path / "y.jsonl.gz") == 2
        assert (tmp_path / "x.jsonl.gz").read_bytes() == (tmp_path / "y.jsonl.gz").read_bytes()
        with AnswerCache(tmp_path / "b") as other:
            assert import_answers(other, tmp_path / "x.jsonl.gz") == 2
            assert other.get(question(sample=1)) == self.ANSWER
            assert other.origins() == [("local", "m")]

    def test_a_bad_line_adds_nothing(self, tmp_path: Path) -> None:
        with AnswerCache(tmp_path / "a") as cache:
            cache.put(question(), self.ANSWER)
            export_answers(cache, tmp_path / "x.jsonl")
        with (tmp_path / "x.jsonl").open("a") as file:
            file.write('{"question": {}}\nnot json\n')
        with AnswerCache(tmp_path / "b") as other:
            with pytest.raises(MinerError) as caught:
                import_answers(other, tmp_path / "x.jsonl")
            assert "line 2" in str(caught.value)
            assert "line 3" in str(caught.value)
            assert len(other) == 0

    def test_nothing_is_pickled(self, tmp_path: Path) -> None:
        with AnswerCache(tmp_path) as cache, pytest.raises(TypeError, match="holds text"):
            cache._cache.set("key", {"not": "text"})
