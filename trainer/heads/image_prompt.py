"""A visual prompt made from the image: it cross-attends to all text prompts (BASELINES.md §1 and §8).

Shape letters: B images, L tokens of the image tower, P text prompts, D joint width, Dv vision width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.backbone.clip import FrozenClip
from trainer.backbone.vision import ExtraTokens, encode_dense
from trainer.data.batches import Batch
from trainer.seeding import seeded


def image_prompt_layers(
    clip: FrozenClip, heads: int, latent: int, dropout: float, generator: torch.Generator
) -> tuple[nn.MultiheadAttention, nn.Sequential]:
    """The cross-attention (D) and the network D → latent → Dv, initialised from the generator."""
    # torch modules are initialised from the global generator.
    with seeded(int(torch.randint(2**62, (), generator=generator)), torch.device("cpu")):
        attention = nn.MultiheadAttention(clip.dim, heads, dropout=dropout)
        network = nn.Sequential(nn.Linear(clip.dim, latent), nn.ReLU(), nn.Linear(latent, clip.vision_width))
    return attention, network


def encode_with_image_prompt(
    clip: FrozenClip, batch: Batch, prompts: Tensor, attention: nn.MultiheadAttention, network: nn.Module
) -> Tensor:
    """All tokens of the image tower with the visual prompt after the class token: (B, L + 1, D), not normalised.

    Args:
        clip: the frozen model.
        batch: with image features and the input of the first block ("tokens@0"), which the prompt joins.
        prompts: (P, D), text features.
        attention, network: see `image_prompt_layers`.

    Raises:
        ValueError: a batch without tokens.
    """
    if batch.tokens is None:
        raise ValueError("a visual prompt enters the image tower's first block: the batch has no tokens")
    # Unbatched attention: every image is a query over all prompts.
    found, _ = attention(batch.image, prompts, prompts, need_weights=False)
    return encode_dense(clip, batch.tokens, ExtraTokens(network(found)[:, None], "after class"))
