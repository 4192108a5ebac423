"""The review page without HTTP: captions, differences, operations, messages."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prompt_bank.editing import edits as editing
from prompt_bank.editing.dependencies import set_dependency
from prompt_bank.errors import BankError
from prompt_bank.recording.store import load
from prompt_bank.review.differences import differences
from prompt_bank.review.drafts import Draft
from prompt_bank.review.operations import summary
from prompt_bank.review.session import OperationRefused, Session
from prompt_bank.review.view import editable_content, highlight_labels
from prompt_bank.schema import Bank, Caption, Label
from tests.prompt_bank.banks import good
from tests.prompt_bank.review.serving import PAGE, recorded


def named(text: str, *labels: Label) -> list[tuple[str, str]]:
    """The marked pieces of a caption: text and label."""
    caption = Caption(id="c", labels=tuple(label.name for label in labels), text=text)
    return [
        (p["text"], p["label"])
        for p in highlight_labels(caption, {label.name: label for label in labels})["pieces"]
        if p["label"]
    ]


@pytest.mark.parametrize(
    ("text", "labels", "found"),
    [
        ("A cat.", [Label(name="cat")], [("cat", "cat")]),
        ("Cats and CAT", [Label(name="cat")], [("Cats", "cat"), ("CAT", "cat")]),
        ("concatenate a catalogue", [Label(name="cat")], []),
        ("two  buses", [Label(name="bus")], [("buses", "bus")]),
        ("a traffic\n light", [Label(name="traffic light")], [("traffic\n light", "traffic light")]),
        ("a tv set", [Label(name="tv"), Label(name="tv set")], [("tv set", "tv set")]),
        ("a kitten", [Label(name="cat", aliases=("kitten",))], [("kitten", "cat")]),
        ("Straße", [Label(name="straße")], [("Straße", "straße")]),
        ("a C++ book (c)", [Label(name="C++"), Label(name="(c)")], [("C++", "C++"), ("(c)", "(c)")]),
        ("a.b axb", [Label(name="a.b")], [("a.b", "a.b")]),
    ],
)
def test_labels_are_found_as_whole_words(text: str, labels: list[Label], found: list[tuple[str, str]]) -> None:
    assert named(text, *labels) == found


def test_labels_that_a_caption_does_not_name_are_listed() -> None:
    caption = Caption(id="c", labels=("cat", "sofa", "gone"), text="A cat sleeps.")
    assert highlight_labels(caption, {"cat": Label(name="cat"), "sofa": Label(name="sofa")})["unnamed"] == [
        "sofa",
        "gone",
    ]


words = st.text(min_size=1, max_size=6).filter(str.strip)


@settings(max_examples=50, deadline=None)
@given(text=st.text(min_size=1, max_size=60), names=st.lists(words, min_size=1, max_size=4, unique=True))
def test_the_pieces_of_a_caption_are_its_text(text: str, names: list[str]) -> None:
    text += f" {names[0]}"
    caption = Caption(id="c", labels=tuple(names), text=text)
    shown = highlight_labels(caption, {name: Label(name=name) for name in names})
    assert "".join(piece["text"] for piece in shown["pieces"]) == text
    assert set(shown["unnamed"]) | {piece["label"] for piece in shown["pieces"] if piece["label"]} == set(names)


def test_differences_show_conditions_by_their_words_with_both_sides() -> None:
    before = good()
    after = editing.edit(before, "pose", text="posture", values=["lying", "sitting"])
    after = set_dependency(editing.add(after, "season"), ["cat", "potted plant"], ["pose", "season"])
    found = {one["title"]: one for one in differences(before, after)}
    assert list(found) == ["posture", "season", "cat + potted plant"]
    assert found["season"]["change"] == "added"
    rows = {row["field"]: (row["before"], row["after"]) for row in found["posture"]["fields"]}
    assert rows["words"] == ("object pose", "posture") and rows["values"] == ("", "lying, sitting")
    assert found["cat + potted plant"]["fields"] == [
        {"field": "conditions", "before": "background", "after": "posture, season"}
    ]
    assert differences(before, before) == []
    there_and_back = editing.rename(editing.rename(before, "pose", "posture"), "pose", "object pose")
    assert differences(before, there_and_back) == []  # its origin alone is another one


def test_only_moved_items_are_differences(tmp_path: Path) -> None:
    before = load(recorded(tmp_path)).bank
    (moved,) = differences(before, editing.move(before, "lighting", 0))
    assert (moved["title"], moved["change"]) == ("lighting", "changed")
    assert moved["fields"] == [{"field": "order", "before": "place 3", "after": "place 1"}]


def test_a_revision_message_is_short_and_without_repetition() -> None:
    accept = {"do": "accept", "id": "pose"}
    assert summary(draft("b", accept, accept).operations) == "accepted pose"
    long = draft("b", *({"do": "accept", "id": f"condition-{i}"} for i in range(99))).operations
    assert len(summary(long)) <= 200 and summary(long).endswith("; and more")
    assert summary(draft("b", {"do": "add", "text": "x" * 200}).operations) == f"added {'x' * 73}…"


def draft(base: str, *operations: dict[str, Any]) -> Draft:
    return Draft.model_validate({"id": PAGE, "by": "ada", "base": base, "operations": list(operations)})


ids = st.sampled_from(["background", "pose", "lighting", "season"])
texts = st.sampled_from(["background", "pose", "season", "weather", " ", ""])
operation = st.one_of(
    st.fixed_dictionaries({"do": st.sampled_from(["accept", "reject", "propose", "remove"]), "id": ids}),
    st.fixed_dictionaries({"do": st.just("edit"), "id": ids, "text": texts}),
    st.fixed_dictionaries({"do": st.just("add"), "text": texts}),
    st.fixed_dictionaries({"do": st.just("move"), "id": ids, "position": st.integers(0, 4)}),
    st.fixed_dictionaries({"do": st.just("merge"), "ids": st.lists(ids, max_size=3), "text": texts}),
)


@settings(max_examples=60, deadline=None)
@given(lists=st.lists(st.lists(operation, max_size=6), min_size=1, max_size=4))
def test_a_preview_does_not_depend_on_the_previews_before_it(lists: list[list[dict[str, Any]]]) -> None:
    with TemporaryDirectory() as folder:
        path = recorded(Path(folder))
        session = Session(path, "ada")
        base = session.open()["base"]
        for operations in lists:
            asked = draft(base, *operations)
            assert outcome(session, asked) == replayed(load(path).bank, asked)


def outcome(session: Session, asked: Draft) -> Any:
    try:
        return {key: session.preview(asked)[key] for key in ("conditions", "dependencies", "attributes")}
    except OperationRefused as refused:
        return refused.index


def replayed(bank: Bank, asked: Draft) -> Any:
    """Apply the operations one by one."""
    for index, one in enumerate(asked.operations):
        try:
            bank = one.apply(bank)
        except BankError:
            return index
    return editable_content(bank)
