"""FrozenClip against the parity fixtures; shared-prefix text encoding against the reference; loading of weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.shared import shared
from tests.trainer.tiny import fixture_clip, random_clip
from trainer.backbone.clip import FrozenClip
from trainer.backbone.load import fill_weights, load_backbone
from trainer.backbone.text import encode_shared_prefix, encode_shared_prefixes, label_suffixes
from trainer.errors import TrainerError

CLASSES = ["aeroplane", "dining table", "person", "potted plant", "tv monitor"]


def test_features_are_the_published_programs() -> None:
    clip = fixture_clip()
    expected = load_file(shared("fixtures/clip_features.safetensors"))
    features = clip.encode_image(expected["inputs.images"])
    dense = torch.cat([features.image[:, None], features.patches], dim=1).transpose(1, 2)
    torch.testing.assert_close(dense, expected["outputs.dense"], atol=1e-5, rtol=0)
    torch.testing.assert_close(features.image, expected["outputs.cls"], atol=1e-5, rtol=0)
    sentences = [f"a photo of a {name}." for name in CLASSES]
    torch.testing.assert_close(clip.encode_texts(sentences), expected["outputs.text_template"], atol=1e-5, rtol=0)
    torch.testing.assert_close(clip.encode_texts(CLASSES), expected["outputs.text_bare"], atol=1e-5, rtol=0)


def test_value_path_keeps_patches_local() -> None:
    """A patch's value-path feature depends on another patch less than the ordinary one does, and CLS is unchanged."""
    clip = random_clip()
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    ordinary, local = clip.encode_image(pixels, "last"), clip.encode_image(pixels, "value")
    torch.testing.assert_close(ordinary.image, local.image)
    assert not torch.allclose(ordinary.patches, local.patches)
    changed = pixels.clone()
    changed[..., :8, :8] = 1.0
    moved = [
        (clip.encode_image(changed, source).patches - clip.encode_image(pixels, source).patches)[0, 1:].norm()
        for source in ("last", "value")
    ]
    assert moved[1] < moved[0]


def plain(clip: FrozenClip, prefix: Tensor, texts: list[str]) -> Tensor:
    """The same prompts over all positions of the context."""
    rows, ends = [], []
    for text in texts:
        ids = [*clip.token_ids(text), clip.tokenizer.eot_token_id]
        ends.append(len(prefix) + len(ids) - 1)
        padding = clip.embed([0]).expand(clip.context_length - len(prefix) - len(ids), -1)
        rows.append(torch.cat([prefix, clip.embed(ids), padding]))
    return clip.encode_tokens(torch.stack(rows), torch.tensor(ends))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), learnable=st.integers(1, 20), names=st.sets(st.sampled_from(CLASSES), min_size=1))
def test_shared_prefix_is_the_reference_encoding(seed: int, learnable: int, names: set[str]) -> None:
    """Outputs and gradients of the learnable tokens, whatever the lengths."""
    clip = random_clip().double()
    texts = [f"{name}." for name in sorted(names)]
    generator = torch.Generator().manual_seed(seed)
    start = torch.randn(learnable, clip.text_width, generator=generator, dtype=torch.float64)
    direction = torch.randn(len(texts), clip.dim, generator=generator, dtype=torch.float64)
    found = []
    for way in ("shared", "plain"):
        tokens = start.clone().requires_grad_()
        prefix = torch.cat([clip.embed([clip.tokenizer.sot_token_id]), tokens])
        suffixes = label_suffixes(clip, texts) if way == "shared" else None
        features = encode_shared_prefix(clip, prefix, suffixes) if suffixes else plain(clip, prefix, texts)
        (features * direction).sum().backward()
        found.append((features.detach(), tokens.grad))
    torch.testing.assert_close(found[0], found[1], atol=1e-9, rtol=1e-7)


