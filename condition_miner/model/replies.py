"""A reply from the JSON of a server's answer: content in parts, reasons for its end, errors with status 200."""

from __future__ import annotations

import re
from typing import Any

from condition_miner.model.backend import BadRequest, Reply, TransientFailure
from condition_miner.model.next_tokens import most_likely_of
from condition_miner.model.untrusted import Unreadable, load_json, words

MOST_TOKENS = 10**9
"""A higher count of tokens is no count."""
MAX_MODEL_NAME = 100
"""The most characters of a model's name as the server says it."""
_CUT = re.compile(r"length|max_?(output_?|completion_?|new_?)?tokens?|abort|cancel|truncat|limit", re.IGNORECASE)
_FILTERED = re.compile(
    r"filter|safety|recitation|block|prohibited|spii|sensitive|refus|moderation|guardrail", re.IGNORECASE
)
_BROKEN = re.compile(r"error|insufficient_system_resource|malformed|other_failure", re.IGNORECASE)
_NO_CHOICES = "the server's answer has no choices; is it an OpenAI-compatible endpoint?"


def reply_to(body: dict[str, Any], content: Any) -> Reply:
    """The reply in a server's answer to a request.

    Raises:
        BadRequest: log-probabilities were asked for, and there are none.
        TransientFailure: the answer is no completion, or was broken off.
    """
    choice = _choice(content)
    tokens_in, tokens_out = _usage(content.get("usage"))
    model = words(content.get("model") or "", MAX_MODEL_NAME)
    if body.get("logprobs"):
        found = most_likely_of(choice)
        if found is None:
            raise BadRequest("the server gives no log-probabilities", "logprobs")
        return Reply(found.text(), "stop", tokens_in, tokens_out, model)
    message = choice.get("message")
    if isinstance(choice.get("text"), str) and message is None:  # a completion in the form of the older interface
        message = {"content": choice["text"]}
    if not isinstance(message, dict):
        raise TransientFailure("the server's answer has no message; is it an OpenAI-compatible endpoint?")
    if message.get("refusal"):
        return Reply("", "refusal", tokens_in, tokens_out, model)
    ended = finish_reason(choice.get("finish_reason"))
    if ended == "error":
        raise TransientFailure("the server broke the answer off (finish_reason error)")
    text = _text_of(message)
    if ended == "stop" and not text:
        text, ended = _answer_among_thoughts(message), "stop" if message.get("content") is not None else "no content"
        ended = "stop" if text else ended
    return Reply(text or "", ended, tokens_in, tokens_out, model)


def finish_reason(told: Any) -> str:
    """ "length", "content_filter", "error" or "stop": only what says that an answer was cut off or filtered counts."""
    reason = str(told or "")
    for pattern, meant in ((_CUT, "length"), (_FILTERED, "content_filter"), (_BROKEN, "error")):
        if pattern.search(reason):
            return meant
    return "stop"


def stream_content(text: str) -> Any:
    """The completion in an event stream, which some servers send unasked: its pieces put together.

    Raises:
        Unreadable: a piece is no JSON.
    """
    pieces: list[str] = []
    whole: dict[str, Any] = {}
    ended: Any = None
    for line in text.splitlines():
        told = line.removeprefix("data:").strip()
        if not line.startswith("data:") or told in ("", "[DONE]"):
            continue
        event = load_json(told)
        if not isinstance(event, dict):
            continue
        whole = {**whole, **event}
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        delta = choice.get("delta")
        if isinstance(delta, dict) and isinstance(delta.get("content"), str):
            pieces.append(delta["content"])
        elif isinstance(choice.get("message"), dict):
            return event
        ended = choice.get("finish_reason") or ended
    if not pieces and whole.get("error"):
        return whole
    if "[DONE]" not in text and ended is None:
        raise Unreadable("the stream ends before the answer does")
    message = {"role": "assistant", "content": "".join(pieces)}
    return {**whole, "choices": [{"index": 0, "finish_reason": ended, "message": message}]}


def model_names(content: Any) -> list[str] | None:
    """The names in a server's list of models; None if it is no such list.

    Servers give {"data": [...]}, {"models": [...]} or a bare list, of objects or names. Models that can't chat are left
    out by their names, unless there are no others.
    """
    listed = content
    if isinstance(content, dict):
        listed = next(
            (content[key] for key in ("data", "models", "result") if isinstance(content.get(key), list)), None
        )
    if not isinstance(listed, list):
        return None
    names: list[str] = []
    for one in listed[:10_000]:
        name = one
        if isinstance(one, dict):
            name = next((one[key] for key in ("id", "name", "model") if isinstance(one.get(key), str)), None)
        if isinstance(name, str) and name and name == words(name, MAX_MODEL_NAME) and name not in names:
            names.append(name)
    chatting = [name for name in names if not re.search(r"embed|rerank|whisper|\btts\b", name, re.IGNORECASE)]
    return chatting or names


def _choice(content: Any) -> dict[str, Any]:
    """The first choice, checked: a server of another kind (a login page) may answer anything with 200."""
    choices = content.get("choices") if isinstance(content, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise TransientFailure(_NO_CHOICES)
    choice: dict[str, Any] = choices[0]
    return choice


def _text_of(message: dict[str, Any]) -> str:
    """The text of a message; of parts (Mistral, Gemini's proxies), those that are text and no thoughts."""
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, dict):
        content = [content]
    texts = []
    for part in content if isinstance(content, list) else []:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type", "text") in ("text", "output_text"):
            text = part.get("text") if not isinstance(part.get("text"), dict) else part["text"].get("value")
            texts += [text] if isinstance(text, str) else []
    if not texts and content:
        raise TransientFailure("the server's answer is no text")
    return "".join(texts)


def _answer_among_thoughts(message: dict[str, Any]) -> str:
    """JSON that a server took for thoughts: some put an answer that a schema held to its form there."""
    for key in ("reasoning_content", "reasoning"):
        text = message.get(key)
        if isinstance(text, str) and text.strip().startswith("{") and text.strip().endswith("}"):
            return text
    return ""


def _usage(usage: Any) -> tuple[int, int]:
    if not isinstance(usage, dict):
        return 0, 0
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    tokens_in, tokens_out = (n if type(n) is int and 0 <= n < MOST_TOKENS else 0 for n in counts)
    return tokens_in, tokens_out
