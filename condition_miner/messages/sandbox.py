"""Jinja templates of strangers: what one may contain, and bounds on what rendering costs.

Jinja's sandbox keeps a template away from Python's insides and from huge ranges, but not from repeating a string a
billion times or looping over loops. So only what a message needs is allowed: values, filters of a list, if, for and
arithmetic; results, loops and output are bounded.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateRuntimeError, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from condition_miner.errors import MinerError

LONGEST = 60_000
"""Characters of a template, of a rendered message and of any text in between; who needs more is broken."""
MOST_STEPS = 20_000
"""Rounds of all loops of a rendering together."""
LARGEST = 10**12
"""Numbers beyond are refused."""

FILTERS = (
    *("abs", "capitalize", "count", "d", "data", "default", "first", "float", "int", "join", "last", "length"),
    *("list", "lower", "reverse", "round", "sort", "title", "trim", "unique", "upper"),
)
_STATEMENTS = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If)
_VALUES = (nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Keyword, nodes.CondExpr)
_PARTS = (nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand)
_OPERATORS = (nodes.And, nodes.Or, nodes.Not, nodes.Neg, nodes.Pos, nodes.Add, nodes.Sub, nodes.Mul)
_DIVISIONS = (nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)
_ALLOWED = (*_STATEMENTS, *_VALUES, *_PARTS, *_OPERATORS, *_DIVISIONS)


class Sandbox(ImmutableSandboxedEnvironment):
    """The environment in which messages are rendered."""

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_scalar)
        self.filters = {name: self.filters[name] for name in FILTERS if name in self.filters}
        self.filters |= {"data": data, "join": _join, "counted": self._counted}
        self.globals = {}
        self.intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})
        self._steps = 0

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic: numbers only, and none that are huge."""
        if not all(isinstance(value, int | float) for value in (left, right)):
            raise SecurityError(f"'{operator}' is for numbers only; write texts one after another")
        if operator == "**" and (abs(left) > LARGEST or abs(right) > 40):
            raise SecurityError("the number is too large")
        found = super().call_binop(context, operator, left, right)
        if abs(found) > LARGEST:
            raise SecurityError("the number is too large")
        return found

    def prepared(self, text: str, name: str) -> Template:
        """A template, compiled; its errors name `name` and a line.

        Raises:
            MinerError: a syntax error, or something that isn't allowed; with the line.
        """
        tree = self.tree(text, name)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None, lineno=loop.lineno)
        try:
            return Template.from_code(self, self.compile(tree, name, name), {})
        except TemplateSyntaxError as error:  # a test that isn't there
            raise MinerError(f"{name}, line {error.lineno}: {error.message}") from error
        except (RecursionError, MemoryError, SyntaxError) as error:
            raise MinerError(f"{name}: nested too deeply") from error

    def tree(self, text: str, name: str) -> nodes.Template:
        """The syntax tree of a template that contains what is allowed and nothing else.

        Raises:
            MinerError: as `prepared`.
        """
        if len(text) > LONGEST:
            raise MinerError(f"{name}: longer than {LONGEST} characters")
        try:
            tree = self.parse(text, name, name)
        except TemplateSyntaxError as error:
            raise MinerError(f"{name}, line {error.lineno}: {error.message}") from error
        except RecursionError as error:
            raise MinerError(f"{name}: nested too deeply") from error
        for node in _all(tree):
            if isinstance(node, nodes.Filter) and node.name not in FILTERS:
                listed = ", ".join(FILTERS)
                raise MinerError(f"{name}, line {node.lineno}: there is no filter '{node.name}'; there are {listed}")
            if not isinstance(node, _ALLOWED):
                what = type(node).__name__.lower()
                allowed = "a message may have values, filters, if, for and arithmetic"
                raise MinerError(f"{name}, line {node.lineno}: '{what}' is not allowed; {allowed}")
        return tree

    def rendered(self, template: Template, variables: Mapping[str, Any]) -> str:
        """The text of a template.

        Raises:
            MinerError: an unknown variable, or over a bound; with the line.
        """
        self._steps = 0
        parts: list[str] = []
        length = 0
        try:
            for part in template.generate(dict(variables)):
                length += len(part)
                if length > LONGEST:
                    raise MinerError(f"{template.name}: the message grows over {LONGEST} characters")
                parts.append(part)
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as error:
            raise MinerError(f"{template.name}{_line(error, template)}: {error or type(error).__name__}") from error
        return "".join(parts).strip()

    def _counted(self, values: Any) -> Any:
        """What a loop goes through, if all loops together stay within their bound."""
        values = values if isinstance(values, Sequence | Mapping) else list(values)
        self._steps += len(values)
        if self._steps > MOST_STEPS:
            raise SecurityError(f"the loops go on for more than {MOST_STEPS} rounds")
        return values


def data(value: Any) -> str:
    """JSON in which no tag can stand: a label cannot close its data block."""
    _measured(value, LONGEST)
    text = json.dumps(value, ensure_ascii=False)
    for sign in "<>&`":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _measured(value: Any, left: int) -> int:
    """How many of `left` characters a value leaves over; values inside others may be the same one many times."""
    if isinstance(value, Mapping):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple):
        for part in value:
            left = _measured(part, left - 1)
    else:
        left -= len(value) if isinstance(value, str) else 1
    if left < 0:
        raise SecurityError(f"the data is longer than {LONGEST} characters")
    return left


def _join(values: Iterable[Any], between: str = "") -> str:
    parts = [str(_scalar(value)) for value in values]
    if sum(map(len, parts)) + len(between) * len(parts) > LONGEST:
        raise SecurityError(f"joined, the text is longer than {LONGEST} characters")
    return between.join(parts)


def _scalar(value: Any) -> Any:
    """Values that may stand in a message as they are."""
    if isinstance(value, StrictUndefined | str | int | float):
        return value
    raise TemplateRuntimeError(f"a {type(value).__name__} cannot stand in a message as it is; write it with '| data'")


def _all(node: nodes.Node) -> Iterable[nodes.Node]:
    """A node and all below it, without recursion: a deep tree is no reason to fail."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(one.iter_child_nodes())


def _line(error: BaseException, template: Template) -> str:
    """The line of the template that an error came from."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == template.filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
