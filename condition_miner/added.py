"""What is added to a bank: affinities or attributes, with what it took, so that adding them again counts it once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from condition_miner.answers.records import Answer
from condition_miner.stages.questions import Questions
from fedmpt.common.words import fold
from prompt_bank.recording.store import now
from prompt_bank.schema import Bank, Provenance, Tokens

SPENT = ("requests", "tokens_in", "tokens_out")
"""What the added content took, in the provenance's entry about it."""


def with_labels(existing: Bank | None, new: Bank) -> Bank:
    """The bank that is there, with the new one's domain and its labels that it lacks; the new one if there is none."""
    if existing is None:
        return new
    named = {fold(label.name) for label in existing.labels}
    labels = (*existing.labels, *(label for label in new.labels if fold(label.name) not in named))
    return existing.model_copy(update={"labels": labels, "about": new.about or existing.about})


def added_provenance(
    questions: Questions,
    existing: Bank | None,
    part: str,
    settings: Mapping[str, Any],
    parameters: Mapping[str, Any] | None = None,
) -> Provenance:
    """The provenance of a bank to which something is added: what was asked before stays told.

    Args:
        questions: with the answers used.
        existing: the bank; None for a new one.
        part: what is added; the entry of the parameters.
        settings: on which it depends, besides the seed.
        parameters: further ones to record.
    """
    used, seed = questions.used, questions.settings.seed
    new = Provenance(model=questions.model, endpoint=questions.asker.address.endpoint, seed=seed)
    before = existing.provenance if existing else new
    spent = [sum(a.requests for a in used), sum(a.tokens_in for a in used), sum(a.tokens_out for a in used)]
    own = {
        "model": questions.model,
        "endpoint": questions.asker.address.endpoint,
        "seed": seed,
        **settings,
        **dict(zip(SPENT, spent, strict=True)),
        **answered_by(used),
    }
    earlier = before.parameters.get(part)
    earlier = earlier if isinstance(earlier, dict) else {}
    known = [n if type(n := earlier.get(name)) is int and n >= 0 else 0 for name in SPENT]
    totals = zip((before.requests, before.tokens.into, before.tokens.out), known, spent, strict=True)
    requests, into, out = (max(all_before - replaced, 0) + now_spent for all_before, replaced, now_spent in totals)
    return before.model_copy(
        update={
            "parameters": {**before.parameters, part: own, **(parameters or {})},
            "requests": requests,
            "tokens": Tokens(into=into, out=out),
            "tool": f"fedmpt {version('fedmpt')}",
            "created": max((answer.at for answer in used), default=now()),
        }
    )


def answered_by(used: Sequence[Answer]) -> dict[str, dict[str, int]]:
    """How many answers came from which model, as the server says; nothing if it never says."""
    counted = Counter(answer.served for answer in used if answer.served)
    return {"answered_by": dict(sorted(counted.items()))} if counted else {}
