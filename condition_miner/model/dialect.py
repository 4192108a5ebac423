"""How an answer's form is asked for: by JSON schema where the server obeys one, else in words.

Servers differ: some constrain the model to a schema, some refuse schemas or parts of them, some take them and ignore
them without a word. So the first thing that a server gets is a probe, whose obedience can be seen.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from condition_miner.answers.records import Answer, Question, canonical
from condition_miner.model.backend import BadRequest, Reply
from condition_miner.model.reading import InvalidAnswer, parse

Send = Callable[[dict[str, Any]], Awaitable[Reply]]


class Mode(StrEnum):
    """How the form of an answer is asked for, the strictest first."""

    SCHEMA = "json_schema"
    OBJECT = "json_object"
    WORDS = "words"


STRICTEST_FIRST = (Mode.SCHEMA, Mode.OBJECT, Mode.WORDS)

IN_WORDS = "Answer with one JSON object and nothing else. It must match this JSON schema:\n"

PROBE_CODES = ("H1", "H2")
PROBE_SCHEMA = {
    "type": "object",
    "properties": {"hue_code": {"type": "string", "enum": list(PROBE_CODES)}},
    "required": ["hue_code"],
    "additionalProperties": False,
}
"""Nothing in the probe's words leads to an answer of this form: who gives it obeys."""
PROBE_WORDS = "What colour is a clear sky at noon? Answer in JSON."
PROBE_ROOM = 200
"""Tokens: a model that isn't constrained may run on, but not for long."""


@dataclass(frozen=True)
class Dialect:
    """What a server understands.

    Attributes:
        mode: the strictest that it obeys.
        completion_tokens: the room is called max_completion_tokens (reasoning models of OpenAI).
        without: parameters that it refuses.
    """

    mode: Mode = Mode.SCHEMA
    completion_tokens: bool = False
    without: tuple[str, ...] = ()

    def body(self, body: dict[str, Any], mode: Mode | None = None) -> dict[str, Any]:
        """A request, written with a JSON schema, as it goes on the wire; in this dialect's mode unless one is given."""
        wired = {name: value for name, value in body.items() if name not in self.without}
        if self.completion_tokens:
            wired["max_completion_tokens"] = wired.pop("max_tokens")
        mode = mode or self.mode
        if mode is Mode.SCHEMA:
            return wired
        schema = body["response_format"]["json_schema"]["schema"]
        first, *rest = body["messages"]
        told = f"{first['content']}\n\n{IN_WORDS}{json.dumps(schema, ensure_ascii=False)}"
        wired["messages"] = [{**first, "content": told}, *rest]
        del wired["response_format"]
        if mode is Mode.OBJECT:
            wired["response_format"] = {"type": "json_object"}
        return wired

    def question(self, question: Question, mode: Mode | None = None) -> Question:
        """A question as it goes on the wire."""
        if (mode or self.mode) is Mode.SCHEMA and not self.completion_tokens and not self.without:
            return question
        return replace(question, body=self.body(question.body, mode))


def less_strict(mode: Mode) -> Mode:
    """The mode to try where one is refused or not obeyed; words are the last."""
    return STRICTEST_FIRST[min(STRICTEST_FIRST.index(mode) + 1, len(STRICTEST_FIRST) - 1)]


def probe_question(endpoint: str, model: str) -> Question:
    """The probe of a model; its answer in the cache is a dialect."""
    body = {
        "model": model,
        "messages": [{"role": "user", "content": PROBE_WORDS}],
        "temperature": 0.0,
        "seed": 0,
        "max_tokens": PROBE_ROOM,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "probe", "strict": True, "schema": PROBE_SCHEMA},
        },
    }
    return Question("probe", endpoint, body, "")


async def probe(send: Send, question: Question, at: str) -> tuple[Dialect, Answer]:
    """Find out a server's dialect, with one to a few tiny requests.

    Returns:
        The dialect, and the answer to keep: the dialect with what was seen.

    Raises:
        Refused: the server is too busy to say, or answers with what is no completion.
        MiningFailed: no request can succeed.
    """
    dialect, seen = Dialect(), []
    tokens = [0, 0]
    while dialect.mode is not Mode.WORDS:
        try:
            reply = await send(_probing(dialect, question.body))
        except BadRequest as error:
            seen.append(str(error))
            dialect = _corrected(dialect, str(error)) or replace(dialect, mode=less_strict(dialect.mode))
            continue
        seen.append(reply.text)
        tokens[0] += reply.tokens_in
        tokens[1] += reply.tokens_out
        if _obeyed(dialect.mode, reply):
            break
        dialect = replace(dialect, mode=less_strict(dialect.mode))
    text = canonical({**dialect.__dict__, "seen": seen})
    return dialect, Answer(text, "stop", tokens[0], tokens[1], len(seen), at)


def known_dialect(answer: Answer) -> Dialect | None:
    """The dialect that a probe found; None where another version of the probe wrote it."""
    try:
        found = json.loads(answer.text)
        without = tuple(str(name) for name in found["without"])
        return Dialect(Mode(found["mode"]), bool(found["completion_tokens"]), without)
    except (ValueError, KeyError, TypeError):
        return None


def _probing(dialect: Dialect, body: dict[str, Any]) -> dict[str, Any]:
    """The probe in a dialect: it never says in words which form it wants."""
    wired = dialect.body(body, Mode.SCHEMA)
    if dialect.mode is Mode.OBJECT:
        wired["response_format"] = {"type": "json_object"}
    return wired


def _obeyed(mode: Mode, reply: Reply) -> bool:
    if reply.finish_reason != "stop":
        return False
    try:
        answer = parse(reply.text)
    except InvalidAnswer:
        return False
    if mode is Mode.OBJECT:
        # What a server enforces needs no repair.
        return isinstance(answer, dict) and reply.text.strip().startswith("{")
    return isinstance(answer, dict) and list(answer) == ["hue_code"] and answer["hue_code"] in PROBE_CODES


def _corrected(dialect: Dialect, refusal: str) -> Dialect | None:
    """The dialect with the parameter that a refusal names; None where it names none that is new."""
    if "max_completion_tokens" in refusal and not dialect.completion_tokens:
        return replace(dialect, completion_tokens=True)
    for name in ("temperature", "seed"):
        if name in refusal and name not in dialect.without:
            return replace(dialect, without=(*dialect.without, name))
    return None
