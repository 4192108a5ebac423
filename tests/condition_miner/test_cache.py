"""The answer cache: keys, exports, damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from condition_miner.address import identity
from condition_miner.cache import AnswerCache
from condition_miner.cache_files import export_answers, import_answers
from condition_miner.errors import MinerError
from condition_miner.rows import Answer, Question


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
            assert export_answers(cache, tmp_path / "x.jsonl.gz") == (2, [])
            assert export_answers(cache, tmp_path / "y.jsonl.gz") == (2, [])
        assert (tmp_path / "x.jsonl.gz").read_bytes() == (tmp_path / "y.jsonl.gz").read_bytes()
        with AnswerCache(tmp_path / "b") as other:
            assert import_answers(other, tmp_path / "x.jsonl.gz") == (2, 0)
            assert import_answers(other, tmp_path / "x.jsonl.gz") == (0, 2)
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
