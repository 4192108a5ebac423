"""attribute: which condition each kind of factor belongs to.

Kinds that name a condition's idea are settled in code. The model sorts the others, a few at a time and twice, the
conditions told in both orders: small models favour what stands first. What it does not sort alike counts for none.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from condition_miner.model.reading import InvalidAnswer, parse
from condition_miner.stages.forms import object_schema
from condition_miner.stages.questions import Item, Questions, blocks
from condition_miner.stages.vocabulary import ideas
from prompt_bank.schema import Caption, Condition

NONE = "none"
EXAMPLES = 3
"""Words of descriptions that are shown with a kind."""


def attribute(ask: Questions, captions: Sequence[Caption], conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions with the kinds of factors that belong to them.

    Raises:
        MiningFailed: answers could not be had.
    """
    examples = _examples(captions)
    home = {kind: found for kind in examples if (found := settled(kind, conditions)) is not None}
    open_kinds = [kind for kind in examples if kind not in home]
    there = _sorted(ask, open_kinds, examples, conditions)
    back = _sorted(ask, open_kinds, examples, conditions[::-1])
    home |= {kind: there[kind] for kind in open_kinds if there[kind] == back[kind] != NONE}
    return [
        c.model_copy(update={"kinds": tuple(kind for kind in examples if home.get(kind) == c.id)}) for c in conditions
    ]


def settled(kind: str, conditions: Sequence[Condition]) -> str | None:
    """The id of the only condition whose name shares an idea with the kind."""
    meant = ideas(kind)
    found = [c.id for c in conditions if ideas(c.text) & meant]
    return found[0] if len(found) == 1 else None


def attributed(text: str, numbers: list[str], ids: list[str]) -> list[str]:
    """An answer: for each number the id of a condition, or "none".

    Raises:
        InvalidAnswer: other numbers, or an id that was not given.
    """
    answer = parse(text)
    if not isinstance(answer, dict) or set(answer) != set(numbers):
        raise InvalidAnswer(f"the answer must be an object with the keys {', '.join(numbers)}")
    if any(value not in (*ids, NONE) for value in answer.values()):
        raise InvalidAnswer(f"each value must be one of {', '.join((*ids, NONE))}")
    return [answer[number] for number in numbers]


def schema(numbers: list[str], ids: list[str]) -> dict[str, Any]:
    """The JSON schema of an answer."""
    return object_schema({number: {"type": "string", "enum": [*ids, NONE]} for number in numbers})


def _examples(captions: Sequence[Caption]) -> dict[str, list[str]]:
    """Every kind, and some words that show it."""
    found: dict[str, list[str]] = {}
    for caption in captions:
        for factor in caption.factors:
            words = found.setdefault(factor.kind, [])
            if len(words) < EXAMPLES and factor.words not in words:
                words.append(factor.words)
    return found


def _sorted(
    ask: Questions, kinds: Sequence[str], examples: dict[str, list[str]], conditions: Sequence[Condition]
) -> dict[str, str]:
    """What the model says of each kind, the conditions told in this order."""
    ids = [condition.id for condition in conditions]
    told = [{"id": c.id, "name": c.text, "definition": c.definition} for c in conditions]
    asked = blocks(kinds, 2 * ask.settings.batch)
    items = []
    for block in asked:
        factors = {str(i): {"kind": kind, "words": examples[kind]} for i, kind in enumerate(block, start=1)}
        numbers = list(factors)
        read = partial(attributed, numbers=numbers, ids=ids)
        items.append(Item({"conditions": told, "factors": factors}, schema(numbers, ids), read))
    answers = ask.answers("attribute", items)
    return {
        kind: found
        for block, answer in zip(asked, answers, strict=True)
        for kind, found in zip(block, answer, strict=True)
    }
