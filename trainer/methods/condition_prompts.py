"""The token layout of condition prompts (METHOD.md §2), built from a bank.

    [SOS] u_{n,1} … u_{n,β1}  ⟨condition n⟩  w_1 … w_{β2}  ⟨label c⟩ . [EOT]

Shape letters: N conditions, C labels, Dt text width, P prefix positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from prompt_bank.prompts.layout import active_conditions, template_parts
from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.backbone.text import Suffixes, label_suffixes
from trainer.errors import TrainerError

IRRELEVANT = (
    "interest rate",
    "grammar",
    "copyright law",
    "chess opening",
    "recipe",
    "tax form",
    "software licence",
    "poem",
    "opinion poll",
    "music theory",
)
"""Texts unrelated to images, for the control experiment on whether the conditions' meaning matters."""


@dataclass(frozen=True)
class ConditionPrompts:
    """The frozen parts of N·C prompts, embedded, and the numbers of learnable tokens between them.

    Attributes:
        conditions: N condition texts ("" for a control without words).
        origin: "accepted" or "proposed" (the bank's conditions), "values" (theirs), or the name of the control.
        words: N embeddings (tokens, Dt) of the conditions' words.
        before: (1, Dt), the embedding of [SOS].
        suffixes: of the C labels.
        condition_tokens: β1.
        class_tokens: β2.
        label_names: C names.
        background: texts for the background: the values of the conditions, without those that name a label.
    """

    conditions: tuple[str, ...]
    origin: str
    words: tuple[Tensor, ...]
    before: Tensor
    suffixes: Suffixes
    condition_tokens: int
    class_tokens: int
    label_names: tuple[str, ...]
    background: tuple[str, ...]

    @classmethod
    def build(cls, clip: FrozenClip, label_names: tuple[str, ...], bank: Bank | None, kind: str) -> ConditionPrompts:
        """Tokenise and embed the prompts of the bank, or of a control (`kind`; see `FedMptConfig.conditions`).

        Raises:
            TrainerError: no bank, labels that differ from the data set's, no condition, or a prompt that is too long.
        """
        if bank is None:
            raise TrainerError("FedMPT needs a prompt bank: --bank bank.json (fedmpt mine-conditions writes one)")
        same_labels(bank, label_names)
        texts, origin = _condition_texts(bank, kind)
        frozen = template_parts(bank)
        prompts = cls(
            conditions=texts,
            origin=origin,
            words=tuple(clip.embed(clip.token_ids(frozen.head(text))) for text in texts),
            before=clip.embed([clip.tokenizer.sot_token_id]),
            suffixes=label_suffixes(clip, [frozen.tail(name) for name in label_names]),
            condition_tokens=bank.prompt.condition_tokens,
            class_tokens=bank.prompt.class_tokens,
            label_names=label_names,
            background=_background(bank, kind),
        )
        prompts._check_length(clip)
        return prompts

    def lengths(self) -> list[int]:
        """The lengths of the N prefixes in tokens."""
        return [1 + self.condition_tokens + len(words) + self.class_tokens for words in self.words]

    def prefixes(self, u: Tensor, w: Tensor) -> list[Tensor]:
        """The N prefixes (P_n, Dt), from u (N, β1, Dt) and w (β2, Dt)."""
        return [torch.cat([self.before, own, words, w]) for own, words in zip(u, self.words, strict=True)]

    def examples(self) -> list[str]:
        """One prompt per condition in readable form, with the first label."""
        u = [f"[u{i + 1}]" for i in range(self.condition_tokens)]
        w = [f"[w{i + 1}]" for i in range(self.class_tokens)]
        return [" ".join([*u, *([c] if c else []), *w, self.label_names[0]]) + "." for c in self.conditions]

    def _check_length(self, clip: FrozenClip) -> None:
        ends = self.suffixes.lengths
        for text, length in zip(self.conditions, self.lengths(), strict=True):
            longest = length + max(ends)
            if longest > clip.context_length:
                label = self.label_names[ends.index(max(ends))]
                raise TrainerError(
                    f"the prompt of condition '{text}' and label '{label}' has {longest} tokens, {clip.name} reads "
                    f"{clip.context_length}: shorten one of them in the bank"
                )


def _condition_texts(bank: Bank, kind: str) -> tuple[tuple[str, ...], str]:
    conditions, status = active_conditions(bank)
    if kind == "bank":
        return tuple(c.text for c in conditions), status
    if kind == "single":
        return ("",), kind
    if kind == "values":
        values = tuple(dict.fromkeys(value for c in conditions for value in c.values))
        if not values:
            raise TrainerError("method.conditions=values needs conditions with values, and the bank has none")
        return values, kind
    if kind == "empty":
        return ("",) * len(conditions), kind
    if len(conditions) > len(IRRELEVANT):
        raise TrainerError(f"the irrelevant control has words for {len(IRRELEVANT)} conditions, not {len(conditions)}")
    return IRRELEVANT[: len(conditions)], kind


def _background(bank: Bank, kind: str) -> tuple[str, ...]:
    """The distinct values of the conditions; for controls, unrelated texts or none."""
    if kind == "irrelevant":
        return IRRELEVANT
    if kind != "bank":
        return ()
    named = [f" {name} ".casefold() for label in bank.labels for name in (label.name, *label.aliases)]
    values = dict.fromkeys(value for condition in active_conditions(bank)[0] for value in condition.values)
    return tuple(v for v in values if not any(name in f" {v.replace(',', ' ')} ".casefold() for name in named))


def same_labels(bank: Bank, label_names: tuple[str, ...]) -> None:
    """Check that a bank and a data set have the same labels.

    Raises:
        TrainerError: names the missing and the surplus labels.
    """
    names = [label.name for label in bank.labels]
    missing = [name for name in label_names if name not in names]
    surplus = [name for name in names if name not in label_names]
    if missing or surplus:
        said = []
        if missing:
            said.append(f"the bank lacks {', '.join(missing[:5])}")
        if surplus:
            said.append(f"the data has no {', '.join(surplus[:5])}")
        raise TrainerError(f"bank '{bank.name}' and the data differ in labels: {'; '.join(said)}")
