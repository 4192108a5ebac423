"""Log-probabilities of the next token by a transformers model in this process: one short pass a prompt.

What all prompts begin with is run once, and its keys and values are reused. Prompts are passed in batches of equal
length, so none is padded. torch is not imported here: tensors come from the model, whose parameters need no gradients.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from itertools import takewhile
from threading import Event
from typing import Any

from condition_miner.model.backend import BadRequest, RequestFailed
from condition_miner.model.next_tokens import NextTokens

BATCH = 40
"""Prompts in a pass at the most."""


def next_tokens(tokenizer: Any, model: Any, prompts: Sequence[str], top: int, stop: Event) -> tuple[NextTokens, int]:
    """For each of P prompts the log-probabilities of all tokens that are among the `top` of any of them.

    Returns:
        The log-probabilities, and the number of tokens read.

    Raises:
        BadRequest: a prompt exceeds the model's context.
        RequestFailed: it was told to stop.
    """
    ids: list[list[int]] = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    longest = getattr(model.config, "max_position_embeddings", None)
    if longest is not None and max(map(len, ids)) > longest:
        raise BadRequest(f"{max(map(len, ids))} tokens exceed the model's context of {longest}")
    shared = _shared(ids)
    past = _keys_and_values(model, ids[0][:shared]) if shared and len(ids) > 1 else None
    begun = shared if past is not None else 0
    rows: list[Any] = [None] * len(ids)
    for batch in _batches([one[begun:] for one in ids]):
        if stop.is_set():
            raise RequestFailed("told to stop")
        for at, row in zip(batch, _log_probabilities(model, [ids[i][begun:] for i in batch], past), strict=True):
            rows[at] = row
    kept = sorted({token for row in rows for token in row.topk(min(top, len(row))).indices.tolist()})
    told: dict[str, int] = {}
    for token in kept:  # of tokens with the same text only the first one is kept
        told.setdefault(_text(tokenizer, token), token)
    chosen = list(told.values())
    numbers = tuple(tuple(row[chosen].float().tolist()) for row in rows)
    return NextTokens(tuple(told), numbers), begun + sum(len(one) - begun for one in ids)


def _shared(ids: Sequence[list[int]]) -> int:
    """How many tokens all prompts begin with; each keeps one behind them."""
    alike = (a == b for a, b in zip(min(ids), max(ids), strict=False))
    return min(sum(takewhile(bool, alike)), min(map(len, ids)) - 1)


def cosines(tokenizer: Any, model: Any, prompts: Sequence[str], stop: Event) -> tuple[list[list[float]], int]:
    """P × P: the cosines of the model's last states behind the prompts, less their mean; and the tokens read.

    Raises:
        RequestFailed: it was told to stop.
    """
    ids: list[list[int]] = [tokenizer(prompt)["input_ids"] for prompt in prompts]
    states: list[Any] = [None] * len(ids)
    for batch in _batches(ids):
        if stop.is_set():
            raise RequestFailed("told to stop")
        made = model(input_ids=_tensor(model, [ids[at] for at in batch]), output_hidden_states=True, logits_to_keep=1)
        for at, state in zip(batch, made.hidden_states[-1][:, -1].float().cpu(), strict=True):
            states[at] = state
    centred = states[0].new_tensor([state.tolist() for state in states])
    centred = centred - centred.mean(0)
    unit = centred / centred.norm(dim=1, keepdim=True).clamp(min=1e-12)
    return (unit @ unit.T).clamp(-1, 1).tolist(), sum(map(len, ids))


def _batches(ids: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Places of prompts of equal length, at most BATCH together."""
    by_length: dict[int, list[int]] = {}
    for at, one in enumerate(ids):
        by_length.setdefault(len(one), []).append(at)
    for places in by_length.values():
        for start in range(0, len(places), BATCH):
            yield places[start : start + BATCH]


def _keys_and_values(model: Any, ids: Sequence[int]) -> Any:
    return model(input_ids=_tensor(model, [ids]), use_cache=True, logits_to_keep=1).past_key_values


def _log_probabilities(model: Any, ids: Sequence[Sequence[int]], past: Any) -> Any:
    """B × vocabulary, in half precision: behind B continuations of equal length of what `past` has read."""
    cache = copy.deepcopy(past)
    if cache is not None:
        cache.batch_repeat_interleave(len(ids))
    made = model(input_ids=_tensor(model, ids), past_key_values=cache, use_cache=cache is not None, logits_to_keep=1)
    return made.logits[:, -1].float().log_softmax(-1).half().cpu()


def _tensor(model: Any, ids: Sequence[Sequence[int]]) -> Any:
    from transformers import BatchEncoding

    return BatchEncoding({"input_ids": [list(one) for one in ids]}, tensor_type="pt").to(model.device)["input_ids"]


def _text(tokenizer: Any, token: int) -> str:
    """The text of a token, with the space that it begins with."""
    name = tokenizer.convert_ids_to_tokens(token)
    text = str(tokenizer.convert_tokens_to_string([name]))
    return f" {text}" if name.startswith("▁") and not text.startswith(" ") else text
