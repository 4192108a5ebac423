"""What of a method is trained and how, what of it travels between server and clients, and what stays with a client."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from trainer.errors import TrainerError


@dataclass(frozen=True)
class ParameterGroup:
    """Trainable parameters that are optimised otherwise than the run's settings say.

    Attributes:
        names: of parameters, or of modules: all trainable parameters below them.
        factor: of the round's learning rate.
        learning_rate: takes the place of `optimiser.learning_rate`, and follows the run's schedule; None keeps that.
        weight_decay: takes the place of `optimiser.weight_decay`; None keeps that.
    """

    names: tuple[str, ...]
    factor: float = 1.0
    learning_rate: float | None = None
    weight_decay: float | None = None


class FederatedModule(nn.Module):
    """A module that clients train.

    A subclass says what travels, what stays and what is optimised in a way of its own by the names of parameters and
    buffers, or of modules, which stand for all below them. `exchanged_buffers`, `personal` and `aggregation` may be
    class attributes as well, or properties where they depend on the settings.
    """

    def __init__(self) -> None:
        super().__init__()
        self._personal_start: dict[str, Tensor] | None = None

    @property
    def exchanged_buffers(self) -> tuple[str, ...]:
        """Buffers that travel beside the trainable parameters; the running statistics of a batch norm, for instance."""
        return ()

    @property
    def personal(self) -> tuple[str, ...]:
        """Trainable parameters that stay with each client and are never sent, and buffers of modules named here."""
        return ()

    @property
    def aggregation(self) -> str:
        """The server's rule that the method's paper asks for; `federation.aggregation` overrides it."""
        return "mean"

    def parameter_groups(self) -> list[ParameterGroup]:
        """Parameters with a learning rate or a weight decay of their own; those in none follow the run's settings."""
        return []

    def grouped(self) -> list[tuple[ParameterGroup, list[nn.Parameter]]]:
        """Each trainable parameter in its group; first the group of those that follow the run's settings, if any do.

        Raises:
            TrainerError: a group that names no trainable parameter, or one that another group has.
        """
        left = self._trained()
        found = []
        for group in self.parameter_groups():
            names = self._named("parameter_groups", group.names, left)
            found.append((group, [left.pop(name) for name in names]))
        rest = [(ParameterGroup(tuple(left)), list(left.values()))] if left else []
        return [*rest, *found]

    def exchanged(self) -> dict[str, Tensor]:
        """The state that travels between server and clients: copies, on the CPU, by name."""
        return _copies(self._shared())

    def personal_parts(self) -> dict[str, Tensor]:
        """What stays with a client, as it is now: copies, on the CPU, by name."""
        return _copies(self._own())

    @property
    def personal_start(self) -> dict[str, Tensor]:
        """The personal parts that a client without a past starts from, and that the global model is measured with.

        As they were drawn, unless they were set. Asked for before the first training step, as `receive` does.
        """
        if self._personal_start is None:
            self._personal_start = self.personal_parts()
        return self._personal_start

    @personal_start.setter
    def personal_start(self, parts: dict[str, Tensor]) -> None:
        self._check("keeps", self._own(), parts)
        self._personal_start = parts

    @torch.no_grad()
    def receive(self, state: dict[str, Tensor], personal: dict[str, Tensor] | None = None) -> None:
        """Take over a state, and a client's personal parts.

        Args:
            state: as `exchanged` gives it.
            personal: as `personal_parts` gives them; None takes `personal_start`, which makes this the global model.

        Raises:
            ValueError: where names or shapes are not this method's; nothing is taken over then.
        """
        parts = self.personal_start if personal is None else personal
        shared, own = self._shared(), self._own()
        self._check("exchanges", shared, state)
        self._check("keeps", own, parts)
        for name, tensor in {**shared, **own}.items():
            tensor.copy_(state[name] if name in shared else parts[name])

    def trainable(self) -> int:
        """How many numbers are trained, the personal ones included."""
        return sum(parameter.numel() for parameter in self._trained().values())

    def _trained(self) -> dict[str, nn.Parameter]:
        return {name: parameter for name, parameter in self.named_parameters() if parameter.requires_grad}

    def _shared(self) -> dict[str, Tensor]:
        """The tensors themselves that are exchanged."""
        own, buffers = self._own(), dict(self.named_buffers())
        named = self._named("exchanged_buffers", self.exchanged_buffers, buffers)
        if twice := [name for name in named if name in own]:
            raise TrainerError(f"{type(self).__name__}: {twice[0]} is both personal and exchanged")
        kept = {name: parameter for name, parameter in self._trained().items() if name not in own}
        return {**kept, **{name: buffers[name] for name in named}}

    def _own(self) -> dict[str, Tensor]:
        """The tensors themselves that stay with a client."""
        if not self.personal:
            return {}
        there: dict[str, Tensor] = {**self._trained(), **dict(self.named_buffers())}
        return {name: there[name] for name in self._named("personal", self.personal, there)}

    def _named(self, attribute: str, names: Iterable[str], there: Iterable[str]) -> list[str]:
        """Of the names that are there those that an attribute names, or whose module it names, in their order."""
        known, found = list(there), set()
        for name in names:
            below = {other for other in known if other == name or other.startswith(f"{name}.")}
            if not below:
                raise TrainerError(
                    f"{type(self).__name__}.{attribute} names '{name}', which is not there or is named before; "
                    f"there are: {', '.join(known) or 'none'}"
                )
            found |= below
        return [name for name in known if name in found]

    @staticmethod
    def _check(verb: str, own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
        if own.keys() != state.keys():
            raise ValueError(f"the state has {sorted(state)}, this method {verb} {sorted(own)}")
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise ValueError(f"{name}: {tuple(state[name].shape)} instead of {tuple(tensor.shape)}")


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
