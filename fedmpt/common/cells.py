"""The cells of tables: lists of names as people and programs write them, and marks of a label matrix."""

from __future__ import annotations

import re

from fedmpt.common.label_names import closing_bracket

MARKS = {
    **dict.fromkeys(("1", "1.0", "true", "yes", "x"), 1),
    **dict.fromkeys(("0", "0.0", "false", "no"), 0),
    **dict.fromkeys(("-1", "-1.0", "?", ""), -1),
}
"""1 present, 0 absent, -1 unknown, by the cell in lower case."""

MAX_CELL = 100_000
"""Characters of the longest list of names."""

_CALL = re.compile(r"(?:frozenset|set|list|tuple|array|np\.array|Index)\(")
_DTYPE = re.compile(r",\s*dtype=[\w.'<>|]+\s*$")
_QUOTED = r"""[uU]?'(?:[^'\\]|\\.)*'|[uU]?"(?:[^"\\]|\\.)*\""""
_ITEM = re.compile(rf"\s*({_QUOTED}|[^\s,'\"\[\](){{}}:;][^,'\"\[\](){{}}:;]*)\s*(,|(?=\s*['\"uU])|$)", re.DOTALL)
_NOT_A_NAME = re.compile(r"[-+]?[\d.]+(?:e[-+]?\d+)?|none|null|nan|true|false", re.IGNORECASE)
_ESCAPES = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)


class CellError(ValueError):
    """A cell that cannot be read as names; the message says why, without the place."""


def split_names(cell: str) -> list[str]:
    """The names in a cell.

    A list in the notation of JSON, Python (also sets and tuples), numpy or PostgreSQL, else names separated by ; or |,
    else by commas.

    Raises:
        CellError: brackets that are no such list, or a list of numbers or of lists.
    """
    cell = cell.strip()
    if len(cell) > MAX_CELL:
        raise CellError(f"a cell of {len(cell):,} characters; at most {MAX_CELL:,} are read")
    inside = _inside_brackets(cell)
    if inside is not None:
        return _items(inside, cell)
    parts = re.split(r"[;|]", cell) if re.search(r"[;|]", cell) else cell.split(",")
    names = [part.strip() for part in parts if part.strip()]
    quotes = {(name[0], name[-1]) for name in names}
    if quotes in ({('"', '"')}, {("'", "'")}) and all(len(name) > 2 for name in names):
        return [name[1:-1].strip() for name in names]
    return names


def _inside_brackets(cell: str) -> str | None:
    """The text between the brackets of a list; None if the cell is none, as "(un)healthy"."""
    if call := _CALL.match(cell):
        inner = _DTYPE.sub("", cell[call.end() :].removesuffix(")")) if cell.endswith(")") else cell
        return _inside_brackets(inner.strip()) if inner.strip() else ""
    if cell[:1] not in ("[", "{", "(") or closing_bracket(cell) != len(cell) - 1:
        return None
    inside = cell[1:-1].strip()
    if cell[0] == "(" and inside and "," not in inside:
        return None  # a name in parentheses; Python's tuple of one has a comma
    return inside


def _items(inside: str, cell: str) -> list[str]:
    names = []
    at = 0
    while at < len(inside):
        item = _ITEM.match(inside, at)
        if item is None or item.end() == at:
            raise CellError(f"{cell[:60]!r} is in brackets, but no list of names; separate names with ;")
        text = item[1].strip()
        if text.lstrip("uU")[:1] in ("'", '"'):
            names.append(_unescaped(text.lstrip("uU")[1:-1]).strip())
        elif _NOT_A_NAME.fullmatch(text):
            raise CellError(f"{cell[:60]!r} is a list of numbers or empty values, not of names")
        else:
            names.append(text)
        at = item.end()
    return [name for name in names if name]


def _unescaped(text: str) -> str:
    """The text with the escapes of Python's and JSON's strings resolved."""
    plain = {"n": "\n", "t": "\t", "r": "\r"}

    def sign(found: re.Match[str]) -> str:
        code = found[1]
        return chr(int(code[1:], 16)) if len(code) > 1 else plain.get(code, code)

    text = _ESCAPES.sub(sign, text)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
