"""How an image becomes a square: as open_clip does it, and part of a run's identity."""

from __future__ import annotations

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from trainer.backbone.clip import Preprocess, Resize
from trainer.backbone.load import load_backbone

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
MODES: tuple[Resize, ...] = ("shortest", "longest", "squash")


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [(200, 90), (90, 200), (64, 64), (33, 130)])
def test_pixels_are_open_clips(mode: Resize, size: tuple[int, int]) -> None:
    own = Preprocess(32, MEAN, STD, resize=mode).transform()(picture(*size))
    theirs = open_clip.image_transform(32, is_train=False, mean=MEAN, std=STD, resize_mode=mode)(picture(*size))
    assert own.shape == (3, 32, 32)
    torch.testing.assert_close(own, theirs)


@given(width=st.integers(1, 400), height=st.integers(1, 400), mode=st.sampled_from(MODES))
def test_the_window_is_a_centred_square_in_the_image_or_around_it(width: int, height: int, mode: Resize) -> None:
    left, top, across, down = Preprocess(32, MEAN, STD, resize=mode).window(width, height)
    assert left + across / 2 == pytest.approx(0.5)
    assert top + down / 2 == pytest.approx(0.5)
    if mode == "squash":
        assert (left, top, across, down) == (0, 0, 1, 1)
    else:
        assert across * width == pytest.approx(down * height)
        assert across * width == pytest.approx((min if mode == "shortest" else max)(width, height))


def test_the_mode_is_part_of_the_identity_and_the_crop_keeps_the_old_one() -> None:
    names = [load_backbone("scenes-tiny", None, resize=mode).preprocess.identity() for mode in MODES]
    assert len(set(names)) == 3
    assert names[0] == load_backbone("scenes-tiny", None).preprocess.identity()
    assert names[0] == "64/bicubic/(0.5, 0.5, 0.5)/(0.28, 0.28, 0.28)"
