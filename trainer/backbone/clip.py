"""FrozenClip: the interface through which data, methods and reports use a CLIP.

Shape letters: B images, M patches, C prompts, T token positions, D joint width, Dt text width, Dv vision width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from trainer.backbone.block import value_path
from trainer.backbone.tensor_files import hash_tensors
from trainer.errors import TrainerError

PatchSource = Literal["last", "value"]

Resize = Literal["shortest", "longest", "squash"]
"""How an image becomes a square, under the names of open_clip's resize modes: "shortest": the shorter side is resized
and the middle cropped; "longest": the longer side is resized, the rest padded with black; "squash": both sides are
resized, which distorts."""


class ImageFeatures(NamedTuple):
    """Features of B images in the joint space, not normalised."""

    image: Tensor
    """(B, D), the CLS token."""
    patches: Tensor
    """(B, M, D), every other token."""


@dataclass(frozen=True)
class Preprocess:
    """Image preprocessing: to a square of `size` pixels (`resize`), normalisation of [0, 1] RGB by mean and std."""

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str = "bicubic"
    resize: Resize = "shortest"

    def identity(self) -> str:
        """A string that identifies the preprocessing (part of the feature cache key)."""
        resize = "" if self.resize == "shortest" else f"/{self.resize}"
        return f"{self.size}/{self.interpolation}/{self.mean}/{self.std}{resize}"

    def transform(self) -> Any:
        """The torchvision transform from a PIL image to a (3, size, size) float tensor."""
        from torchvision import transforms as tv

        mode = tv.InterpolationMode(self.interpolation)
        square = {
            "shortest": [tv.Resize(self.size, mode), tv.CenterCrop(self.size)],
            "longest": [_FitInside(self.size, mode), tv.CenterCrop(self.size)],
            "squash": [tv.Resize((self.size, self.size), mode)],
        }
        return tv.Compose([*square[self.resize], tv.ToTensor(), tv.Normalize(self.mean, self.std)])

    def window(self, width: int, height: int) -> tuple[float, float, float, float]:
        """The square that the model sees of an image: left, top, width and height, as fractions of the image's sides.

        Padding lies outside the image, so the square may be larger than it.
        """
        if self.resize == "squash":
            return 0.0, 0.0, 1.0, 1.0
        side = min(width, height) if self.resize == "shortest" else max(width, height)
        return (width - side) / 2 / width, (height - side) / 2 / height, side / width, side / height


class _FitInside:
    """Resizes a PIL image so that its longer side has `size` pixels; picklable. The centre crop then pads it."""

    def __init__(self, size: int, mode: Any) -> None:
        self.size, self.mode = size, mode

    def __call__(self, image: Any) -> Any:
        from torchvision.transforms import functional

        scale = self.size / max(image.size)
        width, height = (max(1, round(scale * side)) for side in image.size)
        return functional.resize(image, [height, width], self.mode)


class FrozenClip(nn.Module):
    """An open_clip CLIP with frozen weights.

    Args:
        model: an `open_clip.model.CLIP` with a vision transformer (class token) and a causal text tower.
        tokenizer: its BPE tokenizer (`encode`, `sot_token_id`, `eot_token_id`).
        preprocess: the preprocessing that its image tower expects.
        name: the model's name, "ViT-B-16-quickgelu" for instance.

    Attributes:
        precision: of the towers' matrix products during prompt tuning; cached features are always computed in fp32.

    Raises:
        TrainerError: unsupported architecture (modified ResNet, attention pooling, custom text tower).
    """

    def __init__(self, model: Any, tokenizer: Any, preprocess: Preprocess, name: str) -> None:
        super().__init__()
        _check_architecture(model, name)
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.preprocess = preprocess
        self.name = name
        self.precision: torch.dtype = torch.float32

    def train(self, mode: bool = True) -> FrozenClip:
        """Stays in evaluation mode, since the model is frozen."""
        return super().train(False)

    def autocast(self) -> torch.autocast:
        """The autocast context for the towers' trained part: matrix products in `precision`."""
        return torch.autocast(self.device.type, dtype=self.precision, enabled=self.precision != torch.float32)

    @property
    def dim(self) -> int:
        """D, the width of the joint space."""
        return int(self.model.visual.proj.shape[1])

    @property
    def text_width(self) -> int:
        """Dt, the width of a token embedding."""
        return int(self.model.token_embedding.weight.shape[1])

    @property
    def vision_width(self) -> int:
        """Dv, the width of an image token."""
        return int(self.model.visual.class_embedding.shape[0])

    @property
    def patches(self) -> int:
        """M, the number of patches of an image."""
        rows, columns = self.model.visual.grid_size
        return int(rows * columns)

    @property
    def context_length(self) -> int:
        """The maximum length of a prompt in tokens, including [SOS] and [EOT]."""
        return int(self.model.context_length)

    @cached_property
    def scale(self) -> float:
        """κ = exp(logit_scale), CLIP's factor on cosines before the softmax."""
        return float(self.model.logit_scale.detach().exp())

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.model.logit_scale.device

    @cached_property
    def weights_hash(self) -> str:
        """See `hash_tensors`; of all weights."""
        return hash_tensors(self.model.state_dict())

    def vision_weights(self) -> dict[str, Tensor]:
        """The image tower's weights and κ: sufficient for inference with precomputed text features."""
        weights = self.model.state_dict()
        return {key: value for key, value in weights.items() if key.startswith("visual.") or key == "logit_scale"}

    @cached_property
    def vision_hash(self) -> str:
        """See `hash_tensors`; of `vision_weights`."""
        return hash_tensors(self.vision_weights())

    @torch.no_grad()
    def encode_image(self, pixels: Tensor, patch_source: PatchSource = "last") -> ImageFeatures:
        """Features of the class token and of every patch: ln_post, then the visual projection (METHOD.md §3).

        Args:
            pixels: (B, 3, H, W), preprocessed.
            patch_source: "last": the patch tokens of the last block; "value": the last block's attention is replaced
                by its value path for patches, which keeps them local. The class token is the same in both.
        """
        visual = self.model.visual
        tokens = visual._embeds(pixels)
        blocks = list(visual.transformer.resblocks)
        for block in blocks[:-1]:
            tokens = block(tokens)
        last = visual.ln_post(blocks[-1](tokens)) @ visual.proj
        if patch_source == "last":
            return ImageFeatures(last[:, 0], last[:, 1:])
        local = visual.ln_post(value_path(blocks[-1], tokens)) @ visual.proj
        return ImageFeatures(last[:, 0], local[:, 1:])

    def encode_tokens(self, embedded: Tensor, eot: Tensor) -> Tensor:
        """Text features of embedded prompts; the reference encoding, in which every position passes the tower.

        Args:
            embedded: (C, T, Dt) token embeddings without positional embeddings, T at most `context_length`.
            eot: (C,) position of [EOT] in each prompt.

        Returns:
            (C, D), not normalised. Differentiable with respect to `embedded`.
        """
        length = embedded.shape[1]
        tokens = embedded + self.model.positional_embedding[:length]
        tokens = self.model.transformer(tokens, attn_mask=self.model.attn_mask[:length, :length])
        at_end = tokens[torch.arange(len(tokens), device=tokens.device), eot]
        return self.model.ln_final(at_end) @ self.model.text_projection

    @torch.no_grad()
    def encode_texts(self, texts: list[str]) -> Tensor:
        """Text features (C, D) of sentences, not normalised.

        Raises:
            TrainerError: a sentence is longer than the context.
        """
        rows = [[self.tokenizer.sot_token_id, *self.token_ids(t), self.tokenizer.eot_token_id] for t in texts]
        lengths = [len(row) for row in rows]
        longest = max(lengths)
        if longest > self.context_length:
            where = texts[lengths.index(longest)]
            raise TrainerError(f"the prompt '{where}' has {longest} tokens, {self.name} reads {self.context_length}")
        padded = torch.tensor([row + [0] * (longest - len(row)) for row in rows], device=self.device)
        return self.encode_tokens(self.model.token_embedding(padded), torch.tensor(lengths, device=self.device) - 1)

    def token_ids(self, text: str) -> list[int]:
        """BPE ids of a text, without [SOS] and [EOT].

        Raises:
            TrainerError: the text contains a special token, which would end the prompt early.
        """
        ids = list(self.tokenizer.encode(text))
        if {self.tokenizer.sot_token_id, self.tokenizer.eot_token_id} & set(ids):
            raise TrainerError(f"'{text}' contains a special token of the text tower; rename it in the bank")
        return ids

    def embed(self, ids: list[int]) -> Tensor:
        """(T, Dt) embeddings of token ids, without positional embeddings."""
        return self.model.token_embedding(torch.tensor(ids, dtype=torch.long, device=self.device))

    def image_tensor(self, image: Any) -> Tensor:
        """A PIL image as the image tower's input, (3, size, size)."""
        return self._transform(image.convert("RGB"))

    @cached_property
    def _transform(self) -> Any:
        return self.preprocess.transform()


def _check_architecture(model: Any, name: str) -> None:
    visual = model.visual
    plain = (
        hasattr(model, "transformer")
        and hasattr(visual, "conv1")
        and hasattr(visual, "class_embedding")
        and getattr(visual, "attn_pool", None) is None
        and visual.pool_type == "tok"
        and isinstance(model.text_projection, nn.Parameter)
        and model.attn_mask is not None
    )
    if not plain:
        raise TrainerError(
            f"{name} is not a CLIP with a plain vision transformer and a causal text tower; "
            "use for instance ViT-B-16-quickgelu"
        )
