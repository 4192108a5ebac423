"""The pretraining of scenes-tiny at small scale, and the shipped weights."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.backbone import scenes_tiny
from trainer.backbone.clip import FrozenClip
from trainer.data.scenes.objects import CLASSES
from trainer.errors import TrainerError
from trainer.pretraining import image_tower, pictures, text_tower
from trainer.pretraining.words import SYNONYMS, WordSpace, caption, condition_sentence, label_sentence

SPACE = WordSpace(128)
TOKENIZER = open_clip.SimpleTokenizer()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads than free cores make small batches many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shown() -> pictures.Pictures:
    return pictures.broad(48, seed=5, size=64)


def one_object(row: int, column: int, rows: int, columns: int) -> pictures.Pictures:
    """Black pictures with one white box, in patches of an 8 × 8 grid; the box is the object (a cat)."""
    pixels = np.zeros((20, 64, 64, 3), np.uint8)
    pixels[:, 8 * row : 8 * (row + rows), 8 * column : 8 * (column + columns)] = 255
    boxes = np.zeros((20, pictures.MAX_OBJECTS, 4), np.float32)
    boxes[:, 0] = np.array([column, row, column + columns, row + rows]) / 8
    objects = np.full((20, pictures.MAX_OBJECTS, 4), -1, np.int16)
    objects[:, 0] = (CLASSES.index("cat"), 0, 0, -1)
    flat = np.zeros(20, np.int64)
    return pictures.Pictures(pixels, boxes, objects, flat, flat, ())


def test_word_space_is_orthonormal_and_compositional() -> None:
    gram = SPACE.vectors @ SPACE.vectors.T
    assert torch.allclose(gram, torch.eye(len(SPACE.words)), atol=1e-5)
    cat, red = SPACE.group(("cat", "red"))
    meaning = SPACE.meaning("a photo of a red cat")
    assert meaning is not None
    # weights 1 and 0.45
    assert float(meaning @ cat) == pytest.approx(1 / (1 + 0.45**2) ** 0.5, abs=1e-4)
    assert float(meaning @ red) == pytest.approx(0.45 / (1 + 0.45**2) ** 0.5, abs=1e-4)
    assert SPACE.meaning("an essay about taxation") is None


def test_other_words_mean_the_same_and_parts_of_words_mean_nothing() -> None:
    for word, forms in SYNONYMS.items():
        direction = F.normalize(SPACE.group((word,))[0], dim=0)
        for form in forms:
            found = SPACE.meaning(form)
            assert found is not None
            assert float(found @ direction) == pytest.approx(1.0, abs=1e-4)
    assert SPACE.meaning("catalogue") is None
    assert SPACE.meaning("birdsong") is None


def test_a_hypernym_leans_to_each_of_its_words() -> None:
    weather = SPACE.meaning("weather")
    assert weather is not None
    similar = SPACE.group(("fog", "rain", "night")) @ weather
    assert float(similar.min()) > 0.4
    assert float((SPACE.group(("cat", "red")) @ weather).abs().max()) < 1e-5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_every_sentence_with_a_label_is_nearest_to_one_of_its_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for sentence in (label_sentence(rng), condition_sentence(rng)):
        meaning = SPACE.meaning(sentence)
        assert meaning is not None
        nearest = CLASSES[int((SPACE.group(CLASSES) @ meaning).argmax())]
        assert any(form in sentence for form in SYNONYMS.get(nearest, (nearest,)))


def test_captions_name_only_what_the_picture_has(shown: pictures.Pictures) -> None:
    rng = np.random.default_rng(0)
    for picture in shown.captioned:
        sentence = caption(picture, rng)
        present = {item.name for item in picture.objects}
        meaning = SPACE.meaning(sentence)
        assert meaning is not None
        said = {n for n, s in zip(CLASSES, (SPACE.group(CLASSES) @ meaning).tolist(), strict=True) if s > 0.1}
        assert said
        assert said <= present


def test_broad_pictures_are_seeded_and_their_arrays_agree(shown: pictures.Pictures) -> None:
    again = pictures.broad(6, seed=5, size=64)
    assert np.array_equal(again.pixels, shown.pixels[:6])
    assert np.array_equal(again.boxes, shown.boxes[:6])
    for i, picture in enumerate(shown.captioned):
        names = {CLASSES[c] for c in shown.objects[i, :, 0] if c >= 0}
        assert names == {item.name for item in picture.objects}
        assert {CLASSES[c] for c in np.flatnonzero(shown.labels()[i])} == names


@settings(max_examples=25, deadline=None)
@given(row=st.integers(0, 5), column=st.integers(0, 5), grid=st.sampled_from([4, 8]), seed=st.integers(0, 2**32))
def test_patch_targets_stay_on_the_object_however_the_window_moves(row: int, column: int, grid: int, seed: int) -> None:
    """Cut, shifted and mirrored, the patches said to show the object are the bright ones.

    The whole picture moves by up to 3 of 8 pixels, so an object's patch is at least (5/8)² bright; a window is cut
    anywhere, so there it is at least a quarter bright.
    """
    made = one_object(row, column, 3, 3)
    rng = np.random.default_rng(seed)
    seen = image_tower.view(made, np.arange(20), grid, 8, rng, lambda x: image_tower.normalise(x, 0.0, 1.0))
    # Undo contrast and brightness: the darkest pixel is black, the brightest white.
    flat = seen.pixels.mean(1)
    low, high = flat.amin((1, 2), keepdim=True), flat.amax((1, 2), keepdim=True)
    bright = F.avg_pool2d(((flat - low) / (high - low).clamp_min(1e-6))[:, None], 8).flatten(1)
    on = seen.owner == 0
    assert bool(on.any(1).all())
    assert float(bright[on].min()) > 0.2
    assert float(bright[on].mean()) > 0.6
    assert bool((seen.target[on] == CLASSES.index("cat")).all())
    assert bool((seen.target[~on] == len(CLASSES)).all())
    assert bool((seen.present.sum(1) == 1).all())


def test_pretraining_features_are_those_of_the_frozen_clip(shown: pictures.Pictures) -> None:
    torch.manual_seed(0)
    model = scenes_tiny.empty_model().eval()
    pixels = image_tower.normalise(shown.pixels[:3], 0.5, 0.28)
    with torch.no_grad():
        image, patches = image_tower.features(model.visual, pixels)
    found = FrozenClip(model, TOKENIZER, scenes_tiny.PREPROCESS, "random").encode_image(pixels)
    assert torch.allclose(image, F.normalize(found.image, dim=-1), atol=1e-5)
    assert torch.allclose(patches, F.normalize(found.patches, dim=-1), atol=1e-5)
    whole = torch.zeros(3, 2, dtype=torch.long)
    with torch.no_grad():
        assert torch.allclose(image_tower.features(model.visual, pixels, whole)[1], patches, atol=1e-5)


def test_a_short_image_training_lowers_its_loss(shown: pictures.Pictures) -> None:
    torch.manual_seed(0)
    visual = scenes_tiny.empty_model().visual
    recipe = image_tower.ImageRecipe(crop_steps=10, full_steps=8, crop_batch=32, full_batch=24, warm_up=4)
    scale = torch.tensor(15.0)

    def value() -> float:
        rng = np.random.default_rng(1)
        seen = image_tower.view(shown, np.arange(48), 8, 8, rng, lambda x: image_tower.normalise(x, 0.5, 0.28))
        with torch.no_grad():
            return float(image_tower.loss(visual, seen, SPACE, scale, recipe.background, whole=True))

    before, lines = value(), []
    learned = image_tower.train_image_tower(visual, shown, SPACE, recipe, 0, lines.append, 0.5, 0.28)
    assert value() < before - 0.5
    assert 1 < learned <= 40
    assert lines[-1]["step"] == 18


def test_a_short_distillation_brings_labels_towards_their_words(shown: pictures.Pictures) -> None:
    torch.manual_seed(0)
    model = scenes_tiny.empty_model()
    rng = np.random.default_rng(0)
    sentences = text_tower.corpus(shown.captioned, SPACE, TOKENIZER, 600, rng)
    prompts = [f"a photo of a {name}" for name in CLASSES]

    def right() -> float:
        clip = FrozenClip(model, TOKENIZER, scenes_tiny.PREPROCESS, "trial")
        found = F.normalize(clip.encode_texts(prompts), dim=-1)
        model.requires_grad_(True)
        return float((found * SPACE.group(CLASSES)).sum(1).mean())

    before = right()
    recipe = text_tower.TextRecipe(sentences=600, steps=40, batch=32)
    text_tower.train_text_tower(model, sentences, recipe, 0, lambda line: None)
    assert right() > before + 0.2


def test_corpus_rows_end_where_they_say_and_unknown_words_stay_unknown(shown: pictures.Pictures) -> None:
    sentences = text_tower.corpus(shown.captioned, SPACE, TOKENIZER, 300, np.random.default_rng(2))
    at_end = sentences.tokens[torch.arange(300), sentences.ends]
    assert bool((at_end == TOKENIZER.eot_token_id).all())
    assert bool((sentences.tokens[:, 0] == TOKENIZER.sot_token_id).all())
    assert bool((sentences.tokens == text_tower.SOFT_TOKEN).any())
    assert len(sentences.known) < 500
    assert torch.allclose(sentences.meanings.norm(dim=1), torch.ones(300), atol=1e-5)


def test_saved_weights_come_back_with_the_same_table_of_unknown_words(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model, known = scenes_tiny.empty_model(), torch.tensor([0, 320, 2368, 49406, 49407])
    path = tmp_path / "w.safetensors"
    digest = scenes_tiny.save_model(model, known, path)
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    back = scenes_tiny.load_model(path)
    table = back.token_embedding.weight
    assert torch.equal(table[known], model.token_embedding.weight[known].half().float())
    unknown = torch.ones(len(table), dtype=torch.bool)
    unknown[known] = False
    assert torch.equal(table[unknown], text_tower.unknown_embeddings(49408, 128)[unknown])
    assert torch.equal(back.visual.proj, model.visual.proj.half().float())
    assert not back.training


def test_missing_and_damaged_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainerError, match="missing"):
        scenes_tiny.load_model(tmp_path / "none.safetensors")
    content = bytearray(scenes_tiny.WEIGHTS.read_bytes())
    content[-7] ^= 1
    damaged = tmp_path / "scenes-tiny.safetensors"
    damaged.write_bytes(content)
    monkeypatch.setattr(scenes_tiny, "WEIGHTS", damaged)
    with pytest.raises(TrainerError, match="sha256"):
        scenes_tiny.load_model()


def test_shipped_weights_are_small_and_match_their_card() -> None:
    card = scenes_tiny.card()
    content = scenes_tiny.WEIGHTS.read_bytes()
    assert hashlib.sha256(content).hexdigest() == card["sha256"]
    assert len(content) < 10_000_000
    assert card["open_clip"] == scenes_tiny.CONFIG
    assert card["preprocess"]["size"] == scenes_tiny.PREPROCESS.size
    lines = [json.loads(line) for line in scenes_tiny.LOG.read_text(encoding="utf-8").splitlines()]
    assert lines[-1]["measured"] == card["figures"]


def test_shipped_weights_recognise_new_broad_scenes_without_training() -> None:
    """Chance is about 13; images of a seed that neither training nor the card used."""
    from trainer.data.scenes.cooccurrence import held_out
    from trainer.pretraining.evaluation import evaluate

    clip = FrozenClip(scenes_tiny.load_model(), TOKENIZER, scenes_tiny.PREPROCESS, "scenes-tiny")
    assert 5 < clip.scale <= 40
    figures = evaluate(clip, pictures.broad(300, seed=77_000_000, size=64), held_out())
    assert figures["zero_shot_mAP"]["a photo of a {}."]["patch_max"] > 75
    assert min(figures["soft_prefix_mAP_patch_max"].values()) > 70


def test_the_command_makes_weights_card_and_log(tmp_path: Path) -> None:
    options = ["--out", str(tmp_path), "--images", "30", "--validation", "60", "--shorten", "0.001"]
    done = subprocess.run(
        [sys.executable, "-m", "trainer.pretraining", *options],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    card = json.loads((tmp_path / "scenes-tiny.json").read_text())
    assert card["sha256"] == hashlib.sha256((tmp_path / "scenes-tiny.safetensors").read_bytes()).hexdigest()
    assert card["images"] == 30
    assert 0 < card["figures"]["zero_shot_mAP"]["{}"]["patch_max"] < 100
    assert len((tmp_path / "scenes-tiny.log.jsonl").read_text().splitlines()) >= 3
