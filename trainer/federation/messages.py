"""An exchanged state as bytes, and the reader of bytes from somebody who is not trusted.

The format is safetensors: names, dtypes, shapes and plain numbers. Nothing in it can run code.
"""

from __future__ import annotations

import math

from safetensors import SafetensorError
from safetensors.torch import load, save

from trainer.federation.checks import UpdateRefused
from trainer.federation.replies import Signature, State, state_fault

HEADER_PER_TENSOR = 512
"""Bytes that the header may have for each tensor, beyond its name."""
HEADER = 4096
"""Bytes that the header may have beside its tensors."""


def encode_update(state: State) -> bytes:
    """A state as a safetensors blob; the same bytes for the same state."""
    return save({name: state[name].contiguous() for name in sorted(state)})


def decode_update(blob: bytes, expected: Signature, client: int) -> State:
    """A state from bytes that a client sent.

    Args:
        blob: a safetensors blob.
        expected: names, shapes and dtypes that it must have.
        client: the sender's id, for the refusal.

    Returns:
        The state, in the order of `expected`.

    Raises:
        UpdateRefused: the blob is empty, too long, no safetensors or truncated, or has other names, shapes or dtypes
            than expected, or numbers that are not finite.
    """
    if not blob:
        raise UpdateRefused(client, "sent an empty message")
    # Before anything is parsed, so that nobody's message costs more than an honest one.
    if len(blob) > (longest := longest_blob(expected)):
        raise UpdateRefused(client, f"sent a message of {len(blob):,} bytes; at most {longest:,} are accepted")
    try:
        state = load(blob)
    # A dtype that torch lacks is a KeyError of safetensors, an impossible shape a RuntimeError or ValueError of torch.
    except (SafetensorError, KeyError, RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise UpdateRefused(client, "sent a message that is no safetensors blob, or is cut off") from error
    if fault := state_fault(state, expected):
        raise UpdateRefused(client, f"sent {fault}")
    return {name: state[name] for name in expected}


def longest_blob(expected: Signature) -> int:
    """The number of bytes that a blob of such a state can have."""
    tensors = sum(math.prod(shape) * dtype.itemsize for shape, dtype in expected.values())
    return tensors + HEADER + sum(HEADER_PER_TENSOR + len(name.encode()) for name in expected)
