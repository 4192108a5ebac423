"""Which of a method's parameters and buffers are trained, exchanged with the server, or personal to a client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.errors import TrainerError


@dataclass(frozen=True)
class ParameterGroup:
    """Trainable parameters with optimiser settings of their own.

    Attributes:
        names: of parameters, or of modules for all trainable parameters in them.
        factor: multiplies the learning rate of the round.
        learning_rate: replaces `optimiser.learning_rate` and follows the same schedule; None: no replacement.
        weight_decay: replaces `optimiser.weight_decay`; None: no replacement.
    """

    names: tuple[str, ...]
    factor: float = 1.0
    learning_rate: float | None = None
    weight_decay: float | None = None


class FederatedModule(nn.Module):
    """A module that is trained federatedly.

    A subclass declares by name which buffers are exchanged, which parameters and buffers are personal, and which
    parameters have optimiser settings of their own. The name of a module stands for everything in it.
    `exchanged_buffers`, `fixed_buffers`, `personal` and `aggregation` may be class attributes, or properties if they
    depend on settings.
    """

    def __init__(self) -> None:
        super().__init__()
        self._personal_start: dict[str, Tensor] | None = None

    @property
    def exchanged_buffers(self) -> tuple[str, ...]:
        """Buffers that are exchanged in addition to the trainable parameters, such as batch-norm statistics."""
        return ()

    @property
    def fixed_buffers(self) -> tuple[str, ...]:
        """Exchanged buffers that never change: every site that builds the method has them, so they need not be sent."""
        return ()

    @property
    def personal(self) -> tuple[str, ...]:
        """Trainable parameters and buffers that stay with each client and are never sent."""
        return ()

    @property
    def aggregation(self) -> str:
        """The aggregation rule of the method's paper; `federation.aggregation` overrides it."""
        return "mean"

    def parameter_groups(self) -> list[ParameterGroup]:
        """Groups with optimiser settings of their own; parameters in no group follow the run's settings."""
        return []

    def grouped(self) -> list[tuple[ParameterGroup, list[nn.Parameter]]]:
        """All trainable parameters by group; parameters in no declared group come first, in a default group.

        Raises:
            TrainerError: a group names no trainable parameter, or one of another group.
        """
        ungrouped = self._trainable()
        groups = []
        for group in self.parameter_groups():
            names = self._select("parameter_groups", group.names, ungrouped)
            groups.append((group, [ungrouped.pop(name) for name in names]))
        default = [(ParameterGroup(tuple(ungrouped)), list(ungrouped.values()))] if ungrouped else []
        return [*default, *groups]

    def exchanged(self) -> dict[str, Tensor]:
        """The state exchanged between server and clients: copies on the CPU, by name."""
        return _copies(self._exchanged_tensors())

    def fixed(self) -> dict[str, Tensor]:
        """The part of `exchanged` that never changes: copies on the CPU, by name."""
        exchanged = self._exchanged_tensors()
        return _copies({name: exchanged[name] for name in self._select("fixed_buffers", self.fixed_buffers, exchanged)})

    def personal_parts(self) -> dict[str, Tensor]:
        """The current personal parameters and buffers: copies on the CPU, by name."""
        return _copies(self._personal_tensors())

    @property
    def personal_start(self) -> dict[str, Tensor]:
        """The initial personal parts: of clients that have not trained yet, and of the global model in evaluation.

        The method's random initialisation unless set. The first access must precede training, as `receive` ensures.
        """
        if self._personal_start is None:
            self._personal_start = self.personal_parts()
        return self._personal_start

    @personal_start.setter
    def personal_start(self, parts: dict[str, Tensor]) -> None:
        self._check("keeps", self._personal_tensors(), parts)
        self._personal_start = parts

    @torch.no_grad()
    def receive(self, state: dict[str, Tensor], personal: dict[str, Tensor] | None = None) -> None:
        """Load an exchanged state, and a client's personal parts.

        Args:
            state: as returned by `exchanged`.
            personal: as returned by `personal_parts`; None for `personal_start`, which gives the global model.

        Raises:
            ValueError: names, shapes or kinds of numbers differ from this method's; nothing is loaded then.
        """
        parts = self.personal_start if personal is None else personal
        exchanged, own = self._exchanged_tensors(), self._personal_tensors()
        self._check("exchanges", exchanged, state)
        self._check("keeps", own, parts)
        for name, tensor in {**exchanged, **own}.items():
            tensor.copy_(state[name] if name in exchanged else parts[name])

    def trainable(self) -> int:
        """The number of trainable parameters, including personal ones."""
        return sum(parameter.numel() for parameter in self._trainable().values())

    def _trainable(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def _exchanged_tensors(self) -> dict[str, Tensor]:
        """The exchanged tensors themselves, not copies."""
        own, buffers = self._personal_tensors(), dict(self.named_buffers())
        selected = self._select("exchanged_buffers", self.exchanged_buffers, buffers)
        if both := [name for name in selected if name in own]:
            raise TrainerError(f"{type(self).__name__}: {both[0]} is both personal and exchanged")
        parameters = {name: parameter for name, parameter in self._trainable().items() if name not in own}
        return {**parameters, **{name: buffers[name] for name in selected}}

    def _personal_tensors(self) -> dict[str, Tensor]:
        """The personal tensors themselves, not copies."""
        if not self.personal:
            return {}
        known: dict[str, Tensor] = {**self._trainable(), **dict(self.named_buffers())}
        return {name: known[name] for name in self._select("personal", self.personal, known)}

    def _select(self, attribute: str, names: Iterable[str], known: Iterable[str]) -> list[str]:
        """The known names that `names` lists, directly or by their module, in the order of `known`."""
        ordered, selected = list(known), set()
        for name in names:
            matching = {other for other in ordered if other == name or other.startswith(f"{name}.")}
            if not matching:
                raise TrainerError(
                    f"{type(self).__name__}.{attribute} names '{name}', which is not there or is named before; "
                    f"there are: {', '.join(ordered) or 'none'}"
                )
            selected |= matching
        return [name for name in ordered if name in selected]

    @staticmethod
    def _check(verb: str, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        if own.keys() != state.keys():
            raise ValueError(f"the state has {sorted(state)}, this method {verb} {sorted(own)}")
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name}: {tuple(state[name].shape)} instead of {tuple(tensor.shape)}")
            if tensor.is_floating_point() != state[name].is_floating_point():
                raise ValueError(f"{name}: numbers of {state[name].dtype} instead of {tensor.dtype}")


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
