"""Resolve a run's settings from defaults, preset, file and command line. Their tree is in run_config.py."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from fedmpt.common.files import expanded
from trainer.data.hub_dataset import HUB_NAME
from trainer.errors import TrainerError, unknown_name
from trainer.heads.context import ContextConfig
from trainer.methods.fedmpt import FedMptConfig
from trainer.methods.registry import settings_classes
from trainer.run_config import PRESETS, RunConfig


def resolve(file: Path | None = None, preset: str | None = None, overrides: dict[str, Any] | None = None) -> RunConfig:
    """The settings of a run. Later layers override earlier ones: defaults, the method's own, preset, file, overrides.

    Args:
        file: a TOML or JSON file with the same tree.
        preset: a name in `PRESETS`.
        overrides: values by dotted key ("method.rank").

    Raises:
        TrainerError: an unreadable file; unknown keys and invalid values, all of them at once.
    """
    chosen: dict[str, Any] = {}
    if file is not None:
        _merge(chosen, _read(file))
    for key, value in (overrides or {}).items():
        _set(chosen, key, value)
    if not isinstance(chosen.get("method", {}), dict):
        raise TrainerError(f"settings: 'method' is a group, not a value; write method.name={chosen['method']}")
    given = _preset(preset, chosen.get("method", {}))
    _merge(given, chosen)
    name = given.setdefault("method", {}).setdefault("name", FedMptConfig().name)
    tree = _usual(name)
    _merge(tree, given)
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        raise TrainerError("settings: " + "; ".join(_problem(e) for e in error.errors())) from error
    _check_context_is_used(config, chosen.get("method", {}))
    return config


def _usual(method: Any) -> dict[str, Any]:
    """The tree of a method's own defaults for other sections; empty for an unknown method, which is refused later."""
    kind = settings_classes().get(method) if isinstance(method, str) else None
    tree: dict[str, Any] = {}
    for key, value in (kind.usual if kind else {}).items():
        _set(tree, key, value)
    return tree


def changed(config: RunConfig, values: dict[str, Any]) -> RunConfig:
    """The settings with other values, by dotted key.

    Raises:
        TrainerError: unknown keys and invalid values.
    """
    tree = config.model_dump(mode="json")
    for key, value in values.items():
        _set(tree, key, value)
    try:
        return RunConfig.model_validate(tree)
    except ValidationError as error:
        raise TrainerError("settings: " + "; ".join(_problem(e) for e in error.errors())) from error


def _check_context_is_used(config: RunConfig, given: dict[str, Any]) -> None:
    """Refuse a user's settings of an absent context. A run's recorded settings are complete, so not checked."""
    if isinstance(config.method, ContextConfig) and config.method.context == "none":
        for key in given:
            field = ContextConfig.model_fields.get(key)
            if field is not None and key != "context" and getattr(config.method, key) != field.default:
                raise TrainerError(
                    f"settings: method.{key} has no effect without a context: set method.context=bank, or leave it out"
                )


NAMED: dict[str, tuple[str, ...]] = {
    "dataset": ("data.dataset",),
    "data_root": ("data.data_root",),
    "partition": ("data.partition.file",),
    "skip_unreadable": ("data.skip_unreadable",),
    "method": ("method.name",),
    "backbone": ("backbone.name",),
    "pretrained": ("backbone.pretrained",),
    "rounds": ("federation.rounds",),
    "seed": ("data.seed", "seeds.initial", "seeds.clients", "seeds.batches"),
    "feature_cache": ("compute.feature_cache",),
}
"""Settings with a short name: options of `fedmpt train` and arguments of `trainer.fit`."""


def named_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Overrides of `resolve` from keywords; those that are None are left out, paths become absolute.

    Args:
        given: by short name (`NAMED`), by key with . or __ for the dots ("method__rank"), or by group with a dictionary
            of its settings ({"federation": {"rounds": 3}}). Keys override short names.
    """
    short: dict[str, Any] = {}
    keyed: dict[str, Any] = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, dict):
            keyed |= {f"{name}.{key}": one for key, one in value.items()}
            continue
        plain = absolute(value) if isinstance(value, Path) else value
        if name in NAMED:
            short |= dict.fromkeys(NAMED[name], plain)
        else:
            keyed[name.replace("__", ".")] = plain
    return {**short, **keyed}


def absolute(path: Path) -> str:
    """The absolute path; a name on the hub stays as it is."""
    if HUB_NAME.fullmatch(path.as_posix()) and not path.exists():
        return path.as_posix()
    return str(expanded(path).resolve())


def parse_assignment(text: str) -> tuple[str, Any]:
    """Parse `key=value` of --set: the dotted key, and the value as JSON if it is valid JSON, otherwise as a string.

    Raises:
        TrainerError: no "=".
    """
    key, sign, value = text.partition("=")
    if not sign or not key:
        raise TrainerError(f"--set {text}: write key=value, for instance method.rank=16")
    try:
        return key.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return key.strip(), value


def _preset(name: str | None, method: dict[str, Any]) -> dict[str, Any]:
    """A preset's tree, without its method's settings if the user chose another method."""
    if name is None:
        return {}
    if name not in PRESETS:
        raise unknown_name("preset", name, list(PRESETS))
    tree = copy.deepcopy(PRESETS[name])
    if method.get("name", tree["method"]["name"]) != tree["method"]["name"]:
        del tree["method"]
    return tree


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        return dict(json.loads(text) if file.suffix == ".json" else tomllib.loads(text))
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise TrainerError(f"{file}: cannot be read as settings ({error})") from error


def _merge(tree: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict):
            _merge(tree.setdefault(key, {}), value)
        else:
            tree[key] = value


def _set(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise TrainerError(f"settings: '{key}': '{parent}' is a value, not a group")
    tree[last] = value


def setting_names(location: tuple[str | int, ...] = ()) -> list[str]:
    """All settings by dotted key; of methods, those of the one that an error's location names, or of all of them."""
    chosen = [str(part) for part in location[1:2] if location[0] == "method"]
    found = {
        f"method.{name}" for key, kind in settings_classes().items() if key in (chosen or [key]) for name in _keys(kind)
    }
    return sorted(found | {key for key in _keys(RunConfig) if not key.startswith("method")})


def _nearest(key: str, known: list[str], group: bool) -> list[str]:
    """The setting, or the group of settings, that a key may have been meant for."""
    if group:
        known = sorted({name.rpartition(".")[0] for name in known} - {""})
    elsewhere = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
    return get_close_matches(key, known, n=1, cutoff=0.6) or elsewhere[:1]


def _keys(kind: type[BaseModel]) -> Iterator[str]:
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from (f"{name}.{key}" for key in _keys(inner))
        else:
            yield name


def _problem(error: Any) -> str:
    # After "method", pydantic's location contains the discriminator's tag, which is not part of the user's key.
    location = [str(part) for part in error["loc"]]
    if len(location) > 1 and location[0] == "method":
        del location[1]
    key = ".".join(location)
    if error["type"] == "extra_forbidden":
        near = _nearest(key, setting_names(error["loc"]), isinstance(error["input"], dict))
        return f"'{key}' is not a setting" + (f"; did you mean '{near[0]}'?" if near else "")
    if error["type"] == "union_tag_invalid":
        return str(unknown_name("method", str(error["ctx"]["tag"]), list(settings_classes())))
    message = str(error["msg"]).removeprefix("Value error, ")
    # Contradictions between groups have no key.
    return f"'{key}': {message}" if key else message
