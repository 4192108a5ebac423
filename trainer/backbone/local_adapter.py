"""RAM's adapted blocks: prompts for CLIP's stream, and an adapter of the local stream (BASELINES.md §10).

Shape letters: B images, L = 1 + M tokens, M = H W patches, C labels, K prompts, D joint width (the adapter's hidden
width), Dv vision width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer.backbone.clip import FrozenClip
from trainer.backbone.streams import run_both, to_joint


class LocalAdapter(nn.Module):
    """Two convolution branches over the map of patches; each attends to the text features, and gates mix them.

    The parameters are initialised from torch's global generator.

    Args:
        width: Dv.
        hidden: D, the width of the text features.
        grid: rows and columns of patches.
    """

    def __init__(self, width: int, hidden: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        self.point = nn.Conv2d(width, hidden, 1, bias=False)
        self.point_norm = nn.BatchNorm2d(hidden)
        self.area = nn.Conv2d(width, hidden, 3, padding=1, bias=False)
        self.area_norm = nn.BatchNorm2d(hidden)
        self.point_query_norm, self.area_query_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.text_norm = nn.LayerNorm(hidden)
        self.gates = nn.Conv2d(2, 2, 3, padding=1, bias=False)
        self.widen = nn.Conv2d(hidden, width, 1, bias=False)

    def forward(self, patches: Tensor, text: Tensor) -> Tensor:
        """What the local stream gains, (B, M, Dv), from patches (B, M, Dv) and text features (C, D), not normalised."""
        image = patches.mT.unflatten(-1, self.grid)
        labels = self.text_norm(text)
        point = self._attended(F.gelu(self.point_norm(self.point(image))), self.point_query_norm, labels)
        area = self._attended(F.gelu(self.area_norm(self.area(image))), self.area_query_norm, labels)
        both = torch.cat([point, area], dim=1)
        summary = torch.cat([both.mean(1, keepdim=True), both.amax(1, keepdim=True)], dim=1)
        gates = self.gates(summary).sigmoid()
        added: Tensor = self.widen(point * gates[:, :1] + area * gates[:, 1:])
        return added.flatten(2).mT

    def _attended(self, branch: Tensor, norm: nn.Module, labels: Tensor) -> Tensor:
        """A branch (B, D, H, W) plus what each position finds among the labels (C, D), without projections."""
        queries = norm(branch.flatten(2).mT)
        found = (queries @ labels.T / labels.shape[-1] ** 0.5).softmax(-1) @ labels
        return branch + found.mT.unflatten(-1, self.grid)


class AdaptedBlocks(nn.Module):
    """The last blocks of the image tower, with learnable prompts and an adapter in each.

    The adapters are initialised from torch's global generator.

    Args:
        clip: the frozen model.
        prompts: (K, Dv) of each of the blocks.
    """

    def __init__(self, clip: FrozenClip, prompts: list[nn.Parameter]) -> None:
        super().__init__()
        self.prompts = nn.ParameterList(prompts)
        grid = clip.model.visual.grid_size
        self.adapters = nn.ModuleList(LocalAdapter(clip.vision_width, clip.dim, grid) for _ in prompts)

    def forward(self, clip: FrozenClip, tokens: Tensor, local: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """Image features (B, D) and the local stream's patch features (B, M, D), not normalised.

        Args:
            clip: the frozen model.
            tokens: (B, L, Dv), the input of the first of these blocks.
            local: (B, M, Dv), the local stream before it.
            text: (C, D), not normalised.
        """
        blocks = list(clip.model.visual.transformer.resblocks)[-len(self.adapters) :]
        for block, prompts, adapter in zip(blocks, self.prompts, self.adapters, strict=True):
            with clip.autocast():
                tokens, added = run_both(block, tokens, prompts)
            local = local + added.float() + adapter(tokens[:, 1:].float(), text)
        return to_joint(clip, tokens[:, 0]), to_joint(clip, local)
