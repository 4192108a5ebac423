"""Differential privacy of a client's update, by the client itself (the local model).

What is protected is a client's whole update of a round, whatever its images are: for any two sets of images that a
client could have, what it sends has nearly the same distribution. Whoever sees it, the server included, can tell them
apart no better than ε and δ allow. The update is clipped to norm C, and Gaussian noise of deviation z · C is added to
each number (Abadi et al., CCS 2016; McMahan et al., ICLR 2018, but with the noise added before sending). Two clipped
updates differ by up to 2 C, so the mechanism is the Gaussian one with noise multiplier z / 2 (Dwork and Roth, 2014,
appendix A). Rounds add up by Rényi differential privacy (Mironov, CSF 2017), computed by Opacus. There is no
amplification by sampling, since the server knows whom it asks.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainer.config.sections import FederationConfig, PrivacyConfig
from trainer.errors import TrainerError
from trainer.federation.replies import State, norm, update

LARGEST_EPSILON = 100.0
"""A run that would reach a larger ε is refused: what is e^100 times as likely is as good as told."""

ORDERS = tuple(1 + 10 ** (step / 80 - 2) for step in range(401))
"""Rényi orders that are tried, from 1.01 to 1001."""

Normal = Callable[[int], Tensor]
"""So many independent standard normal numbers, float64."""


@dataclass(frozen=True)
class Spent:
    """What protects the client that was asked most often so far.

    Attributes:
        epsilon, delta: of all its updates together.
        rounds: how many these are.
    """

    epsilon: float
    delta: float
    rounds: int


def secret_normal(count: int) -> Tensor:
    """Standard normal numbers (count,) from the operating system's entropy, so that no seed of them exists (Box and
    Muller, 1958)."""
    pairs = (count + 1) // 2
    words = np.frombuffer(os.urandom(16 * pairs), np.uint64).reshape(2, pairs)
    radius, angle = ((words >> np.uint64(11)) + 1) * 2.0**-53  # in (0, 1]
    length = np.sqrt(-2 * np.log(radius))
    both = np.concatenate([length * np.cos(2 * np.pi * angle), length * np.sin(2 * np.pi * angle)])
    return torch.from_numpy(both[:count])


def private_state(
    trained: State, server: State, buffers: Collection[str], settings: PrivacyConfig, normal: Normal = secret_normal
) -> State:
    """What a client sends instead of its trained state: the server's plus the clipped update plus noise.

    Args:
        trained: the client's state after training.
        server: the state from which it trained.
        buffers: names of exchanged tensors that are not trained. They are sent back as they came.
        settings: clip and noise multiplier.
        normal: the source of noise.

    Raises:
        TrainerError: training has changed a buffer (batch statistics, for instance), which noise could make invalid.
    """
    clip, multiplier = _given(settings.clip), _given(settings.noise_multiplier)
    for name in buffers:
        if name in trained and not torch.equal(trained[name], server[name]):
            raise TrainerError(
                f"federation.privacy: training changes {name}, which is no parameter and cannot be protected; use a "
                "method without batch statistics"
            )
    own = update({name: value for name, value in trained.items() if name not in buffers}, server)
    length = norm(own)
    factor = 1.0 if length <= clip else clip / length
    sent = {}
    for name, value in trained.items():
        if name in buffers:
            sent[name] = server[name].clone()
            continue
        noise = normal(value.numel()).view(value.shape)
        sent[name] = (server[name].double() + factor * own[name] + multiplier * clip * noise).to(value.dtype)
    return sent


def spent(settings: PrivacyConfig, rounds: int) -> Spent:
    """What protects a client after it has sent its update in so many rounds.

    Raises:
        TrainerError: Opacus is not installed.
    """
    try:
        from opacus.accountants.analysis import rdp
    except ImportError as error:
        raise TrainerError("federation.privacy needs its accountant: pip install 'fedmpt[dp]'") from error
    delta = _given(settings.delta)
    if not rounds:
        return Spent(0.0, delta, 0)
    # Half: the largest distance of two clipped updates is twice the clip.
    divergence = rdp.compute_rdp(
        q=1.0, noise_multiplier=_given(settings.noise_multiplier) / 2, steps=rounds, orders=ORDERS
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said if the best order is the last one; the bound holds nevertheless
        epsilon, _ = rdp.get_privacy_spent(orders=ORDERS, rdp=divergence, delta=delta)
    return Spent(max(0.0, float(epsilon)), delta, rounds)


def check_promise(settings: FederationConfig, clients: int, rounds: int, parameters: int) -> None:
    """Refuse privacy that promises nothing. Does nothing if it is off.

    Args:
        settings: of the federation.
        clients: K.
        rounds: in how many the client that is asked most often takes part.
        parameters: the number of trained parameters that are exchanged.

    Raises:
        TrainerError: with the reason, and what to change.
    """
    privacy = settings.privacy
    if not privacy.on:
        return
    if not rounds or not parameters:
        raise TrainerError("federation.privacy: no client sends an update (no rounds, or nothing is trained and sent)")
    if (delta := _given(privacy.delta)) >= 1 / clients:
        raise TrainerError(
            f"federation.privacy.delta={delta:g} promises nothing to {clients} clients: publishing one client's update "
            f"as it is would satisfy it; choose far less than 1/{clients}"
        )
    if settings.weights != "uniform":
        raise TrainerError("federation.privacy: numbers of images as weights are not protected; use weights=uniform")
    if (epsilon := spent(privacy, rounds).epsilon) > LARGEST_EPSILON:
        raise TrainerError(
            f"federation.privacy promises nothing: ε would be {epsilon:,.0f} after the {rounds} rounds of a client; "
            "raise federation.privacy.noise_multiplier, or take fewer rounds"
        )


def _given(value: float | None) -> float:
    if value is None:
        raise ValueError("federation.privacy is off")
    return value
