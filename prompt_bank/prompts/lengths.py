"""Finds prompts that are too long for CLIP, and prompts that are identical after truncation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prompt_bank.errors import BankError, Problem
from prompt_bank.prompts.clip_tokens import special_tokens, token_ids
from prompt_bank.prompts.layout import active_conditions, prompts, template_parts
from prompt_bank.reading.locate import format_place
from prompt_bank.schema import Bank

CONTEXT_LENGTH = 77
"""CLIP's context length in tokens, including [SOS] and [EOT]."""

LEARNABLE = -1
"""Placeholder id of all learnable tokens, as only the words of prompts are compared."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class MeasuredPrompt:
    """A prompt and its length.

    Attributes:
        condition_id: its condition.
        label: its label.
        text: for display; learnable tokens are written as [u1] and [w1].
        tokens: number of tokens, including [SOS], [EOT] and the learnable ones.
        too_long: whether it exceeds CLIP's context length; training refuses such prompts.
        same_as: condition id and label of the first prompt that is identical after truncation; None if there is none.
    """

    condition_id: str
    label: str
    text: str
    tokens: int
    too_long: bool
    same_as: Pair | None


def measure_prompts(bank: Bank) -> list[MeasuredPrompt]:
    """The prompts of all active conditions with all labels and their lengths, ordered by condition, then label.

    Raises:
        BankError: the bank has no active condition.
    """
    frozen, learned = template_parts(bank), bank.prompt
    start, end = special_tokens()
    heads = {c.id: token_ids(frozen.head(c.text)) for c in active_conditions(bank)[0]}
    tails = {label.name: token_ids(frozen.tail(label.name)) for label in bank.labels}
    u, w = (LEARNABLE,) * learned.condition_tokens, (LEARNABLE,) * learned.class_tokens
    first: dict[tuple[int, ...], Pair] = {}
    found = []
    for prompt in prompts(bank):
        ids = (start, *u, *heads[prompt.condition_id], *w, *tails[prompt.label], end)
        pair = (prompt.condition_id, prompt.label)
        other = first.setdefault(_truncate(ids), pair)
        same_as = other if other != pair else None
        found.append(MeasuredPrompt(*pair, prompt.text, len(ids), len(ids) > CONTEXT_LENGTH, same_as))
    return found


def prompt_problems(bank: Bank) -> list[Problem]:
    """Warnings about prompts that are too long or identical after truncation, one per condition or pair of names."""
    try:
        found = measure_prompts(bank)
    except BankError as error:
        return [Problem(p.place, p.message, p.line, severity="warning") for p in error.problems]
    return [*_too_long(bank, found), *_indistinguishable(bank, found)]


def _too_long(bank: Bank, found: list[MeasuredPrompt]) -> Iterator[Problem]:
    """One warning per condition, about its longest prompt."""
    longest: dict[str, MeasuredPrompt] = {}
    for prompt in found:
        if prompt.tokens > longest.setdefault(prompt.condition_id, prompt).tokens:
            longest[prompt.condition_id] = prompt
    for at, condition in enumerate(bank.conditions):
        prompt_of = longest.get(condition.id)
        if prompt_of is not None and prompt_of.too_long:
            message = (
                f"with the label '{prompt_of.label}' its prompt has {prompt_of.tokens} tokens; CLIP reads "
                f"{CONTEXT_LENGTH}, and training refuses it: shorten one of them, or use fewer learnable tokens"
            )
            yield Problem(format_place(("conditions", at, "text")), message, severity="warning")


def _indistinguishable(bank: Bank, found: list[MeasuredPrompt]) -> Iterator[Problem]:
    """One warning per pair of conditions or labels, about the first two identical prompts."""
    conditions = {c.id: at for at, c in enumerate(bank.conditions)}
    labels = {label.name: at for at, label in enumerate(bank.labels)}
    seen: set[tuple[str, str, str]] = set()
    for prompt in found:
        if prompt.same_as is None:
            continue
        condition_id, label = prompt.same_as
        if label != prompt.label:
            part, mine, other, at = "labels", prompt.label, label, labels[prompt.label]
        else:
            part, mine, other, at = "conditions", prompt.condition_id, condition_id, conditions[prompt.condition_id]
        if (part, mine, other) in seen:
            continue
        seen.add((part, mine, other))
        field = "name" if part == "labels" else "text"
        message = f"CLIP reads the same prompt for '{mine}' and '{other}'; make them differ, near their beginning"
        yield Problem(format_place((part, at, field)), message, severity="warning")


def _truncate(ids: tuple[int, ...]) -> tuple[int, ...]:
    """The prompt truncated to the context length, with [EOT] as the last token."""
    return ids if len(ids) <= CONTEXT_LENGTH else (*ids[: CONTEXT_LENGTH - 1], ids[-1])
