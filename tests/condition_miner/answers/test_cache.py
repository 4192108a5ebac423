"""The answer cache: keys, export and import, concurrent writers, no eviction."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from condition_miner.answers.cache import AnswerCache
from condition_miner.answers.files import export_answers, import_answers, verify
from condition_miner.answers.records import Answer
from condition_miner.errors import MinerError
from tests.condition_miner.cached import ANSWER, question


class TestCache:
    def test_a_key_depends_on_everything(self) -> None:
        base = question()
        others = [
            question(endpoint="https://a/v1"),
            question(template="u"),
            question(sample=1),
            question(body={**base.body, "temperature": 0.2}),
            question(body={**base.body, "messages": [{"role": "system", "content": "x"}]}),
        ]
        assert len({base.cache_key, *(other.cache_key for other in others)}) == 6
        shuffled = dict(reversed(list(base.body.items())))
        assert question(body=shuffled).cache_key == base.cache_key

    def test_export_and_import(self, tmp_path: Path) -> None:
        with AnswerCache(tmp_path / "a") as cache:
            cache.put(question(), ANSWER)
            cache.put(question(sample=1), ANSWER)
            assert export_answers(cache, tmp_path / "x.jsonl.gz") == (2, [])
            assert export_answers(cache, tmp_path / "y.jsonl.gz") == (2, [])
        assert (tmp_path / "x.jsonl.gz").read_bytes() == (tmp_path / "y.jsonl.gz").read_bytes()
        with AnswerCache(tmp_path / "b") as other:
            assert import_answers(other, tmp_path / "x.jsonl.gz") == (2, 0)
            assert import_answers(other, tmp_path / "x.jsonl.gz") == (0, 2)
            assert other.get(question(sample=1)) == ANSWER
            assert other.origins() == [("local", "m")]

    def test_a_bad_line_adds_nothing(self, tmp_path: Path) -> None:
        with AnswerCache(tmp_path / "a") as cache:
            cache.put(question(), ANSWER)
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

    def test_concurrent_writers(self, tmp_path: Path) -> None:
        """Two concurrent writers lose nothing."""

        def write(stage: str) -> None:
            with AnswerCache(tmp_path) as cache:
                for sample in range(60):
                    cache.put(question(stage=stage, sample=sample), ANSWER)

        writers = [threading.Thread(target=write, args=(stage,)) for stage in ("describe", "abstract")]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        with AnswerCache(tmp_path) as cache:
            assert len(cache) == 120
            assert verify(cache) == (120, [])

    def test_nothing_is_evicted(self, tmp_path: Path) -> None:
        """diskcache evicts beyond 1 GiB by default; the limit is checked at each write."""
        with AnswerCache(tmp_path) as cache:
            assert cache._cache.eviction_policy == "none"
            assert cache._cache.cull_limit == 0
            for sample in range(40):
                cache.put(question(sample=sample), Answer("x" * 100_000, "stop", 1, 1, 1, "x"))
            assert len(cache) == 40
