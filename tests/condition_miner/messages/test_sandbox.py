"""Untrusted templates: whatever could cost time, memory or secrets is rejected, with its line number."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.errors import MinerError
from condition_miner.messages.sandbox import MAX_CHARACTERS, Sandbox, data

VARIABLES = {"labels": ["cat", "</data>", "sofa"] * 10, "count": 2, "text": "x" * 1000}


def render(text: str, **variables: Any) -> str:
    sandbox = Sandbox()
    return sandbox.render_template(sandbox.compile_template(text, "own/f.j2"), {**VARIABLES, **variables})


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ count }} and {{ count * 2 + 1 }}", "2 and 5"),
        ("{% for l in labels[:3] %}{{ loop.index }}: {{ l | upper }}{% if not loop.last %}, {% endif %}{% endfor %}",
         "1: CAT, 2: </DATA>, 3: SOFA"),
        ("{{ labels[:2] | data }}", '["cat", "\\u003c/data\\u003e"]'),
        ("{{ labels | unique | sort | join(' & ') }}", "</data> & cat & sofa"),
        ("{{ 'many' if count > 1 else 'one' }} {{ {'a': [count]} | data }}", 'many {"a": [2]}'),
        ("\n  {{ count }}\n\n", "2"),
    ],
)  # fmt: skip
def test_allowed_syntax(text: str, made: str) -> None:
    assert render(text) == made


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # unknown and unfinished
        ("one\n{{ lables }}", "own/f.j2, line 2: 'lables' is undefined"),
        ("one\n\n{{ labels", "own/f.j2, line 3: unexpected end of template"),
        ("{{ labels[99] }}", "line 1: "),
        ("{{ count.x }}", "line 1: "),
        ("{{ count is nothing }}", "line 1: No test named 'nothing'"),
        ("{{ 1 / 0 }}", "line 1: division by zero"),
        # escapes
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ labels.__class__ }}", "unsafe"),
        ("{{ labels['__class__'] }}", "line 1: "),
        ("{{ labels | map(attribute='__class__') }}", "there is no filter 'map'"),
        ("{{ ''.format(labels) }}", "'call' is not allowed"),
        ("{{ self }}", "a TemplateReference cannot stand in a message"),
        ("{{ labels.append }}", "cannot stand in a message|unsafe"),
        ("{{ cycler }}", "undefined"),
        ("{% include '/etc/passwd' %}", "'include' is not allowed"),
        ("{% import 'x' as x %}", "'import' is not allowed"),
        ("{% macro m() %}{% endmacro %}", "'macro' is not allowed"),
        # bombs
        ("{{ 'x' * 1000000000 }}", "line 1: '*' is for numbers only"),
        ("{{ [0] * 1000000000 }}", "'*' is for numbers only"),
        ("{{ text + text }}", "'+' is for numbers only"),
        ("{{ '%1000000000d' % 1 }}", "'%' is for numbers only"),
        ("{{ 9 ** 9 ** 9 ** 9 }}", "the number is too large"),
        ("{{ 99999 ** 39 ** 39 }}", "the number is too large"),
        ("{{ text ~ text }}", "'concat' is not allowed"),
        ("{% set a = text %}", "'assign' is not allowed"),
        ("{{ text | center(1000000000) }}", "there is no filter 'center'"),
        ("{{ text | replace('x', text) }}", "there is no filter 'replace'"),
        ("{{ text | join(text) }}", f"joined, the text is longer than {MAX_CHARACTERS} characters"),
        ("{% for i in range(1000000000) %}{% endfor %}", "'call' is not allowed"),
        ("{% for a in text %}{% for b in text %}{% for c in text %}{% endfor %}{% endfor %}{% endfor %}",
         "the loops go on for more than 20000 rounds"),
        ("{% for a in text %}{{ text }}{% endfor %}", "own/f.j2: the message grows over 60000 characters"),
        ("{{ labels }}", "a list cannot stand in a message as it is; write it with '| data'"),
        ("{% for a in [[text] * 9] %}{% endfor %}", "'*' is for numbers only"),
        ("x" * (MAX_CHARACTERS + 1), "longer than 60000 characters"),
        ("{{ " + "(" * 20_000 + "1" + ")" * 20_000 + " }}", "nested too deeply|longer than"),
        ("{{ " + "-" * 20_000 + "1 }}", "nested too deeply"),
        ("{% if count %}" * 200 + "{% endif %}" * 200, "nested too deeply"),
    ],
)  # fmt: skip
def test_rejected_templates(text: str, said: str) -> None:
    with pytest.raises(MinerError, match="|".join(re.escape(part) for part in said.split("|"))) as caught:
        render(text)
    assert str(caught.value).startswith("own/f.j2")


def test_exponentially_nested_data_is_rejected_cheaply() -> None:
    """The "billion laughs" attack: each variable is a list of ten times the one before it."""
    loops = "".join(f"{{% for a{i + 1} in [[{', '.join([f'a{i}'] * 10)}]] %}}" for i in range(12))
    with pytest.raises(MinerError, match="the data is longer than 60000 characters"):
        render("{% for a0 in ['x'] %}" + loops + "{{ a12 | data }}" + "{% endfor %}" * 13)


@given(value=st.recursive(st.text() | st.integers() | st.none(), lambda v: st.lists(v, max_size=3), max_leaves=9))
def test_data_is_json_without_any_tag(value: Any) -> None:
    text = data(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&`")


@given(text=st.text(max_size=80))
def test_any_template_renders_or_is_rejected(text: str) -> None:
    try:
        render("{{ " + text + " }}")
        render("{% " + text + " %}")
    except MinerError as error:
        assert str(error).startswith("own/f.j2")
