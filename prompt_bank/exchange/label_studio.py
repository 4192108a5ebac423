"""Conditions as Label Studio tasks, with the bank's decisions as pre-annotations; annotated tasks as edits.

In Label Studio: "Import" the tasks, set `CONFIG` as labelling interface, and "Export" annotated tasks as "JSON".
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from prompt_bank.errors import BankError, Problem
from prompt_bank.exchange.rewriting import source_error
from prompt_bank.exchange.three_way import ConditionEdit, FieldChange
from prompt_bank.reading.locate import JsonSyntaxError, LocatedJson, format_place
from prompt_bank.reading.validation import BYTE_ORDER_MARK, describe_error
from prompt_bank.schema import Bank, Condition

FIELDS = ("status", "text", "note")
"""The fields that annotators set."""

MAX_CAPTIONS = 8
"""The maximum number of descriptions in a task."""

CONFIG = """\
<View>
  <Text name="about" value="$about"/>
  <Header value="Descriptions that it explains"/>
  <Text name="captions" value="$captions"/>
  <Header value="Should prompts be about it?"/>
  <Choices name="status" toName="about" choice="single" required="true" showInline="true">
    <Choice value="accepted"/>
    <Choice value="rejected"/>
    <Choice value="proposed"/>
  </Choices>
  <Header value="Its words in the prompts"/>
  <TextArea name="text" toName="about" maxSubmissions="1" editable="true"/>
  <Header value="Note"/>
  <TextArea name="note" toName="about" maxSubmissions="1" editable="true"/>
</View>
"""
"""The labelling interface for the settings of the Label Studio project."""


def dump(bank: Bank) -> str:
    """The tasks as JSON, one per condition."""
    return json.dumps([_task(bank, condition) for condition in bank.conditions], indent=2, ensure_ascii=False) + "\n"


def edits(text: str, bank: Bank, source: Path | str) -> list[ConditionEdit]:
    """The edits in annotated tasks. Tasks without annotations are ignored.

    Args:
        text: the tasks as exported from Label Studio.
        bank: the bank from which the tasks were exported.
        source: the file that the problems refer to.

    Raises:
        BankError: with all problems: the tasks are malformed or from another bank, or annotators disagree.
    """
    try:
        located = LocatedJson(text.removeprefix(BYTE_ORDER_MARK))
    except JsonSyntaxError as error:
        raise source_error(source, str(error), error.line) from error
    if located.problems:
        raise BankError(source, located.problems)
    rows = located.value
    if isinstance(rows, list) and any(isinstance(row, dict) and "data" not in row for row in rows):
        raise source_error(source, 'has tasks without data; export them from Label Studio as "JSON", not as "JSON-MIN"')
    try:
        tasks = TypeAdapter(list[_Task]).validate_python(rows)
    except ValidationError as error:
        problems = [
            Problem(f"tasks{format_place(tuple(e['loc']))}", describe_error(e), located.line(tuple(e["loc"])))
            for e in error.errors()
        ]
        raise BankError(source, problems) from error
    problems, found = [], []
    for number, task in enumerate(tasks, 1):
        place, line = f"task {number}", located.line((number - 1,))
        if task.data.bank != bank.name:
            problems.append(Problem(place, f"is about the bank '{task.data.bank}', not '{bank.name}'", line))
            continue
        cells = {}
        for field in FIELDS:
            answers = {
                a: None for a in (_answer(annotation, field) for annotation in task.annotations) if a is not None
            }
            if len(answers) > 1:
                message = f"annotators disagree on {field} of '{task.data.condition}': {', '.join(answers)}; keep one"
                problems.append(Problem(place, message, line))
            elif answers:
                cells[field] = FieldChange(getattr(task.data, field), next(iter(answers)))
        if cells:
            found.append(ConditionEdit(place, line, task.data.condition, cells))
    if problems:
        raise BankError(source, problems)
    return found


def _list(value: Any) -> Any:
    """Label Studio exports a single text of a TextArea as a string or as a list."""
    return [value] if isinstance(value, str) else value


class _LabelStudioModel(BaseModel):
    """Base of the parts of a task that are read; Label Studio adds further fields."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Value(_LabelStudioModel):
    choices: list[str] = []
    text: Annotated[list[str], BeforeValidator(_list)] = []


class _Result(_LabelStudioModel):
    from_name: str = ""
    value: _Value = _Value()


class _Annotation(_LabelStudioModel):
    result: list[_Result] = []
    was_cancelled: bool = False


class _Data(_LabelStudioModel):
    bank: str
    condition: str
    status: str
    text: str
    note: str


class _Task(_LabelStudioModel):
    data: _Data
    annotations: list[_Annotation] = []


def _answer(annotation: _Annotation, field: str) -> str | None:
    """An annotator's value of a field; None if it is empty or the task was skipped."""
    if annotation.was_cancelled:
        return None
    values = [
        text
        for result in annotation.result
        if result.from_name == field
        for text in (result.value.choices or result.value.text)
    ]
    return "\n".join(values).strip() or None


def _task(bank: Bank, condition: Condition) -> dict[str, Any]:
    known = {field: getattr(condition, field) for field in FIELDS}
    results = [_result("status", "choices", {"choices": [condition.status]})]
    results += [_result(field, "textarea", {"text": [known[field]]}) for field in ("text", "note") if known[field]]
    revision = bank.history[-1].revision if bank.history else 0
    return {
        "data": {
            "bank": bank.name,
            "condition": condition.id,
            "revision": revision,
            **known,
            "about": _about(condition),
            "captions": _captions(bank, condition),
        },
        "predictions": [{"model_version": f"fedmpt bank, revision {revision}", "result": results}],
    }


def _result(name: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": "about", "type": kind, "value": value}


def _about(condition: Condition) -> str:
    lines = [condition.text, condition.definition]
    if condition.values:
        lines.append("For instance: " + ", ".join(condition.values))
    if condition.support is not None:
        lines.append(f"Explains {100 * condition.support:.0f} % of the descriptions.")
    return "\n".join(filter(None, lines))


def _captions(bank: Bank, condition: Condition) -> str:
    texts = {caption.id: f"{caption.text} ({', '.join(caption.labels)})" for caption in bank.captions}
    return "\n\n".join(texts[i] for i in condition.evidence[:MAX_CAPTIONS]) or "none"
