"""Takes from an answer what a reasoning model thought before it: by the marks that models put around it.

Servers should take it off themselves, but many don't know a model's marks. All searches are linear in the text.
"""

from __future__ import annotations

import re

_TAGS = "think|thinking|thought|thoughts|reasoning|reflection|analysis|scratchpad"
_MARK = re.compile(rf"<(?P<shut>/)?(?:{_TAGS})(?:\s[^<>]{{0,200}})?>|\[(?P<closed>/)?THINK\]", re.IGNORECASE)
"""<think> (DeepSeek, Qwen), <thought> (EXAONE), <reflection>, [THINK] (Magistral)."""
_CHANNEL = re.compile(r"<\|?channel\|?>")
"""Between the channels of an answer: <|channel|> (harmony, of gpt-oss), <|channel> and <channel|> (Gemma 4)."""
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<]{0,200}<\|message\|>")
_SPECIAL = re.compile(r"<\|[a-z_]{1,30}\|>")
"""Tokens that should have ended the answer: <|im_end|>, <|return|>, <|eot_id|>."""
_PLAIN_HARMONY = re.compile(r"^\s*analysis.*assistant\s*final", re.DOTALL)
"""Harmony whose special tokens were taken off, so that only their names are left."""
_SPACED = re.compile(r"^\s*(?:<(?:output|answer|response)>)|(?:</(?:output|answer|response)>)\s*$", re.IGNORECASE)


def strip_thinking(text: str) -> str:
    """The answer without what was thought before it, also if an opening or a closing mark is missing."""
    text = _of_final_channel(text)
    text = _without_marked(text)
    return _SPACED.sub("", _SPECIAL.sub("", text).strip()).strip()


def _of_final_channel(text: str) -> str:
    finals = list(_FINAL.finditer(text))
    if finals:
        return text[finals[-1].end() :]
    if "<|message|>" in text and "<|channel|>" in text:  # nothing but thoughts so far
        return ""
    if text.lstrip().startswith("analysis") and "assistant" in text and (plain := _PLAIN_HARMONY.match(text)):
        return text[plain.end() :]
    parts = _CHANNEL.split(text)
    if len(parts) > 1 and "<channel|>" in text:
        return parts[-1]
    return "" if len(parts) > 1 else text


def _without_marked(text: str) -> str:
    """The text outside of marks; a closing mark ends all that stands before it, an opening one hides what follows."""
    kept: list[str] = []
    start = depth = 0
    for mark in _MARK.finditer(text):
        closes = bool(mark["shut"] or mark["closed"])
        if closes:
            # A chat template may have put the opening mark into the prompt, so all before was thought.
            kept = kept if depth else []
            depth = 0
        elif not depth:
            kept.append(text[start : mark.start()])
            depth = 1
        start = mark.end()
    if not depth:
        kept.append(text[start:])
    return "".join(kept)
