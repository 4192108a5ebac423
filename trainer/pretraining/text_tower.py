"""Distil the text tower from the word space: it learns to map a sentence to the sentence's meaning.

The corpus also covers what prompt tuning will put before a label: small random vectors, unknown words, and labels at
any position. Shape letters: n sentences, B sentences per batch, T positions, D joint width.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.backbone.scenes_tiny import SOFT_STD, SOFT_TOKEN, unknown_embeddings
from trainer.data.scenes.compose import Picture
from trainer.pretraining import words as w
from trainer.pretraining.image_tower import Log
from trainer.pretraining.words import WordSpace


@dataclass(frozen=True)
class TextRecipe:
    """Training schedule and optimiser of the distillation.

    Attributes:
        sentences: size of the corpus.
        steps: updates.
        batch: batch size.
        learning_rate: peak; cosine annealing to 2 % of it.
    """

    sentences: int = 40_000
    steps: int = 2000
    batch: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.01


@dataclass(frozen=True)
class Corpus:
    """Sentences as token ids with their meanings.

    Attributes:
        tokens: (n, T) ids, [SOS] … [EOT], zero-padded; `SOFT_TOKEN` at positions of learnable vectors.
        ends: (n,) position of [EOT].
        meanings: (n, D).
        known: ids with trained embeddings, ascending.
    """

    tokens: Tensor
    ends: Tensor
    meanings: Tensor
    known: Tensor


def corpus(
    pictures: tuple[Picture, ...], space: WordSpace, tokenizer: Any, count: int, rng: np.random.Generator
) -> Corpus:
    """Sample sentences: captions, noun phrases, labels, conditions with labels; half of them with a soft prefix."""
    rows: list[list[int]] = []
    meanings: list[Tensor] = []
    known: set[int] = {tokenizer.sot_token_id, tokenizer.eot_token_id}
    while len(rows) < count:
        sentence = _sentence(pictures, rng)
        meaning = space.meaning(sentence)
        if meaning is None:
            continue
        if rng.random() < 0.3:
            sentence += "."
        ids = tokenizer.encode(sentence)
        known.update(ids)
        rows.append([tokenizer.sot_token_id, *_prefixed(ids, tokenizer, rng), tokenizer.eot_token_id])
        meanings.append(meaning)
    longest = max(len(row) for row in rows)
    tokens = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    ends = torch.tensor([len(row) - 1 for row in rows])
    return Corpus(tokens, ends, torch.stack(meanings), torch.tensor(sorted(known | {0})))


def _sentence(pictures: tuple[Picture, ...], rng: np.random.Generator) -> str:
    picture = pictures[rng.integers(len(pictures))]
    kind = rng.random()
    if kind < 0.3:
        return w.caption(picture, rng)
    if kind < 0.55:
        return w.noun_phrase(picture.objects[rng.integers(len(picture.objects))], rng)
    if kind < 0.85:
        return w.label_sentence(rng)
    return w.condition_sentence(rng)


def _prefixed(ids: list[int], tokenizer: Any, rng: np.random.Generator) -> list[int]:
    """The sentence, in part with a prefix of soft vectors and unknown words, as in prompts of CoOp and FedMPT."""
    kind = rng.random()
    if kind < 0.45:
        return ids
    front = [SOFT_TOKEN] * int(rng.integers(1, 17))
    if kind > 0.75:
        unknown = [int(t) for t in rng.integers(1000, tokenizer.sot_token_id, size=rng.integers(1, 4))]
        front += unknown + [SOFT_TOKEN] * int(rng.integers(0, 9))
    return front + ids


def train_text_tower(model: Any, sentences: Corpus, recipe: TextRecipe, seed: int, log: Log) -> None:
    """Distil the text tower in place. Embeddings of known tokens are trained; the others stay small and random."""
    generator = torch.Generator().manual_seed(seed + 1)
    width = model.token_embedding.weight.shape[1]
    base = unknown_embeddings(model.vocab_size, width)
    rows = nn.Parameter(0.1 * torch.randn(len(sentences.known), width, generator=generator))
    parameters = [
        p for name, p in model.named_parameters() if not name.startswith(("visual", "token_embedding", "logit"))
    ]
    optimiser = torch.optim.AdamW([*parameters, rows], lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    slot = torch.full((model.vocab_size,), -1)
    slot[sentences.known] = torch.arange(len(sentences.known))
    began, recent = time.monotonic(), []
    for step in range(recipe.steps):
        rate = min(1.0, (step + 1) / 50) * (0.5 * (1 + math.cos(math.pi * step / recipe.steps)) * 0.98 + 0.02)
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate * rate
        chosen = _similar_lengths(sentences.ends, recipe.batch, generator)
        tokens = sentences.tokens[chosen, : int(sentences.ends[chosen].max()) + 1]
        embedded = _embedded(tokens, rows, slot, base, generator)
        value = _distillation(_encode(model, embedded, sentences.ends[chosen]), sentences.meanings[chosen])
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        recent.append(float(value.detach()))
        if (step + 1) % 200 == 0 or step + 1 == recipe.steps:
            mean_loss = round(sum(recent[-200:]) / len(recent[-200:]), 4)
            log({"tower": "text", "step": step + 1, "loss": mean_loss, "seconds": round(time.monotonic() - began, 1)})
    with torch.no_grad():
        model.token_embedding.weight.copy_(base)
        model.token_embedding.weight[sentences.known] = rows


def _similar_lengths(ends: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """A batch of sentences of similar length, to reduce padding: a slice of eight times as many sorted by length."""
    drawn = torch.randint(len(ends), (8 * batch,), generator=generator)
    drawn = drawn[ends[drawn].argsort()]
    start = int(torch.randint(8, (1,), generator=generator)) * batch
    return drawn[start : start + batch]


def _embedded(tokens: Tensor, rows: Tensor, slot: Tensor, base: Tensor, generator: torch.Generator) -> Tensor:
    ids = tokens.clamp_min(0)
    where = slot[ids]
    embedded = torch.where((where >= 0)[..., None], rows[where.clamp_min(0)], base[ids])
    soft = SOFT_STD * torch.randn(embedded.shape, generator=generator)
    return torch.where((tokens == SOFT_TOKEN)[..., None], soft, embedded)


def _encode(model: Any, embedded: Tensor, ends: Tensor) -> Tensor:
    length = embedded.shape[1]
    tokens = model.transformer(
        embedded + model.positional_embedding[:length], attn_mask=model.attn_mask[:length, :length]
    )
    return F.normalize(model.ln_final(tokens[torch.arange(len(tokens)), ends]) @ model.text_projection, dim=-1)


def _distillation(found: Tensor, meant: Tensor) -> Tensor:
    """One minus the cosine, plus the cross-entropy between the sentences' pairwise similarities."""
    sharp = 15.0
    among = F.cross_entropy(sharp * found @ meant.T, (sharp * meant @ meant.T).softmax(1))
    return (1 - (found * meant).sum(1)).mean() + 0.3 * among
