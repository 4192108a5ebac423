"""Finds out a server's dialect with a few tiny requests, before the first question.

Some servers constrain the model to a schema, some reject schemas or parts of them, and some silently ignore them. The
probe looks like a real question, with a system message and all parameters, but nothing in its words leads to its
schema: who answers in that form obeys schemas.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from condition_miner.answers.records import Answer, Question
from condition_miner.model.backend import BadRequest, Reply, RequestFailed, TransientFailure
from condition_miner.model.dialect import NO_SYSTEM, Dialect, OutputMode, dialect_answer, less_strict
from condition_miner.model.reading import InvalidAnswer, parse
from condition_miner.model.refusals import may_be_the_form, too_long

Send = Callable[[dict[str, Any]], Awaitable[Reply]]

PROBE_CODES = ("H1", "H2")
PROBE_SCHEMA = {
    "type": "object",
    "properties": {"hue_code": {"type": "string", "enum": list(PROBE_CODES)}},
    "required": ["hue_code"],
    "additionalProperties": False,
}
"""The prompt of the probe does not mention this schema, so only a server that enforces it answers in its form."""
PROBE_SYSTEM = "You answer questions about photographs."
PROBE_PROMPT = "What colour is a clear sky at noon? Answer in JSON."
PROBE_MAX_TOKENS = 200
"""Output tokens of the probe; an unconstrained model may write long answers."""
PROBE_ROOM_TO_THINK = 1500
"""Output tokens of a second probe, where a model spent those of the first one on thoughts."""


def probe_question(endpoint: str, model: str) -> Question:
    """The dialect probe of a model. Its cached answer is a dialect."""
    return _question(endpoint, model, [{"role": "system", "content": PROBE_SYSTEM}])


def first_probe_question(endpoint: str, model: str) -> Question:
    """The probe of earlier versions, which had no system message: its cached answer still counts."""
    return _question(endpoint, model, [])


def _question(endpoint: str, model: str, before: list[dict[str, str]]) -> Question:
    body = {
        "model": model,
        "messages": [*before, {"role": "user", "content": PROBE_PROMPT}],
        "temperature": 0.0,
        "seed": 0,
        "max_tokens": PROBE_MAX_TOKENS,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "probe", "strict": True, "schema": PROBE_SCHEMA},
        },
    }
    return Question("probe", endpoint, body, "")


async def probe(send: Send, question: Question, at: str) -> tuple[Dialect, Answer]:
    """Detect a server's dialect.

    Returns:
        The dialect, and the answer to cache: the dialect and the raw replies.

    Raises:
        RequestFailed: the server answered in no dialect, so that there is nothing to remember.
        MiningFailed: no request can succeed.
    """
    tried = _Tried(question.body)
    while True:
        try:
            reply = await send(tried.body())
        except RequestFailed as error:
            tried.refused(error)
            continue
        if tried.answered(reply):
            return tried.dialect, dialect_answer(tried.dialect, tried.seen, (tried.tokens_in, tried.tokens_out), at)


@dataclass
class _Tried:
    """What a probe has found out so far."""

    question: dict[str, Any]
    dialect: Dialect = field(default_factory=Dialect)
    seen: list[str] = field(default_factory=list)
    tokens_in: int = 0
    tokens_out: int = 0
    heard: bool = False
    room: int = PROBE_MAX_TOKENS

    def body(self) -> dict[str, Any]:
        """The body of the next request. It never describes the schema in words."""
        asked = {**self.question, "max_tokens": self.room}
        if self.dialect.mode is not OutputMode.SCHEMA:
            del asked["response_format"]
        if self.dialect.mode is OutputMode.OBJECT:
            asked["response_format"] = {"type": "json_object"}
        return self.dialect.wire_body(asked, OutputMode.SCHEMA)

    def refused(self, error: RequestFailed) -> None:
        """Go on in another dialect after a refusal.

        Raises:
            RequestFailed: the refusal, if there is no other.
        """
        if too_long(error) or not (isinstance(error, BadRequest) or may_be_the_form(error)):
            raise error
        self.seen.append(str(error))
        better = self.dialect.adapted(error.named) if isinstance(error, BadRequest) else None
        if better:
            self.dialect = better
        elif self.dialect.mode is not OutputMode.WORDS:
            self.dialect = replace(self.dialect, mode=less_strict(self.dialect.mode))
        elif NO_SYSTEM not in self.dialect.changes and not isinstance(error, TransientFailure):
            # A refusal without a clear word may still mean the one thing that all requests had in common.
            self.dialect = Dialect(OutputMode.SCHEMA, (*self.dialect.changes, NO_SYSTEM))
        else:
            raise error

    def answered(self, reply: Reply) -> bool:
        """Whether the dialect is found after this reply; else go on in another one."""
        self.seen.append(reply.text)
        self.tokens_in += reply.tokens_in
        self.tokens_out += reply.tokens_out
        mode = self.dialect.mode
        if mode is OutputMode.WORDS or _obeyed(mode, reply):
            return True
        self.heard = True
        if reply.finish_reason == "length" and not reply.text and self.room < PROBE_ROOM_TO_THINK:
            self.room = PROBE_ROOM_TO_THINK
            return False
        self.dialect = replace(self.dialect, mode=less_strict(mode))
        return self.dialect.mode is OutputMode.WORDS and self.heard


def _obeyed(mode: OutputMode, reply: Reply) -> bool:
    if reply.finish_reason != "stop":
        return False
    try:
        answer = parse(reply.text)
    except InvalidAnswer:
        return False
    if mode is OutputMode.OBJECT:
        # If the server enforces JSON, the raw text is JSON.
        return isinstance(answer, dict) and reply.text.strip().startswith("{")
    return isinstance(answer, dict) and list(answer) == ["hue_code"] and answer["hue_code"] in PROBE_CODES