def several(clip: FrozenClip, labels: int, chunk: int | None) -> tuple[Tensor, Tensor, int]:
    """Features of three prefixes with so many labels, the gradient of their tokens, and bytes kept for it."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 6, clip.text_width, generator=generator, dtype=torch.float64).requires_grad_()
    sos = clip.embed([clip.tokenizer.sot_token_id])
    prefixes = [torch.cat([sos, own[: 4 + n]]) for n, own in enumerate(start)]
    suffixes = label_suffixes(clip, [f"{name}." for name in (CLASSES * 9)[:labels]])
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = encode_shared_prefixes(clip, prefixes, suffixes, chunk)
    features.square().mean().backward()
    assert start.grad is not None
    return features.detach(), start.grad, sum(kept.values())


@pytest.mark.parametrize("chunk", [1, 4, 10, 21])
def test_chunks_change_neither_features_nor_gradients(chunk: int) -> None:
    clip = random_clip().double()
    whole, chunked = several(clip, 7, None), several(clip, 7, chunk)
    torch.testing.assert_close(chunked[:2], whole[:2], atol=1e-12, rtol=1e-9)


def test_with_chunks_memory_does_not_grow_with_labels() -> None:
    clip = random_clip().double()
    few, many = (several(clip, labels, 12)[2] for labels in (4, 32))
    assert several(clip, 32, None)[2] > 4 * many
    assert many < 1.5 * few


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_reduced_precision_stays_near(precision: torch.dtype) -> None:
    clip = random_clip()
    suffixes = label_suffixes(clip, ["cat.", "dining table."])
    prefix = torch.cat([clip.embed([clip.tokenizer.sot_token_id]), torch.randn(4, clip.text_width)]).requires_grad_()
    expected = encode_shared_prefix(clip, prefix, suffixes)
    clip.precision = precision
    found = encode_shared_prefix(clip, prefix, suffixes)
    assert found.dtype == torch.float32
    assert 0 < float((found - expected).detach().abs().max()) < 0.05 * float(expected.detach().abs().max())
    found.sum().backward()
    assert prefix.grad is not None
    assert bool(torch.isfinite(prefix.grad).all())


def test_too_long_prompts_are_refused() -> None:
    clip = random_clip()
    with pytest.raises(TrainerError, match="tokens, random-tiny reads 77"):
        encode_shared_prefix(clip, torch.zeros(80, clip.text_width), label_suffixes(clip, ["cat."]))
    with pytest.raises(TrainerError, match="reads 77"):
        clip.encode_texts(["cat " * 100])


def test_a_label_cannot_end_the_prompt() -> None:
    with pytest.raises(TrainerError, match="special token"):
        random_clip().token_ids("cat <end_of_text>")


def test_weights_hash_follows_the_weights() -> None:
    first, same, other = random_clip(0), random_clip(0), random_clip(1)
    assert first.weights_hash == same.weights_hash != other.weights_hash


class TestLoading:
    def test_round_trip(self, tmp_path: Path) -> None:
        source, target = random_clip(0), random_clip(1)
        save_file(source.model.state_dict(), tmp_path / "w.safetensors")
        fill_weights(target.model, tmp_path / "w.safetensors")
        assert source.weights_hash == target.weights_hash

    def test_a_missing_key_is_an_error(self, tmp_path: Path) -> None:
        weights = dict(random_clip().model.state_dict())
        del weights["visual.proj"]
        save_file(weights, tmp_path / "w.safetensors")
        with pytest.raises(TrainerError, match=r"lacks visual\.proj"):
            fill_weights(random_clip().model, tmp_path / "w.safetensors")

    def test_pickles_are_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "weights.pt"
        torch.save(random_clip().model.state_dict(), path)
        with pytest.raises(TrainerError, match="only"):
            load_backbone("ViT-B-16-quickgelu", str(path))

    def test_torn_file(self, tmp_path: Path) -> None:
        (tmp_path / "w.safetensors").write_bytes(b"\x10\x00\x00\x00")
        with pytest.raises(TrainerError, match="not a readable safetensors"):
            fill_weights(random_clip().model, tmp_path / "w.safetensors")

    @pytest.mark.parametrize(
        ("name", "pretrained", "said"),
        [
            ("ViT-B-16-quickgelu", None, "needs weights"),
            ("ViT-B-16-quickgelu", "opena", "openai"),
            ("ViT-B-17", None, "ViT-B-16"),
            ("ViT-B-16-quickgelu", "nowhere.safetensors", "no such weights file"),
            ("scenes-tiny", "openai", "comes with its weights"),
        ],
    )
    def test_wrong_names_are_answered(self, name: str, pretrained: str | None, said: str) -> None:
        with pytest.raises(TrainerError, match=said):
            load_backbone(name, pretrained)
