"""The dialect of a server: its output mode (JSON schema, JSON object, or instructions in words) and its parameters.

Some servers constrain the model to a schema, some reject schemas or parts of them, and some silently ignore them. So
the first request to a server is a probe, whose answer shows whether the schema was enforced.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from condition_miner.answers.records import Answer, Question, canonical_json
from condition_miner.model.backend import BadRequest, Reply
from condition_miner.model.reading import InvalidAnswer, parse

Send = Callable[[dict[str, Any]], Awaitable[Reply]]


class OutputMode(StrEnum):
    """How the JSON of an answer is requested, the strictest mode first."""

    SCHEMA = "json_schema"
    OBJECT = "json_object"
    WORDS = "words"


STRICTEST_FIRST = (OutputMode.SCHEMA, OutputMode.OBJECT, OutputMode.WORDS)

SCHEMA_INSTRUCTION = "Answer with one JSON object and nothing else. It must match this JSON schema:\n"

PROBE_CODES = ("H1", "H2")
PROBE_SCHEMA = {
    "type": "object",
    "properties": {"hue_code": {"type": "string", "enum": list(PROBE_CODES)}},
    "required": ["hue_code"],
    "additionalProperties": False,
}
"""The prompt of the probe does not mention this schema, so only a server that enforces it answers in its form."""
PROBE_PROMPT = "What colour is a clear sky at noon? Answer in JSON."
PROBE_MAX_TOKENS = 200
"""Output tokens of the probe; an unconstrained model may write long answers."""


@dataclass(frozen=True)
class Dialect:
    """The dialect of a server.

    Attributes:
        mode: the strictest output mode that it enforces.
        completion_tokens: whether the token limit is called max_completion_tokens (OpenAI's reasoning models).
        without: parameters that it rejects.
    """

    mode: OutputMode = OutputMode.SCHEMA
    completion_tokens: bool = False
    without: tuple[str, ...] = ()

    def wire_body(self, body: dict[str, Any], mode: OutputMode | None = None) -> dict[str, Any]:
        """A request body in this dialect. One with a JSON schema takes the dialect's mode, or `mode` instead."""
        if "prompt" in body:
            return body
        wire = {name: value for name, value in body.items() if name not in self.without}
        if self.completion_tokens:
            wire["max_completion_tokens"] = wire.pop("max_tokens")
        mode = mode or self.mode
        if mode is OutputMode.SCHEMA or not wants_json(body):
            return wire
        schema = body["response_format"]["json_schema"]["schema"]
        first, *rest = body["messages"]
        told = f"{first['content']}\n\n{SCHEMA_INSTRUCTION}{json.dumps(schema, ensure_ascii=False)}"
        wire["messages"] = [{**first, "content": told}, *rest]
        del wire["response_format"]
        if mode is OutputMode.OBJECT:
            wire["response_format"] = {"type": "json_object"}
        return wire

    def wire_question(self, question: Question, mode: OutputMode | None = None) -> Question:
        """A question with its body in this dialect, as `wire_body`."""
        if (mode or self.mode) is OutputMode.SCHEMA and not self.completion_tokens and not self.without:
            return question
        return replace(question, body=self.wire_body(question.body, mode))


def wants_json(body: dict[str, Any]) -> bool:
    """Whether a request's answer is to be JSON; otherwise it is log-probabilities."""
    return not ("prompt" in body or body.get("logprobs"))


def less_strict(mode: OutputMode) -> OutputMode:
    """The next mode to try if this one is rejected or ignored; after the last mode, the last one again."""
    return STRICTEST_FIRST[min(STRICTEST_FIRST.index(mode) + 1, len(STRICTEST_FIRST) - 1)]


def probe_question(endpoint: str, model: str) -> Question:
    """The dialect probe of a model. Its cached answer is a dialect."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROBE_PROMPT}],
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
    """Detect a server's dialect with a few tiny requests.

    Returns:
        The dialect, and the answer to cache: the dialect and the raw replies.

    Raises:
        RequestFailed: the server is overloaded, or its reply is no completion.
        MiningFailed: no request can succeed.
    """
    dialect, seen = Dialect(), []
    tokens = [0, 0]
    while dialect.mode is not OutputMode.WORDS:
        try:
            reply = await send(_probe_body(dialect, question.body))
        except BadRequest as error:
            seen.append(str(error))
            dialect = _adapted(dialect, str(error)) or replace(dialect, mode=less_strict(dialect.mode))
            continue
        seen.append(reply.text)
        tokens[0] += reply.tokens_in
        tokens[1] += reply.tokens_out
        if _obeyed(dialect.mode, reply):
            break
        dialect = replace(dialect, mode=less_strict(dialect.mode))
    text = canonical_json({**dialect.__dict__, "seen": seen})
    return dialect, Answer(text, "stop", tokens[0], tokens[1], len(seen), at)


def dialect_from(answer: Answer) -> Dialect | None:
    """The dialect in the cached answer of a probe; None if another version of the probe wrote it."""
    try:
        found = json.loads(answer.text)
        without = tuple(str(name) for name in found["without"])
        return Dialect(OutputMode(found["mode"]), bool(found["completion_tokens"]), without)
    except (ValueError, KeyError, TypeError):
        return None


def _probe_body(dialect: Dialect, body: dict[str, Any]) -> dict[str, Any]:
    """The body of the probe in a dialect. It never describes the schema in words."""
    wire = dialect.wire_body(body, OutputMode.SCHEMA)
    if dialect.mode is OutputMode.OBJECT:
        wire["response_format"] = {"type": "json_object"}
    return wire


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


def _adapted(dialect: Dialect, refusal: str) -> Dialect | None:
    """The dialect without the parameter that an error message names; None if it names no new one."""
    if "max_completion_tokens" in refusal and not dialect.completion_tokens:
        return replace(dialect, completion_tokens=True)
    for name in ("temperature", "seed"):
        if name in refusal and name not in dialect.without:
            return replace(dialect, without=(*dialect.without, name))
    return None
