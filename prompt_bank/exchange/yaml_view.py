"""A view of a bank's conditions, labels and prompt as YAML, for editing by hand.

All scalars are read as strings; YAML's tags, booleans, numbers and dates are not interpreted, so `no` stays "no".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from fedmpt.common.yaml_text import YamlTextError, compose_yaml
from prompt_bank.editing.affinities import cell_lift
from prompt_bank.exchange.rewriting import EDITABLE_FIELDS, apply_rewrite, source_error
from prompt_bank.reading.locate import Place
from prompt_bank.schema import Bank, Condition, Label

PARTS = ("conditions", "labels", "prompt", "about")
LIST_FIELDS = ("values", "aliases", "attributes")
INTEGER_FIELDS = ("condition_tokens", "class_tokens")
LIFT = re.compile(r"[+-]?[0-9]{1,6}(\.[0-9]{1,9})?")


class _FlowList(list[str]):
    """A list in flow style, on one line."""


class _FlowMap(dict[str, "float | None"]):
    """A map in flow style, on one line."""


class _Dumper(yaml.SafeDumper):
    """Writes no anchors; strings, flow lists and flow maps have the representers below."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """A string, in double quotes if it contains characters that PyYAML would otherwise lose."""
    odd = any(sign in text for sign in "\r\x85\u2028\u2029\ufeff")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if odd else None)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(_FlowMap, lambda dumper, row: dumper.represent_mapping("tag:yaml.org,2002:map", row, True))
_Dumper.add_representer(
    _FlowList, lambda dumper, words: dumper.represent_sequence("tag:yaml.org,2002:seq", words, True)
)


def dump(bank: Bank) -> str:
    """The view as YAML text."""
    view: dict[str, Any] = {
        "conditions": [
            {
                "id": c.id,
                **{field: getattr(c, field) for field in EDITABLE_FIELDS},
                "values": _FlowList(c.values),
                **({"corrected": _corrected(c)} if c.affinity else {}),
            }
            for c in bank.conditions
        ],
        "labels": [_label(label) for label in bank.labels],
        "prompt": bank.prompt.model_dump(),
    }
    view["about"] = bank.about
    text = yaml.dump(view, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=110)
    # A blank line before each condition and each part, for orientation.
    return re.sub(r"\n(?=- id: |labels:|prompt:|about:)", "\n\n", text)


def _label(label: Label) -> Any:
    """A label with its aliases and attributes; its name alone if it has none."""
    lists = {"aliases": _FlowList(label.aliases), "attributes": _FlowList(label.attributes)}
    given = {field: words for field, words in lists.items() if words}
    return {"name": label.name, **given} if given else label.name


def _corrected(condition: Condition) -> dict[str, _FlowMap]:
    """The corrections of the affinity by label and value."""
    found: dict[str, _FlowMap] = {}
    for c in condition.affinity.corrected if condition.affinity else ():
        found.setdefault(c.label, _FlowMap())[c.value] = cell_lift(condition, c.label, c.value)
    return found


def read(text: str, bank: Bank, source: Path | str, first_line: int = 1) -> Bank:
    """The bank with the edits of a view.

    Args:
        text: the edited view.
        bank: the bank from which the view was written.
        source: the file that the problems refer to.
        first_line: the line number of the text's first line in the source.

    Raises:
        BankError: with all problems, each with place and line.
    """
    lines: dict[Place, int] = {}
    try:
        node = compose_yaml(text)
        view = _plain(node, (), lines, set()) if node is not None else {}
    except YamlTextError as error:
        line = first_line + error.line - 1 if error.line else None
        raise source_error(source, str(error), line) from error
    except RecursionError as error:
        raise source_error(source, "lists or maps are nested too deep") from error
    except _UnsupportedYaml as error:
        raise source_error(source, str(error), first_line + error.line) from error

    def line_of(place: Place) -> int | None:
        while place not in lines:
            if not place:
                return None
            place = place[:-1]
        return first_line + lines[place]

    parts = _parts(view, source, line_of)
    return apply_rewrite(
        bank,
        parts["conditions"],
        source,
        line_of,
        labels=parts.get("labels"),
        prompt=parts.get("prompt"),
        about=parts.get("about"),
    )


class _UnsupportedYaml(ValueError):
    """A YAML feature that a view does not support; `line` counts from 0."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def _plain(node: yaml.Node, place: Place, lines: dict[Place, int], seen: set[int]) -> Any:
    """Convert a YAML node to strings, lists and dicts; `lines` gets the line of each place (its key's line), from 0."""
    line = lines.setdefault(place, node.start_mark.line)
    if id(node) in seen:
        raise _UnsupportedYaml("aliases (*) are not supported; repeat the content", line)
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, (*place, at), lines, seen) for at, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _UnsupportedYaml("a key must be a single word", key.start_mark.line)
            if key.value in found:
                raise _UnsupportedYaml(f"the key '{key.value}' occurs twice", key.start_mark.line)
            lines[(*place, key.value)] = key.start_mark.line
            found[key.value] = _plain(value, (*place, key.value), lines, seen)
        return found
    if any("\ud800" <= sign <= "\udfff" for sign in node.value):
        raise _UnsupportedYaml("a text contains half of a surrogate pair", line)
    # `note:`, `note: ~` and `note: null` are all empty; "null" in quotes is a word.
    return "" if node.tag == "tag:yaml.org,2002:null" and node.style is None else node.value


