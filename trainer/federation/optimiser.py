"""A client's optimiser: its parameter groups, and its state as tensors that can be saved."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainer.config.sections import FederationConfig, OptimiserConfig
from trainer.federation.rounds import RoundContext, learning_rate
from trainer.methods.federated import FederatedModule, ParameterGroup

SEPARATOR = "/"
"""Separates a parameter's name from the name of its optimiser state; torch's names contain dots."""


def make_optimiser(method: FederatedModule, settings: OptimiserConfig, context: RoundContext) -> torch.optim.Optimizer:
    """A new optimiser of the trainable parameters, with the learning rates of a round.

    Raises:
        TrainerError: see `FederatedModule.grouped`.
    """
    groups: list[dict[str, Any]] = [
        {
            "params": parameters,
            "lr": group_learning_rate(group, settings, context),
            "weight_decay": settings.weight_decay if group.weight_decay is None else group.weight_decay,
        }
        for group, parameters in method.grouped()
    ]
    if settings.name == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum)
    return torch.optim.AdamW(groups, betas=(settings.momentum, 0.999))


def group_learning_rate(group: ParameterGroup, settings: OptimiserConfig, context: RoundContext) -> float:
    """A group's learning rate in a round."""
    own = settings
    if group.learning_rate is not None:
        own = settings.model_copy(update={"learning_rate": group.learning_rate})
    return group.factor * learning_rate(own, context)


def client_state_bytes(method: FederatedModule, federation: FederationConfig, settings: OptimiserConfig) -> int:
    """The size of a client's state, excluding tensor names; 0 if clients are stateless."""
    personal = sum(part.nbytes for part in method.personal_parts().values())
    if federation.memory == "none":
        return personal
    # SGD's momentum, or Adam's two moments.
    copies = int(settings.momentum > 0) if settings.name == "sgd" else 2
    return personal + copies * sum(p.nbytes for p in method.parameters() if p.requires_grad)


def optimiser_state(optimiser: torch.optim.Optimizer, method: FederatedModule) -> dict[str, Tensor]:
    """Momentum, moments and step counts: copies on the CPU, by "parameter/name"."""
    names: dict[Tensor, str] = {parameter: name for name, parameter in method.named_parameters()}
    return {
        f"{names[parameter]}{SEPARATOR}{key}": value.detach().cpu().clone()
        for parameter, kept in optimiser.state.items()
        for key, value in kept.items()
        if isinstance(value, Tensor)
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, method: FederatedModule, state: dict[str, Tensor]) -> None:
    """Load a state that `optimiser_state` returned into a new optimiser.

    Raises:
        ValueError: the state is of other parameters.
    """
    names = {parameter: name for name, parameter in method.named_parameters()}
    by_parameter: dict[str, dict[str, Tensor]] = {}
    for path, value in state.items():
        name, _, key = path.rpartition(SEPARATOR)
        by_parameter.setdefault(name, {})[key] = value
    described = optimiser.state_dict()
    order = [parameter for group in optimiser.param_groups for parameter in group["params"]]
    for index, parameter in enumerate(order):
        kept = by_parameter.pop(names[parameter], {})
        for key, value in kept.items():
            if value.dim() and value.shape != parameter.shape:
                raise ValueError(f"{key} of {names[parameter]}: {tuple(value.shape)}, not {tuple(parameter.shape)}")
        if kept:
            described["state"][index] = kept
    if by_parameter:
        raise ValueError(f"{min(by_parameter)} is not trained by this method")
    optimiser.load_state_dict(described)
