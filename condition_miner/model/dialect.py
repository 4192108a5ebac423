"""The dialect of a server: its output mode (JSON schema, JSON object, or instructions in words) and its parameters.

Servers refuse parameters that others need. What a refusal names is left out from then on: a change of the dialect.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from condition_miner.answers.records import Answer, Question, canonical_json


class OutputMode(StrEnum):
    """How the JSON of an answer is requested, the strictest mode first."""

    SCHEMA = "json_schema"
    OBJECT = "json_object"
    WORDS = "words"


STRICTEST_FIRST = (OutputMode.SCHEMA, OutputMode.OBJECT, OutputMode.WORDS)

SCHEMA_INSTRUCTION = "Answer with one JSON object and nothing else. It must match this JSON schema:\n"

COMPLETION_TOKENS, NO_SYSTEM = "max_completion_tokens", "system"
"""Changes: the limit of tokens has its other name (OpenAI's reasoning models); the system's text goes to the user's."""
PARAMETERS = ("max_tokens", "temperature", "seed")
"""Parameters that are left out where a server refuses them."""
_SYSTEM = re.compile(
    r"system\W{0,3}(role|message|prompt|instruction)|role\b.{0,60}\bsystem|developer instruction"
    r"|only user and assistant|(conversation )?roles? must (alternate|be)"
    r"|\bsystem\b.{0,40}\bnot (be )?(supported|allowed|enabled)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Dialect:
    """The dialect of a server.

    Attributes:
        mode: the strictest output mode that it enforces.
        changes: what its requests have otherwise, in the order in which it was found out: COMPLETION_TOKENS, NO_SYSTEM,
            or the name of a parameter that is left out.
    """

    mode: OutputMode = OutputMode.SCHEMA
    changes: tuple[str, ...] = ()

    def wire_body(self, body: dict[str, Any], mode: OutputMode | None = None) -> dict[str, Any]:
        """A request body in this dialect. One with a JSON schema takes the dialect's mode, or `mode` instead."""
        if "prompt" in body:
            return body
        wire = dict(body)
        mode = mode or self.mode
        if mode is not OutputMode.SCHEMA and wants_json(body):
            schema = body["response_format"]["json_schema"]["schema"]
            first, *rest = body["messages"]
            told = f"{first['content']}\n\n{SCHEMA_INSTRUCTION}{json.dumps(schema, ensure_ascii=False)}"
            wire["messages"] = [{**first, "content": told}, *rest]
            del wire["response_format"]
            if mode is OutputMode.OBJECT:
                wire["response_format"] = {"type": "json_object"}
        return self._changed(wire)

    def _changed(self, wire: dict[str, Any]) -> dict[str, Any]:
        """A request body with the changes."""
        for change in self.changes:
            if change == COMPLETION_TOKENS and "max_tokens" in wire:
                wire[COMPLETION_TOKENS] = wire.pop("max_tokens")
            elif change == NO_SYSTEM:
                wire["messages"] = without_system(wire["messages"])
            else:
                wire.pop(change, None)
                if change == "max_tokens":
                    wire.pop(COMPLETION_TOKENS, None)
        return wire

    def wire_question(self, question: Question, mode: OutputMode | None = None) -> Question:
        """A question with its body in this dialect, as `wire_body`."""
        if (mode or self.mode) is OutputMode.SCHEMA and not self.changes:
            return question
        return replace(question, body=self.wire_body(question.body, mode))

    def adapted(self, refusal: str) -> Dialect | None:
        """The dialect without what a server's refusal names; None if it names nothing new."""
        change = self._change_for(refusal)
        return replace(self, changes=(*self.changes, change)) if change else None

    def earlier(self) -> list[Dialect]:
        """This dialect and those that it was before its changes: answers are kept under the one of their time."""
        return [replace(self, changes=self.changes[:count]) for count in range(len(self.changes), -1, -1)]

    def _change_for(self, refusal: str) -> str | None:
        if NO_SYSTEM not in self.changes and _SYSTEM.search(refusal):
            return NO_SYSTEM
        named = {name: at for name in (*PARAMETERS, COMPLETION_TOKENS) if (at := _place(name, refusal)) is not None}
        if COMPLETION_TOKENS not in self.changes and (COMPLETION_TOKENS in named or _is_unknown("max_tokens", refusal)):
            return COMPLETION_TOKENS
        if COMPLETION_TOKENS in named:
            named.setdefault("max_tokens", named[COMPLETION_TOKENS])
        found = [name for name in sorted(named, key=lambda name: named[name]) if name in PARAMETERS]
        return next((name for name in found if name not in self.changes), None)


def without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The messages with the system's text in front of the user's, for models whose template has no system role."""
    told = [message["content"] for message in messages if message["role"] == "system"]
    rest = [message for message in messages if message["role"] != "system"]
    if not told or not rest:
        return messages
    return [{**rest[0], "content": "\n\n".join((*told, rest[0]["content"]))}, *rest[1:]]


def _place(name: str, refusal: str) -> int | None:
    """Where a refusal names a parameter, as a word of its own."""
    found = re.search(rf"(?<![A-Za-z0-9_]){name}(?![A-Za-z0-9_])", refusal)
    return found.start() if found else None


def _is_unknown(name: str, refusal: str) -> bool:
    """Whether a refusal says that it does not know a parameter, rather than that its value is wrong."""
    unknown = (
        r"unknown|unrecogni[sz]ed|unsupported parameter|unexpected|extra|not permitted|is not supported|cannot find"
    )
    return _place(name, refusal) is not None and re.search(unknown, refusal, re.IGNORECASE) is not None


def wants_json(body: dict[str, Any]) -> bool:
    """Whether a request's answer is to be JSON; otherwise it is log-probabilities."""
    return not ("prompt" in body or body.get("logprobs"))


def less_strict(mode: OutputMode) -> OutputMode:
    """The next mode to try if this one is rejected or ignored; after the last mode, the last one again."""
    return STRICTEST_FIRST[min(STRICTEST_FIRST.index(mode) + 1, len(STRICTEST_FIRST) - 1)]


def dialect_answer(dialect: Dialect, seen: list[str], tokens: tuple[int, int], at: str) -> Answer:
    """A dialect as the cached answer of a probe, with the raw replies that showed it."""
    content = {"mode": dialect.mode, "changes": dialect.changes, "seen": seen}
    return Answer(canonical_json(content), "stop", *tokens, max(1, len(seen)), at)


def dialect_from(answer: Answer) -> Dialect | None:
    """The dialect in the cached answer of a probe, of this version or the first one; None if it is no such answer."""
    try:
        found = json.loads(answer.text)
        mode = OutputMode(found["mode"])
        if "changes" in found:
            return Dialect(mode, tuple(str(name) for name in found["changes"]))
        renamed = (COMPLETION_TOKENS,) if found["completion_tokens"] else ()
        return Dialect(mode, (*renamed, *(str(name) for name in found["without"])))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
