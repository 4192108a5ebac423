"""Token counts equal to open_clip's; prompts that are too long or identical for CLIP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import prompt_bank
from prompt_bank.editing import edits as editing
from prompt_bank.prompts.clip_tokens import special_tokens, token_ids
from prompt_bank.prompts.layout import template_parts
from prompt_bank.prompts.lengths import measure_prompts, prompt_problems
from prompt_bank.recording.store import load
from prompt_bank.schema import Bank, Label, Prompt
from tests.prompt_bank.banks import good
from tests.prompt_bank.strategies import ODD

SHIPPED = sorted((Path(prompt_bank.__path__[0]) / "banks").glob("*[0-9].json"))


@pytest.fixture(scope="module")
def clip() -> Any:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_banks_have_the_tokens_that_open_clip_counts(clip: Any, path: Path) -> None:
    bank = load(path).bank
    frozen = template_parts(bank)
    texts = [frozen.head(c.text) for c in bank.conditions] + [frozen.tail(label.name) for label in bank.labels]
    texts += [c.definition for c in bank.conditions] + [caption.text for caption in bank.captions]
    assert all(list(token_ids(text)) == clip.encode(text) for text in texts)
    assert prompt_problems(bank) == []
    learned = bank.prompt.condition_tokens + bank.prompt.class_tokens
    first, whole = measure_prompts(bank)[0], f"{bank.conditions[0].text} {bank.labels[0].name}."
    assert first.tokens == len(clip.encode(whole)) + learned + 2, "no word reaches over the field's border here"


@pytest.mark.parametrize("text", [
    "", " ", "cat", "Don't", "'ſ x'S", "&amp;lt;b&amp;gt;", "a<start_of_text>b <END_OF_TEXT>", "İstanbul", "½ Ⅷ ² 1234",
    "a\x00b", "ΑΣ ς", "ﬁ", "x" * 500, "a\u00a0b", "ǅ", "\u0378\ue000", "K K", "schÃ¶n", "__init__", "!!!???",
])  # fmt: skip
def test_odd_texts_have_the_tokens_that_open_clip_counts(clip: Any, text: str) -> None:
    assert list(token_ids(text)) == clip.encode(text)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=30) | ODD)
def test_any_text_has_the_tokens_that_open_clip_counts(clip: Any, text: str) -> None:
    assert list(token_ids(text)) == clip.encode(text)


def test_special_tokens_are_open_clips(clip: Any) -> None:
    assert special_tokens() == (clip.sot_token_id, clip.eot_token_id)


def test_counting_loads_neither_torch_nor_open_clip() -> None:
    heavy = "{'torch', 'numpy', 'open_clip'}"
    program = f"import sys, prompt_bank.prompts.lengths as p; p.token_ids('a cat'); print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_a_prompt_is_counted_token_by_token() -> None:
    """[SOS], 5 of u, "background", 7 of w, "cat" and ".", [EOT]: 1 + 5 + 1 + 7 + 2 + 1 = 17; one more for "pose"."""
    found = {(p.condition_id, p.label): p for p in measure_prompts(good())}
    assert found[("background", "cat")].tokens == 17
    assert found[("pose", "cat")].tokens == 18
    assert found[("pose", "potted plant")].tokens == 19
    assert not any(p.too_long or p.same_as for p in found.values())


def with_lengths(condition_tokens: int, class_tokens: int) -> Bank:
    return good().model_copy(update={"prompt": Prompt(condition_tokens=condition_tokens, class_tokens=class_tokens)})


def test_the_77th_token_is_read_and_the_78th_is_not() -> None:
    """5 of 17 tokens are frozen: 64 + 8 learnable ones make 77 for background and cat, 79 for pose and potted plant."""
    found = {(p.condition_id, p.label): p for p in measure_prompts(with_lengths(64, 8))}
    assert [(p.tokens, p.too_long) for p in found.values()] == [(77, False), (78, True), (78, True), (79, True)]
    told = prompt_problems(with_lengths(64, 8))
    assert [t.place for t in told] == ["conditions[0].text", "conditions[1].text"]
    assert "with the label 'potted plant' its prompt has 78 tokens; CLIP reads 77" in told[0].message


def test_labels_after_the_truncation_give_identical_prompts() -> None:
    bank = with_lengths(64, 11)
    assert [p.same_as for p in measure_prompts(bank)] == [None, ("background", "cat"), None, ("pose", "cat")]
    same = [t for t in prompt_problems(bank) if "same prompt" in t.message]
    assert [t.place for t in same] == ["labels[1].name"], "said once, not once a condition"


def test_labels_that_clip_cannot_distinguish_are_reported() -> None:
    """open_clip undoes HTML's entities, so these two are the same words to it, though not to the bank."""
    labels = (*good().labels, Label(name="salt & pepper"), Label(name="salt &amp; pepper"))
    bank = good().model_copy(update={"labels": labels})
    (told,) = prompt_problems(bank)
    assert told.place == "labels[3].name" and "'salt &amp; pepper' and 'salt & pepper'" in told.message


def test_conditions_that_clip_cannot_distinguish_are_reported() -> None:
    (told,) = prompt_problems(editing.add(good(), "object&nbsp;pose"))
    assert told.place == "conditions[2].text" and "'object-nbsp-pose' and 'pose'" in told.message


def test_a_bank_without_active_conditions_has_no_prompts() -> None:
    (told,) = prompt_problems(editing.reject(good(), ["background", "pose"]))
    assert told.severity == "warning" and "no condition is accepted or proposed" in told.message
