"""Figures of another definition are not shown as if they were today's; the model itself stays usable."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from fedmpt.cli import build
from tests.trainer.runs import pictures, trained_run


def fedmpt(*arguments: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(build(arguments[0]), list(arguments), env={"COLUMNS": "200"})
    return done.exit_code, done.stdout, done.stderr


def test_figures_of_older_runs_are_measured_again(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run = trained_run(tmp_path / "run", cache, data__images_per_site=150)
    path, yardsticks = run.folder / "evaluation.json", run.folder / "yardsticks.json"
    old = json.loads(path.read_text())
    spurious = old.pop("spurious_activation")
    assert spurious["measured"] >= 1
    assert spurious["interval"][0] <= spurious["interval"][1]
    assert old.pop("metrics_version") == 2
    for part in ("test", "test_at_0.5", "test_oracle_thresholds", "intervals"):
        del old[part]["CF1_harmonic"]
    path.write_text(json.dumps(old))
    measured = json.loads(yardsticks.read_text())
    del measured["of"]["metrics_version"]
    measured["rows"][0]["mAP"] = 1.25
    yardsticks.write_text(json.dumps(measured))

    status, _, said = fedmpt("compare", str(run.folder))
    assert status != 0
    assert f"fedmpt evaluate {run.folder}" in said
    (picture,) = pictures(tmp_path / "pictures", 1)
    assert fedmpt("predict", str(run.folder), str(picture))[0] == 0

    status, shown, _ = fedmpt("evaluate", str(run.folder), "--cache-dir", str(cache))
    assert status == 0
    assert "spurious activation" in shown
    assert "CF1h" in shown
    assert json.loads(path.read_text())["spurious_activation"] == spurious
    assert json.loads(yardsticks.read_text())["rows"][0]["mAP"] != 1.25
    assert "spurious" in fedmpt("compare", str(run.folder))[1]
    assert fedmpt("report", str(run.folder), "--cache-dir", str(cache))[0] == 0
    page = (run.folder / "report.html").read_text()
    first = spurious["each"][0]
    assert f'<th class="text" scope="row">{first["present"]}</th><td class="text">{first["claimed"]}</td>' in page