def _parts(view: Any, source: Path | str, line_of: Any) -> dict[str, Any]:
    """The view's parts with lists and numbers converted.

    Raises:
        BankError: a part is missing, unknown, or not a list of maps.
    """
    if not isinstance(view, dict):
        raise source_error(source, f"must hold {', '.join(PARTS)}", line_of(()))
    for part in view:
        if part not in PARTS:
            raise source_error(
                source, f"'{part}' is not a part of a bank; the parts are {', '.join(PARTS)}", line_of((part,))
            )
    if "conditions" not in view:
        raise source_error(source, "conditions are missing; `conditions: []` removes them all", line_of(()))
    found = {part: view[part] for part in view}
    for part in ("conditions", "labels"):
        if part in found:
            found[part] = [_row(row, part) for row in _list(found[part], part, source, line_of)]
            for at, row in enumerate(found[part]):
                if not isinstance(row, dict):
                    raise source_error(source, f"{part}[{at}] must be a map of fields", line_of((part, at)))
    if "prompt" in found:
        if not isinstance(found["prompt"], dict):
            raise source_error(source, "prompt must be a map of fields", line_of(("prompt",)))
        found["prompt"] = dict(_numbered(found["prompt"]))
    return found


def _list(value: Any, part: str, source: Path | str, line_of: Any) -> list[Any]:
    if value == "":  # the key is there, its entries were deleted
        return []
    if not isinstance(value, list):
        raise source_error(source, f"{part} must be a list, with a dash before each entry", line_of((part,)))
    return value


def _row(row: Any, part: str) -> Any:
    if part == "labels" and isinstance(row, str):
        return {"name": row, "aliases": [], "attributes": []}
    if isinstance(row, dict):
        found = {field: [] if field in LIST_FIELDS and value == "" else value for field, value in row.items()}
        if isinstance(found.get("corrected"), dict):
            found["corrected"] = {label: _lifts(cells) for label, cells in found["corrected"].items()}
        return found
    return row


def _lifts(cells: Any) -> Any:
    """The cells of a label with numeric strings converted to numbers."""
    if not isinstance(cells, dict):
        return cells
    return {v: float(x) if isinstance(x, str) and LIFT.fullmatch(x) else x for v, x in cells.items()}


def _numbered(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for field, value in row.items():
        number = field in INTEGER_FIELDS and isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value)
        yield field, int(value) if number else value
