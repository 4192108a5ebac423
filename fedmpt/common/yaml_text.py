"""YAML that others wrote, parsed into nodes: no object is built, and every error has a line if it can be known."""

from __future__ import annotations

import re

import yaml

_CODE = re.compile(r"\\U([0-9A-Fa-f]{8})")
LARGEST_CODE = 0x10FFFF


class YamlTextError(ValueError):
    """A text that is not YAML, or nested too deep.

    Attributes:
        line: its line, from 1; None if unknown.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def compose_yaml(text: str) -> yaml.Node | None:
    """The root node of a YAML document; None if it is empty. Scalars keep their text.

    Raises:
        YamlTextError: not YAML, an escape that names no character, or nested too deep.
    """
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is not YAML: {error.problem or error.context}"
        raise YamlTextError(message, mark.line + 1 if mark else None) from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise YamlTextError(f"is not YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise YamlTextError("lists or maps are nested too deep") from error
    except (ValueError, OverflowError) as error:  # PyYAML leaves it to chr() to check escapes
        code = next((found for found in _CODE.finditer(text) if int(found[1], 16) > LARGEST_CODE), None)
        line = text.count("\n", 0, code.start()) + 1 if code else None
        raise YamlTextError("is not YAML: an escape names no character", line) from error
    return node
