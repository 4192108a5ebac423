"""report.html: a self-contained page about a run, without scripts or network access."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from trainer.evaluation.comparison import HEADINGS, best_figure, rows, shared_yardsticks
from trainer.evaluation.findings import findings
from trainer.inference.model import Model
from trainer.preparing import Prepared
from trainer.report.charts import AREA, Chart, line_chart
from trainer.report.examples import examples
from trainer.report.gates import gate_summary
from trainer.report.sites import site_summary
from trainer.report.spurious import spurious_summary
from trainer.report.templates import page_environment
from trainer.resolving import resolve
from trainer.run.folder import Run
from trainer.run.identity import check_identity
from trainer.run.restoring import restore
from trainer.run_config import RunConfig


def write_report(run: Run, prepared: Prepared, against: list[Run]) -> Path:
    """Write report.html into the run's folder.

    Args:
        run: an evaluated run.
        prepared: its data, backbone and method.
        against: other runs, evaluated on the same test images.

    Raises:
        RunFailed: another process is at work in the run.
        TrainerError: a run that is not evaluated, was evaluated on other images, or was trained with other data.
    """
    with run.working():
        return _write(run, prepared, against)


def _write(run: Run, prepared: Prepared, against: list[Run]) -> Path:
    evaluation = run.evaluation()
    check_identity(run, prepared)
    compared = rows([run, *against])
    method, dataset = prepared.method, prepared.dataset
    restore(run, method, str(evaluation["rounds"]))
    with torch.no_grad():
        text = method.text_features()
    source = {"patch_source": prepared.config.backbone.patch_source}
    model = Model(method, text, float(evaluation["test"]["threshold"]), source)
    names = short_names([run, *against])
    page = page_environment().get_template("page.html.j2")
    content = page.render(
        run=run.name,
        evaluation=evaluation,
        compared=[{**row, "name": name} for row, name in zip(compared, names, strict=True)],
        best={key: best_figure(compared, key) for key in ("mAP", "CF1", "OF1")},
        yardsticks=shared_yardsticks(compared),
        findings=findings(run),
        headings=HEADINGS,
        area=AREA,
        charts=_charts(run, against, names),
        labels=_labels(evaluation, against, names),
        spurious=spurious_summary(evaluation, [other.evaluation() for other in against], names[1:]),
        gate=gate_summary(method, prepared.features(dataset.test)),
        sites=site_summary(dataset.train, dataset.label_names, evaluation["clients"], dataset.site_names),
        elsewhere=run.sites(),
        examples=examples(prepared, model),
        places=f"Heat maps: {_places(model, prepared)}.",
        chosen=chosen_settings(prepared.config),
        settings=json.dumps(prepared.config.model_dump(mode="json"), indent=2, ensure_ascii=False),
        environment=run.environment(),
    )
    return run.write_text("report.html", content)


def short_names(runs: list[Run]) -> list[str]:
    """The names of the run folders; the full path if a name is not unique."""
    names = [run.name for run in runs]
    return [name if names.count(name) == 1 else str(run.folder) for name, run in zip(names, runs, strict=True)]


def chosen_settings(config: RunConfig) -> list[tuple[str, str]]:
    """The method, and the settings that differ from the defaults, by dotted key."""
    defaults = resolve(overrides={"method.name": config.method.name})
    own, usual = (_flat(c.model_dump(mode="json")) for c in (config, defaults))
    differing = [(name, str(value)) for name, value in own.items() if value != usual.get(name)]
    return [("method.name", config.method.name), *differing, *(() if differing else (("all others", "defaults"),))]


def _flat(tree: dict[str, Any], above: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in tree.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return found


def _places(model: Model, prepared: Prepared) -> str:
    return model.explain(prepared.dataset.test.image(0), []).places_are


def _charts(run: Run, against: list[Run], names: list[str]) -> list[Chart]:
    """The validation mAP of all runs, and the training loss of this run; empty if this run was not trained."""
    own = run.metrics()
    if not own:
        return []
    everyone = {name: one.metrics() for name, one in zip(names, [run, *against], strict=True)}
    told = [(line["rounds"], line["loss"]) for line in own if line["loss"] is not None]
    validation = {
        name: [(line["rounds"], value) for line in lines if (value := line["validation"]["mAP"]) is not None]
        for name, lines in everyone.items()
    }
    drawn = {name: points for name, points in validation.items() if points}
    charts = [line_chart("Validation mAP (%)", drawn)] if drawn else []
    return [*charts, line_chart("Training loss", {names[0]: told})] if told else charts


def _labels(evaluation: dict[str, Any], against: list[Run], names: list[str]) -> list[dict[str, Any]]:
    """A row for each label, sorted by decreasing average precision, with the values of the other runs."""
    others = [other.evaluation()["test"]["average_precision"] for other in against]
    found = [
        {**row, "others": [(name, theirs[c]) for name, theirs in zip(names[1:], others, strict=True)]}
        for c, row in enumerate(evaluation["per_label"])
    ]
    return sorted(found, key=lambda row: (row["average_precision"] is None, -(row["average_precision"] or 0)))
