"""The YAML view: unchanged text changes nothing, changes are read, errors have their line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from prompt_bank.errors import BankError
from prompt_bank.exchange.yaml_view import dump, read
from prompt_bank.schema import Bank, Label
from tests.prompt_bank.banks import good
from tests.prompt_bank.strategies import banks


def edited(old: str, new: str, bank: Bank | None = None) -> Bank:
    bank = bank or good()
    text = dump(bank)
    assert old in text
    return read(text.replace(old, new, 1), bank, "view.yaml")


def without(bank: Bank, **changes: object) -> Bank:
    return bank.model_copy(update=changes)


@settings(max_examples=200, deadline=None)
@given(banks())
def test_an_unchanged_view_changes_nothing(bank: Bank) -> None:
    assert read(dump(bank), bank, "view.yaml") == bank


def test_the_view_is_readable() -> None:
    assert dump(good()).startswith(
        "conditions:\n\n- id: background\n  text: background\n  status: proposed\n  definition: ''\n  values: [room]\n"
        "  note: ''\n\n- id: pose\n  text: object pose\n"
    )
    assert "\nlabels:\n- name: cat\n  aliases: [kitten]\n- potted plant\n\nprompt:\n  template: " in dump(good())


def test_changed_fields_are_read_and_origins_are_set() -> None:
    bank = edited("text: object pose", "text: body pose")
    assert (bank.conditions[1].text, bank.conditions[1].origin, bank.conditions[0].origin) == (
        "body pose", "edited", "mined",
    )  # fmt: skip
    bank = edited("status: proposed", "status: accepted")
    assert (bank.conditions[0].status, bank.conditions[0].origin) == ("accepted", "mined")
    assert edited(
        "values: [room]", "values:\n  - a: b" if False else "values: [no, 1984, 'null', 2026-11-24]"
    ).conditions[0].values == ("no", "1984", "null", "2026-11-24")
    assert edited("class_tokens: 7", "class_tokens: 0").prompt.class_tokens == 0
    assert bank.conditions[0].evidence == good().conditions[0].evidence


@pytest.mark.parametrize("empty", ["", "~", "null", "[]"])
def test_an_emptied_list_is_empty(empty: str) -> None:
    assert edited("values: [room]", f"values: {empty}").conditions[0].values == ()


def test_a_new_condition_needs_no_id_and_a_missing_field_is_unchanged() -> None:
    bank = edited("labels:", "- text: Time of day\n  values: [dawn]\nlabels:")
    added = bank.conditions[2]
    assert (added.id, added.origin, added.status, added.values) == ("time-of-day", "added", "proposed", ("dawn",))
    assert edited("  values: [room]\n", "") == good()


def test_a_deleted_condition_is_removed_and_the_order_is_kept() -> None:
    text = dump(good())
    first, second = text.index("- id: background"), text.index("- id: pose")
    end = text.index("labels:")
    bank = read(text[:first] + text[second:], good(), "v")
    assert [c.id for c in bank.conditions] == ["pose"] and bank.dependencies == ()
    turned = read(text[:first] + text[second:end] + text[first:second] + text[end:], good(), "v")
    assert [c.id for c in turned.conditions] == ["pose", "background"] and turned.dependencies == good().dependencies


def test_a_label_renamed_in_place_is_renamed_in_captions() -> None:
    bank = edited("- name: cat", "- name: tabby")
    assert bank.labels[0] == Label(name="tabby", aliases=("kitten",))
    assert bank.captions[0].labels == ("tabby",) and bank.dependencies[0].labels == ("tabby", "potted plant")


def test_removing_a_label_removes_its_captions_and_dependencies() -> None:
    bank = edited("- name: cat\n  aliases: [kitten]\n", "")
    assert [label.name for label in bank.labels] == ["potted plant"]
    assert bank.captions == () and bank.dependencies == () and bank.conditions[0].evidence == ()


def test_labels_may_be_reordered_and_added() -> None:
    bank = edited("- name: cat\n  aliases: [kitten]\n- potted plant\n", "- dog\n- potted plant\n- name: cat\n")
    assert [label.name for label in bank.labels] == ["dog", "potted plant", "cat"]
    assert bank.captions == good().captions and bank.labels[2].aliases == ("kitten",)


def test_a_missing_part_is_unchanged() -> None:
    text = dump(good())
    assert read(text[: text.index("labels:")], good(), "v") == good()


@pytest.mark.parametrize(("old", "new", "message"), [
    ("status: proposed", "status: maybe", r"conditions\[0\].status, line 5: must be 'proposed', 'accepted' or"),
    ("text: object pose", "text: ''", r"conditions\[1\].text, line 11: is empty"),
    ("text: object pose", "text: Background", r"conditions\[1\].text, line 11: the condition 'background' is already"),
    ("text: object pose", "txet: pose", r"conditions\[1\].txet, line 11: is not a field of .*; is 'text' meant\?"),
    ("text: object pose", "support: 0.9", r"conditions\[1\].support, line 11: cannot be changed by hand"),
    ("text: object pose", "text: [a]", r"conditions\[1\].text, line 11: must be a valid string"),
    ("values: [room]", "values: room", r"conditions\[0\].values, line 7: must be a valid"),
    ("values: [room]", "values: [room, {a: b}]", r"conditions\[0\].values\[1\], line 7: must be"),
    ("id: pose", "id: psoe", r"conditions\[1\].id, line 10: there is no condition 'psoe'; there are pose"),
    ("id: pose", "id: background", r"conditions\[1\].id, line 10: the condition id 'background' is already used at"),
    ("class_tokens: 7", "class_tokens: many", r"prompt.class_tokens, line 25: must be a valid integer"),
    ("class_tokens: 7", "class_tokens: 65", r"prompt.class_tokens, line 25: must be at most 64, not 65"),
    ("'{condition} {label}.'", "'{label}'", r"prompt.template, line 23: has {condition} 0 times"),
    ("- potted plant", "- cat", r"labels\[1\].name, line 20: the label 'cat' is already used at"),
    ("- potted plant", "- fern\n- tree", r"labels, line \d+: it is ambiguous whether potted plant was renamed"),
    ("- potted plant", "- [a]", r"line 20: labels\[1\] must be a map"),
    ("  note: ''", "  note: ''\n  note: x", r"line 9: the key 'note' occurs twice"),
    ("  note: ''", "  note: 'x", r"line \d+: is not YAML"),
    ("  note: ''", "\tnote: x", r"line 8: is not YAML"),
    ("  note: ''", "  note: *x", r"is not YAML: found undefined alias"),
    ("  note: ''", "  note: &x a\n  definition: *x", r"line \d+: (aliases|the key)"),
    ("  note: ''", "  note: !!python/object/apply:os.system ['true']", r"\[0\].note, line 8: must be a valid string"),
    ("  note: ''", "  [a]: b", r"line 8: a key must be a single word"),
    ("  note: ''", "  note: \"\\ud800\"", r"line 8: a text contains half of a surrogate pair"),
    ("  note: ''", '  note: "\\UFFFFFFFF"', r"line 8: is not YAML: an escape names no character"),
    ("  note: ''", "  note: \x07", r"is not YAML"),
    ("conditions:", "condition:", r"line 1: 'condition' is not a part of a bank; the parts are conditions"),
    ("conditions:", "conditions: 5\nx:", r"'x' is not a part|conditions must be a list"),
    ("labels:", "labels: a\nx:", r"'x' is not a part|labels must be a list"),
])  # fmt: skip
def test_errors_in_a_view_have_their_line(old: str, new: str, message: str) -> None:
    with pytest.raises(BankError, match=message):
        edited(old, new)


@pytest.mark.parametrize("text", ["- a", "x", "conditions", "a: 1\n---\nb: 2", "[" * 5000, "labels: []"])
def test_invalid_views_are_errors(text: str) -> None:
    with pytest.raises(BankError):
        read(text, good(), "v")


def test_all_problems_are_reported_at_once() -> None:
    text = dump(good()).replace("status: proposed", "status: maybe").replace("object pose", "x" * 101)
    with pytest.raises(BankError) as caught:
        read(text, good(), "v", first_line=11)
    assert [p.line for p in caught.value.problems] == [15, 21, 22]


def test_no_condition_at_all() -> None:
    text = dump(good())
    assert read("conditions: []\n" + text[text.index("labels:") :], good(), "v").conditions == ()
