"""What tuning leaves: a table of the tries, tries.csv, and best.toml for `fedmpt train --config`."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedmpt.common.files import write_atomically
from trainer.config.settings import settled
from trainer.preparing import Prepared
from trainer.reference.template import to_toml
from trainer.resolving import changed, resolve
from trainer.run_config import RunConfig
from trainer.tuning.tuning import Tuned

if TYPE_CHECKING:
    from rich.table import Table


def write_results(tuned: Tuned, config: RunConfig, prepared: Prepared) -> Path:
    """Write tries.csv and best.toml into the study's folder; returns the latter."""
    write_atomically(tuned.folder / "tries.csv", _csv(tuned))
    best = changed(config, tuned.best.settings)
    path = tuned.folder / "best.toml"
    write_atomically(path, _toml(best, prepared, f"# Try {tuned.best.number} of {len(tuned.tries)}"))
    return path


def tries_table(tuned: Tuned) -> Table:
    """The tries as a terminal table; the best one in bold."""
    from rich.table import Table

    shown = Table(title="validation mAP after the last round")
    keys = _keys(tuned)
    for heading in ("try", *(key.rpartition(".")[2] for key in keys), "rounds", "mAP", ""):
        shown.add_column(heading, justify="right" if heading else "left")
    for one in tuned.tries:
        values = ["" if one.settings.get(key) is None else f"{one.settings[key]}" for key in keys]
        figure = "–" if one.mAP is None else f"{one.mAP:.2f}"
        state = "as given" if one.number == 0 and one.state == "complete" else one.state
        best = "bold" if one.number == tuned.best.number else ""
        shown.add_row(str(one.number), *values, str(one.rounds), figure, state, style=best)
    return shown


def _keys(tuned: Tuned) -> list[str]:
    return list(dict.fromkeys(key for one in tuned.tries for key in one.settings))


def _csv(tuned: Tuned) -> str:
    keys, text = _keys(tuned), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["try", "state", "validation mAP", "rounds", "seconds", *keys, "reason"])
    for one in tuned.tries:
        figure = "" if one.mAP is None else one.mAP
        values = [one.settings.get(key, "") for key in keys]
        writer.writerow([one.number, one.state, figure, one.rounds, round(one.seconds, 1), *values, one.reason])
    return text.getvalue()


def _toml(config: RunConfig, prepared: Prepared, head: str) -> str:
    """The settings that differ from the defaults, by table."""
    given = config.model_dump(mode="json")
    usual = resolve(overrides={"method.name": config.method.name}).model_dump(mode="json")
    differing = _differing(given, usual)
    differing.setdefault("method", {})["name"] = config.method.name
    if config.federation.patience is None and "federation" in differing:
        # TOML has no null; with a number of rounds, none is what patience becomes.
        differing["federation"]["rounds"] = settled(prepared.config.federation.rounds, "federation.rounds")
    return "\n".join([head, *_lines("", differing)]) + "\n"


def _differing(given: dict[str, Any], usual: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, dict) and isinstance(usual.get(key), dict):
            if inner := _differing(value, usual[key]):
                found[key] = inner
        elif value != usual.get(key):
            found[key] = value
    return found


def _lines(table: str, values: dict[str, Any]) -> list[str]:
    plain = {key: value for key, value in values.items() if not isinstance(value, dict) and value is not None}
    lines = [f"[{table}]"] if table and plain else []
    lines += [f"{key} = {to_toml(value)}" for key, value in plain.items()]
    for key, value in values.items():
        if isinstance(value, dict):
            lines += ["", *_lines(f"{table}.{key}".strip("."), value)]
    return lines
