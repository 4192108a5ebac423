"""What a method is, and the registry in which the command line finds it.

Shape letters: B images, M patches, C labels, D joint width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from prompt_bank.schema import Bank
from trainer.backbone.clip import FrozenClip
from trainer.config.sections import LossConfig
from trainer.data.batches import Batch
from trainer.errors import TrainerError
from trainer.heads.context import ContextConfig, ContextTerm, Knowledge
from trainer.heads.evidence import WHOLE_IMAGE, Evidence
from trainer.heads.losses import asymmetric_loss
from trainer.methods.federated import FederatedModule, ParameterGroup

TERM = "context_term."
"""What the names of the context's parameters and buffers begin with."""


@dataclass(frozen=True)
class MethodContext:
    """What a method is built from.

    Attributes:
        clip: the frozen backbone, shared by all clients.
        label_names: C names in the order of the label matrix.
        bank: the prompt bank, None where the user gave none.
        settings: the method's part of the run's configuration.
        loss: the constants of the asymmetric loss.
        generator: draws the learnable parameters.
        seen: indices of the labels that training sees, None for all of them.
        text_chunk: prompts encoded at once, None for all of them.
        knowledge: of conditions, for settings with `context`; None where they have none.
    """

    clip: FrozenClip
    label_names: tuple[str, ...]
    bank: Bank | None
    settings: Any
    loss: LossConfig
    generator: torch.Generator
    seen: tuple[int, ...] | None = None
    text_chunk: int | None = None
    knowledge: Knowledge | None = None


class Method(FederatedModule, ABC):
    """A method: its learnable parameters, its logits and its loss.

    Exactly the parameters with `requires_grad` are trained; `FederatedModule` has what travels and what stays.
    A method whose settings are a `ContextConfig` too gets what is known of conditions as a term of its logits; where it
    names exchanged buffers or parameter groups of its own, it adds `super()`'s.

    Raises:
        TrainerError: settings with a context and no knowledge, or a method that doesn't read features.
    """

    reads: ClassVar[str] = "features"
    """What it takes of an image: "features", the image path is frozen, so cached features are enough; "tokens@k", it is
    frozen up to the image tower's block k, so what enters block k is cached; "pixels", all of it runs in each step."""

    def __init__(self, context: MethodContext) -> None:
        super().__init__()
        # Past nn.Module's registration: the backbone is shared, and is no part of the method's state.
        self.__dict__["clip"] = context.clip
        self.label_names = context.label_names
        self.loss_settings = context.loss
        self.seen = None if context.seen is None else torch.tensor(context.seen, device=context.clip.device)
        self.text_chunk = context.text_chunk
        self._fixed: Tensor | None = None
        self.context_term = self._context_term(context)

    clip: FrozenClip

    @abstractmethod
    def text_features(self) -> Tensor:
        """The text features, differentiable; labels on the last axis but one, before it the method's own axes."""

    @abstractmethod
    def logits(self, batch: Batch, text: Tensor) -> Tensor:
        """(B, C) from a batch and the text features of C labels."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """For the run's record: numbers of parameters, prompts used."""

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, C); sigmoid gives the probability."""
        return self.scored(batch, self.current_text())

    def scored(self, batch: Batch, text: Tensor, labels: Tensor | None = None) -> Tensor:
        """`logits`, and the context's term where there is one: (B, C).

        Args:
            batch: of images.
            text: of C labels.
            labels: (C,) their indices among all labels; None where they are all.
        """
        logits = self.logits(batch, text)
        return logits if self.context_term is None else logits + self.context_term(batch, logits, labels)

    @property
    def exchanged_buffers(self) -> tuple[str, ...]:
        """What the context's term rests on, so that a state is complete without the bank."""
        if self.context_term is None:
            return ()
        return tuple(f"{TERM}{name}" for name, _ in self.context_term.named_buffers())

    def parameter_groups(self) -> list[ParameterGroup]:
        """The context's strength learns at a rate of its own, where it is learned."""
        if self.context_term is None or not self.context_term.strength.requires_grad:
            return []
        return [ParameterGroup(("context_term",), factor=self.context_term.settings.context_rate)]

    def _context_term(self, context: MethodContext) -> ContextTerm | None:
        settings = context.settings
        if not isinstance(settings, ContextConfig) or settings.context == "none":
            return None
        if self.reads != "features":
            raise TrainerError(f"{type(self).__name__} reads {self.reads}, and a context is seen in image features")
        if context.knowledge is None:
            raise TrainerError(f"method.context={settings.context} needs knowledge of conditions, and none was given")
        return ContextTerm(settings, self.clip.scale, context.knowledge)

    def current_text(self) -> Tensor:
        """The text features, computed anew unless `evaluating` fixed them."""
        return self.text_features() if self._fixed is None else self._fixed

    def diagnose(self, batch: Batch) -> dict[str, float]:
        """How the method's own computations fared on a batch, for the record; nothing by default."""
        return {}

    def extra_loss(self, batch: Batch, text: Tensor, logits: Tensor) -> Tensor | float:
        """A term of the method's own, added to the loss as it stands; nothing by default.

        A term that the method's paper weighs together with the asymmetric loss multiplies itself by
        `loss_settings.weight`.

        Args:
            batch: with the labels that training sees, as `seen` chooses them.
            text: their text features.
            logits: (B, C) of those labels.
        """
        return 0.0

    def loss(self, batch: Batch) -> Tensor:
        """The asymmetric loss of a batch, times its weight, and `extra_loss`.

        Unseen labels take no part, not even in the matching.
        """
        s, text = self.loss_settings, self.text_features()
        if self.seen is not None:
            text = text.index_select(-2, self.seen)
            batch = batch._replace(labels=batch.labels.index_select(-1, self.seen))
        learned = self.context_term is not None and self.context_term.settings.context_learned
        logits = self.scored(batch, text, self.seen) if learned else self.logits(batch, text)
        value = asymmetric_loss(
            logits,
            batch.labels,
            gamma_negative=s.gamma_negative,
            gamma_positive=s.gamma_positive,
            clip=s.clip,
        )
        return s.weight * value + self.extra_loss(batch, text, logits)

    def evidence(self, batch: Batch, text: Tensor) -> Evidence:
        """What `logits` rests on; a method that looks at the image as a whole and has no conditions says so."""
        return Evidence(None, WHOLE_IMAGE, None, None, None)

    @contextmanager
    def evaluating(self, text: Tensor | None = None) -> Iterator[None]:
        """Without gradients, with the text features computed once for all batches, or given."""
        training = self.training
        self.eval()
        with torch.no_grad():
            self._fixed = self.text_features() if text is None else text
            try:
                yield
            finally:
                self._fixed = None
                self.train(training)


def knowledge_in(state: Mapping[str, Tensor]) -> Knowledge | None:
    """What a method's state holds of knowledge; None where it has no context."""
    found = {name.removeprefix(TERM): value for name, value in state.items() if name.startswith(TERM)}
    return {name: value for name, value in found.items() if name != "strength"} or None


def normal(shape: tuple[int, ...], generator: torch.Generator) -> nn.Parameter:
    """Learnable token vectors, N(0, 0.02²), as in CoOp and all that follow it."""
    return nn.Parameter(0.02 * torch.randn(shape, generator=generator))
