"""Which prompts are too long for CLIP, and which become the same when they are cut to what it reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from prompt_bank.errors import BankError, Problem
from prompt_bank.prompts.clip_tokens import special_tokens, token_ids
from prompt_bank.prompts.layout import active_conditions, prompts, template_parts
from prompt_bank.reading.locate import format_place
from prompt_bank.schema import Bank

CONTEXT_LENGTH = 77
"""Tokens that CLIP reads, [SOS] and [EOT] included."""

LEARNABLE = -1
"""Stands for a learnable token; those of two prompts are the same here, since only the words are compared."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class MeasuredPrompt:
    """A prompt with its length.

    Attributes:
        condition_id: its condition.
        label: its label.
        text: to look at; learnable tokens stand as [u1] and [w1].
        tokens: how many, [SOS], [EOT] and the learnable ones included.
        too_long: CLIP does not read them all, and training refuses them.
        same_as: condition and label of the first prompt that has the same words once both are cut; None for most.
    """

    condition_id: str
    label: str
    text: str
    tokens: int
    too_long: bool
    same_as: Pair | None


def measure_prompts(bank: Bank) -> list[MeasuredPrompt]:
    """The prompts of all active conditions with all labels, conditions first, with their lengths.

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
    """A warning for each condition with a prompt that is too long, and for all that cannot be told from another one."""
    try:
        found = measure_prompts(bank)
    except BankError as error:
        return [Problem(p.place, p.message, p.line, severity="warning") for p in error.problems]
    return [*_too_long(bank, found), *_indistinguishable(bank, found)]


def _too_long(bank: Bank, found: list[MeasuredPrompt]) -> Iterator[Problem]:
    """One for each condition: its longest prompt."""
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
    """One for each two conditions or two labels: the first pair of prompts that shows it."""
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
    """What is left of a prompt that CLIP reads: the last place that it has is [EOT]'s."""
    return ids if len(ids) <= CONTEXT_LENGTH else (*ids[: CONTEXT_LENGTH - 1], ids[-1])
