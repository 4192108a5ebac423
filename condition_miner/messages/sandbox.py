"""A sandbox for untrusted Jinja templates, with an allow-list of syntax and limits on the cost of rendering.

Jinja's own sandbox prevents access to Python internals and huge ranges, but not a string repeated a billion times or
nested loops. So only what a message needs is allowed: values, listed filters, if, for and arithmetic. Numbers, loop
steps and output are limited.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateRuntimeError, TemplateSyntaxError, nodes
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError

from condition_miner.errors import MinerError

MAX_CHARACTERS = 60_000
"""The most characters of a template, of a rendered message and of intermediate texts."""
MAX_LOOP_STEPS = 20_000
"""The most steps of all loops of a rendering together."""
MAX_NUMBER = 10**12
"""The largest absolute value of a computed number."""

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
    """A Jinja environment for untrusted templates."""

    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_scalar)
        self.filters = {name: self.filters[name] for name in FILTERS if name in self.filters}
        self.filters |= {"data": data, "join": _join, "counted": self._count_steps}
        self.globals = {}
        self.intercepted_binops = frozenset({"+", "-", "*", "/", "//", "**", "%"})
        self._steps = 0

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Arithmetic, restricted to numbers of limited size."""
        if not all(isinstance(value, int | float) for value in (left, right)):
            raise SecurityError(f"'{operator}' is for numbers only; write texts one after another")
        if operator == "**" and (abs(left) > MAX_NUMBER or abs(right) > 40):
            raise SecurityError("the number is too large")
        found = super().call_binop(context, operator, left, right)
        if abs(found) > MAX_NUMBER:
            raise SecurityError("the number is too large")
        return found

    def compile_template(self, text: str, name: str) -> Template:
        """Compile a template. `name` is its name in errors.

        Raises:
            MinerError: syntax error, or syntax that is not allowed; with the line number.
        """
        tree = self.parse_template(text, name)
        for loop in tree.find_all(nodes.For):
            loop.iter = nodes.Filter(loop.iter, "counted", [], [], None, None, lineno=loop.lineno)
        try:
            return Template.from_code(self, self.compile(tree, name, name), {})
        except TemplateSyntaxError as error:  # an unknown test
            raise MinerError(f"{name}, line {error.lineno}: {error.message}") from error
        except (RecursionError, MemoryError, SyntaxError) as error:
            raise MinerError(f"{name}: nested too deeply") from error

    def parse_template(self, text: str, name: str) -> nodes.Template:
        """The syntax tree of a template that has only allowed syntax.

        Raises:
            MinerError: as `compile_template`.
        """
        if len(text) > MAX_CHARACTERS:
            raise MinerError(f"{name}: longer than {MAX_CHARACTERS} characters")
        try:
            tree = self.parse(text, name, name)
        except TemplateSyntaxError as error:
            raise MinerError(f"{name}, line {error.lineno}: {error.message}") from error
        except RecursionError as error:
            raise MinerError(f"{name}: nested too deeply") from error
        for node in _descendants(tree):
            if isinstance(node, nodes.Filter) and node.name not in FILTERS:
                listed = ", ".join(FILTERS)
                raise MinerError(f"{name}, line {node.lineno}: there is no filter '{node.name}'; there are {listed}")
            if not isinstance(node, _ALLOWED):
                what = type(node).__name__.lower()
                allowed = "a message may have values, filters, if, for and arithmetic"
                raise MinerError(f"{name}, line {node.lineno}: '{what}' is not allowed; {allowed}")
        return tree

    def render_template(self, template: Template, variables: Mapping[str, Any]) -> str:
        """The rendered text of a template.

        Raises:
            MinerError: unknown variable, or a limit is exceeded; with the line number.
        """
        self._steps = 0
        parts: list[str] = []
        length = 0
        try:
            for part in template.generate(dict(variables)):
                length += len(part)
                if length > MAX_CHARACTERS:
                    raise MinerError(f"{template.name}: the message grows over {MAX_CHARACTERS} characters")
                parts.append(part)
        except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError, RecursionError) as error:
            raise MinerError(f"{template.name}{_line(error, template)}: {error or type(error).__name__}") from error
        return "".join(parts).strip()

    def _count_steps(self, values: Any) -> Any:
        """The values of a loop, counted towards the limit of all loops together."""
        values = values if isinstance(values, Sequence | Mapping) else list(values)
        self._steps += len(values)
        if self._steps > MAX_LOOP_STEPS:
            raise SecurityError(f"the loops go on for more than {MAX_LOOP_STEPS} rounds")
        return values


def data(value: Any) -> str:
    """JSON without <, >, & and backticks, so that no label can close its data block."""
    _characters_left(value, MAX_CHARACTERS)
    text = json.dumps(value, ensure_ascii=False)
    for sign in "<>&`":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _characters_left(value: Any, left: int) -> int:
    """The characters left of a limit after a value. Counted before encoding: nested values may repeat exponentially."""
    if isinstance(value, Mapping):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list | tuple):
        for part in value:
            left = _characters_left(part, left - 1)
    else:
        left -= len(value) if isinstance(value, str) else 1
    if left < 0:
        raise SecurityError(f"the data is longer than {MAX_CHARACTERS} characters")
    return left


def _join(values: Iterable[Any], between: str = "") -> str:
    parts = [str(_scalar(value)) for value in values]
    if sum(map(len, parts)) + len(between) * len(parts) > MAX_CHARACTERS:
        raise SecurityError(f"joined, the text is longer than {MAX_CHARACTERS} characters")
    return between.join(parts)


def _scalar(value: Any) -> Any:
    """The value, if it may be written into a message without the filter `data`."""
    if isinstance(value, StrictUndefined | str | int | float):
        return value
    raise TemplateRuntimeError(f"a {type(value).__name__} cannot stand in a message as it is; write it with '| data'")


def _descendants(node: nodes.Node) -> Iterable[nodes.Node]:
    """A node and all its descendants; iterative, so that a deep tree causes no RecursionError."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        yield one
        waiting.extend(one.iter_child_nodes())


def _line(error: BaseException, template: Template) -> str:
    """The line of the template in which an error occurred, as ", line N"."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == template.filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
