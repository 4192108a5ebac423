"""The words of prompts around the learnable tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prompt_bank.errors import BankError
from prompt_bank.prompts.layout import active_conditions, prompts, template_parts
from prompt_bank.schema import Bank, Prompt
from tests.prompt_bank.banks import good


def with_statuses(*statuses: str) -> Bank:
    bank = good()
    changed = [c.model_copy(update={"status": s}) for c, s in zip(bank.conditions, statuses, strict=True)]
    return bank.model_copy(update={"conditions": tuple(changed)})


def with_prompt(template: str = "{condition} {label}.", condition_tokens: int = 5, class_tokens: int = 7) -> Bank:
    prompt = Prompt(template=template, condition_tokens=condition_tokens, class_tokens=class_tokens)
    return good().model_copy(update={"prompt": prompt})


@pytest.mark.parametrize(
    ("statuses", "ids", "said"),
    [
        (("proposed", "proposed"), ["background", "pose"], "proposed"),
        (("accepted", "proposed"), ["background"], "accepted"),
        (("rejected", "proposed"), ["pose"], "proposed"),
        (("rejected", "accepted"), ["pose"], "accepted"),
    ],
)
def test_accepted_conditions_come_before_proposed_ones(statuses: tuple[str, str], ids: list[str], said: str) -> None:
    conditions, status = active_conditions(with_statuses(*statuses))
    assert [c.id for c in conditions] == ids and status == said


def test_a_bank_whose_conditions_are_all_rejected_is_an_error() -> None:
    with pytest.raises(BankError, match="no condition is accepted or proposed"):
        active_conditions(with_statuses("rejected", "rejected"))


def test_every_condition_meets_every_label() -> None:
    found = prompts(good())
    assert [(p.condition_id, p.label) for p in found] == [
        ("background", "cat"), ("background", "potted plant"), ("pose", "cat"), ("pose", "potted plant"),
    ]  # fmt: skip
    assert found[0].text == "[u1] … [u5] background [w1] … [w7] cat."
    assert found[3].text == "[u1] … [u5] object pose [w1] … [w7] potted plant."


@pytest.mark.parametrize(
    ("bank", "text"),
    [
        (with_prompt(condition_tokens=0, class_tokens=0), "background cat."),
        (with_prompt(condition_tokens=1, class_tokens=2), "[u1] background [w1] [w2] cat."),
        (
            with_prompt("a {condition} with one {label} in it"),
            "[u1] … [u5] a background [w1] … [w7] with one cat in it",
        ),
    ],
)
def test_the_template_and_the_counts_show(bank: Bank, text: str) -> None:
    assert prompts(bank)[0].text == text


WORDS = st.text(st.characters(exclude_characters="{}", exclude_categories=("Cs",)), max_size=10)


@given(WORDS, WORDS, WORDS, st.text(max_size=10))
def test_a_template_is_split_into_parts_and_braces_in_words_are_literal(
    before: str, between: str, after: str, word: str
) -> None:
    bank = good()
    template = f"{before}{{condition}}{between}{{label}}{after}"
    split = template_parts(bank.model_copy(update={"prompt": Prompt.model_construct(template=template)}))
    assert (split.before, split.between, split.after) == (before, between, after)
    for dangerous in (word, "{label}", "{0.__class__}", "%s"):
        assert split.head(dangerous) == (before + dangerous).strip()
        assert split.tail(dangerous) == (between + dangerous + after).strip()
