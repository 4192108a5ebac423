"""Visual prompts made of an image's patches that attend to text (FedMVP; BASELINES.md §8).

Shape letters: B images, M patches, K visual prompts, A·C attributes of all labels, D joint width, Dv vision width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.seeding import seeded


class PromptFormer(nn.Module):
    """Visual prompts (B, K, Dv): patches attend to attributes, then a gated network, then averages of K parts.

    Args:
        vision: Dv.
        joint: D.
        count: K.
        heads: of the attention; divides Dv.
        expansion: hidden width of the network, in Dv.
        generator: for the initialisation.
    """

    def __init__(
        self, vision: int, joint: int, count: int, heads: int, expansion: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.count, hidden = count, expansion * vision
        # torch modules are initialised from the global generator.
        with seeded(int(torch.randint(2**62, (), generator=generator)), torch.device("cpu")):
            self.project = nn.Linear(joint, vision)
            self.patch_norm, self.attribute_norm, self.norm = (nn.LayerNorm(vision) for _ in range(3))
            self.attention = nn.MultiheadAttention(vision, heads, batch_first=True)
            self.widen, self.narrow = nn.Linear(vision, 2 * hidden), nn.Linear(hidden, vision)

    def forward(self, patches: Tensor, attributes: Tensor) -> Tensor:
        """(B, K, Dv) from patches (B, M, Dv) and normalised text features (A·C, D) of the attributes."""
        keys = self.attribute_norm(self.project(attributes)).expand(len(patches), -1, -1)
        tokens, _ = self.attention(self.patch_norm(patches), keys, keys, need_weights=False)
        value, gate = self.widen(self.norm(tokens)).chunk(2, dim=-1)
        tokens = tokens + self.narrow(value * F.gelu(gate))
        # Parts of nearly equal length; on a tower with fewer patches than prompts, parts overlap.
        edges = [
            (i * tokens.shape[1] // self.count, -(-(i + 1) * tokens.shape[1] // self.count)) for i in range(self.count)
        ]
        return torch.stack([tokens[:, a:b].mean(1) for a, b in edges], dim=1)
