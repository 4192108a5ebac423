"""Whatever a model answers, if it passes the checks, mining gives a bank that can be written and read."""

from __future__ import annotations

import json
import random
from types import SimpleNamespace
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st

from condition_miner.answers.records import Answer
from condition_miner.asking.asker import Asker, Unanswerable
from condition_miner.asking.attempts import CheckedQuestion
from condition_miner.errors import MiningFailed
from condition_miner.messages.templates import PromptTemplates
from condition_miner.mining import Miner
from condition_miner.model.next_tokens import NextTokens
from condition_miner.model.reading import InvalidAnswer
from condition_miner.settings import MinerSettings
from prompt_bank.recording.store import dumps, loads
from prompt_bank.schema import Label
from tests.condition_miner.server import good

LABELS = tuple(Label(name=name) for name in ("cat", "dining table", "ネコ", "{{7*7}}", "X1"))
ODD = [
    "\u202eenarc",
    "ﷺ" * 90,
    "_",
    "",
    " ",
    "timeOfDay",
    "X1, X99",
    "X0",
    "cat",
    "a\u2028b",
    "-",
    "none",
    "…",
    "K",
    "ı",
]
PARTS = ["place", "light", "In place", " ", "X1", "cat", "時間", ",", "</data>", "'", "\u0301", "ß", "İ", "7"]


class AnyModel:
    """Random answers that match the schema; a valid answer where the checks reject them."""

    address = SimpleNamespace(endpoint="local")
    offline = dry_run = False

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.refused = seed % 4

    def cached(self, ask: CheckedQuestion) -> None:
        """Nothing is."""

    def answers(self, asks: list[CheckedQuestion]) -> list[Answer]:
        found = []
        for ask in asks:
            if "response_format" not in ask.question.body:
                found.append(self.probabilities(ask))
                continue
            text = json.dumps(self.drawn(ask.question.body["response_format"]["json_schema"]["schema"]))
            try:
                ask.check(text)
            except InvalidAnswer:
                text = good(ask.question.body)
                ask.check(text)
            found.append(Answer(text, "stop", 1, 1, 1, "2026-01-01T00:00:00Z"))
        return found

    def probabilities(self, ask: CheckedQuestion) -> Answer:
        """Of tokens that are odd, too; up to three of the four ways to ask are refused."""
        if ask.question.stage == "affinity-probe" and self.refused:
            self.refused -= 1
            raise Unanswerable("refused")
        odd = [" \u202e", "yes", "No", " ", "", " the", " ネコネコ", "é", " Straße", " STRASSE", " streets", " street"]
        tokens = [*odd, *(f" {''.join(self.rng.choices('abcde', k=4))}" for _ in range(90))]
        chosen = ["yes", "no", *self.rng.sample(tokens, 60)]
        numbers = tuple(-(10 ** self.rng.uniform(-3, 4)) for _ in set(chosen))
        text = NextTokens(tuple(dict.fromkeys(chosen)), (numbers,)).text()
        ask.check(text)
        return Answer(text, "stop", 1, 1, 1, "2026-01-01T00:00:00Z")

    def drawn(self, schema: dict[str, Any]) -> Any:
        if schema["type"] == "object":
            return {name: self.drawn(one) for name, one in schema["properties"].items()}
        if schema["type"] == "array":
            return [self.drawn(schema["items"]) for _ in range(schema["maxItems"])]
        if "enum" in schema:
            return self.rng.choice(schema["enum"])
        return self.rng.choice([self.rng.choice(ODD), "".join(self.rng.choices(PARTS, k=self.rng.randint(1, 6)))])

    def notice(self, text: str) -> None:
        assert text

    def provenance(self) -> dict[str, Any]:
        return {}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([2, "auto"]))
def test_any_answer_that_passes_its_check_leads_to_a_bank(seed: int, conditions: int | str) -> None:
    asked = MinerSettings.model_validate(
        {"conditions": conditions, "candidates": 3, "combinations": 3, "captions": 2, "abstractions": 2}
    )
    miner = Miner(LABELS, "any", "m", asked, PromptTemplates(), cast(Asker, AnyModel(seed)))
    try:
        bank = miner.mine()
    except MiningFailed:
        return
    read, _ = loads(dumps(bank))
    assert read == bank
    assert any(condition.affinity for condition in bank.conditions)
    for caption in bank.captions:
        assert caption.labels
        assert all(factor.words for factor in caption.factors)
