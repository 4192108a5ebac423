"""The reference of settings is read as source; here it is compared with the classes themselves."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from fedmpt.cli import build
from trainer.config.settings import Settings
from trainer.errors import TrainerError
from trainer.methods.registry import method_names
from trainer.reference import settings as reference
from trainer.reference.source import Source, fields_of
from trainer.reference.template import template
from trainer.resolving import resolve
from trainer.run_config import RunConfig


def leaves(model: BaseModel, prefix: str = "") -> dict[str, object]:
    """The values of a settings tree by key; a method's settings are those of its own class."""
    found: dict[str, object] = {}
    for name in type(model).model_fields:
        value = getattr(model, name)
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, Settings) else {f"{prefix}{name}": value}
    return found


def listed(method: str) -> dict[str, object]:
    return {setting.key: setting.default for setting in reference.matching(None, method)}


def test_the_methods_are_those_of_the_registry() -> None:
    assert reference.method_names() == method_names()
    assert reference.default_method() == RunConfig().method.name


@pytest.mark.parametrize("method", method_names())
def test_names_and_defaults_are_those_of_the_classes(method: str) -> None:
    assert listed(method) == leaves(resolve(overrides={"method.name": method}))


def test_every_setting_has_a_description() -> None:
    """Write a docstring below the field."""
    missing = [f"{s.key} ({s.method or 'all methods'})" for s in reference.matching(None) if len(s.meaning) < 5]
    assert missing == []
    assert [group.key for group in reference.groups() if not group.meaning] == []


@pytest.mark.parametrize("method", [None, *method_names()])
def test_the_template_holds_the_defaults(tmp_path: Path, method: str | None) -> None:
    """As it is, and with every value uncommented."""
    name = method or RunConfig().method.name
    file = tmp_path / "fedmpt.toml"
    file.write_text(template(method), encoding="utf-8")
    expected = resolve(overrides={"method.name": name})
    assert resolve(file) == expected
    everything = re.sub(r"^#(?! )", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    file.write_text(everything, encoding="utf-8")
    assert resolve(file) == expected
    written = leaves_of_toml(tomllib.loads(everything))
    assert written == {key for key, default in listed(name).items() if default is not None}


def leaves_of_toml(tree: dict[str, object], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for key, value in tree.items():
        found |= leaves_of_toml(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}"}
    return found


def test_a_changed_line_of_the_template_changes_the_setting(tmp_path: Path) -> None:
    file = tmp_path / "fedmpt.toml"
    file.write_text(template().replace('#rounds = "auto"', "rounds = 3"), encoding="utf-8")
    assert resolve(file).federation.rounds == 3


def test_types_are_for_people() -> None:
    types = {setting.key: setting.type for setting in reference.matching(None, "coop")}
    assert types["method.pooling"] == "image | max"
    assert types["federation.participation"] == "number > 0 ≤ 1"
    assert types["data.data_root"] == "path or unset"
    assert types["unseen_labels"] == "list of text"
    assert types["compute.deterministic"] == "true or false"


def test_a_pattern_is_sought_in_names_and_meanings() -> None:
    assert {"optimiser.learning_rate", "optimiser.minimum"} <= {s.key for s in reference.matching("LEARNING rate")}
    assert "optimiser.learning_rate" in {s.key for s in reference.matching("learning_rate")}
    assert [s.key for s in reference.matching("participation")] == ["federation.participation"]
    with pytest.raises(TrainerError, match=r"nearest are: optimiser\.momentum"):
        reference.matching("optimiser.momentun")
    with pytest.raises(TrainerError, match="method 'fedmppt' is not known; there are: fedmpt"):
        reference.matching(None, "fedmppt")


def test_a_default_that_is_computed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "odd_settings.py").write_text(
        "SIZE = 3\nclass Odd:\n    fine: int = SIZE\n    '''Read from a constant.'''\n    odd: int = len('ab')\n"
    )
    found = Source("odd_settings").definition("Odd")
    assert found is not None
    with pytest.raises(TrainerError, match=r"odd_settings\.py, line 5: the default len\('ab'\) cannot be read"):
        fields_of(found)


class TestCommand:
    def run(self, *words: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(build("settings"), ["settings", *words])
        return done.exit_code, done.stdout, done.stderr

    def test_json(self) -> None:
        code, out, _ = self.run("batch_size", "--json")
        assert code == 0
        (row,) = [row for row in json.loads(out) if row["key"] == "optimiser.batch_size"]
        assert row["default"] == RunConfig().optimiser.batch_size

    def test_text(self) -> None:
        code, out, err = self.run("method.rank")
        assert code == 0
        assert "method.rank = 32   (integer ≥ 1)   only fedmpt" in out
        assert " settings; change one with --set" in err

    def test_mistakes(self) -> None:
        code, _, err = self.run("raank")
        assert code == 2
        assert "the nearest are: method.rank" in err
        assert self.run("rank", "--template")[0] == 2
