"""report.html: one self-contained page about a run. Letters: B images, N conditions, M patches, C labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from trainer.comparison import rows
from trainer.data.features import BatchSource
from trainer.evaluation import EVALUATION_BATCH, scores
from trainer.methods.fedmpt import FedMPT
from trainer.report import figures
from trainer.runs import Run
from trainer.training import Prepared

EXAMPLES = 6
"""Test images that are shown."""


def write_report(run: Run, prepared: Prepared, against: list[Run]) -> Path:
    """Write report.html into the run's folder.

    Args:
        run: an evaluated run.
        prepared: its data, backbone and method.
        against: other evaluated runs on the same test images.

    Raises:
        TrainerError: a run that was not evaluated, or on other images.
    """
    evaluation = run.evaluation()
    compared = rows([run, *against])
    _, state = run.load_checkpoint(str(evaluation["rounds"]))
    prepared.method.receive(state)
    names = evaluation["label_names"]
    metrics = run.metrics()
    others = {other.name: other.evaluation()["test"]["average_precision"] for other in against}
    page = _environment().get_template("page.html.j2")
    text = page.render(
        run=run.name,
        evaluation=evaluation,
        compared=compared,
        best={key: max(row[key] for row in compared) for key in ("mAP", "CF1", "OF1")},
        curves=figures.curves(metrics) if metrics else None,
        labels=figures.label_bars(names, evaluation["test"]["average_precision"], others),
        gate=_gate(prepared),
        examples=_examples(prepared, evaluation["test"]["threshold"]),
        settings=json.dumps(prepared.config.model_dump(mode="json"), indent=2),
        environment=json.loads((run.folder / "environment.json").read_text(encoding="utf-8")),
    )
    path = run.folder / "report.html"
    path.write_text(text, encoding="utf-8")
    return path


def _environment() -> Environment:
    # Label and condition names are untrusted text, so everything is escaped.
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def _gate(prepared: Prepared) -> str | None:
    """Mean gate weights over the test images, where the method has a gate."""
    method = prepared.method
    if not isinstance(method, FedMPT) or not method.settings.gate:
        return None
    features = prepared.features(prepared.dataset.test)
    with torch.no_grad():
        weights = [method.gate(b.to(method.clip.device).image) for b in features.batches(EVALUATION_BATCH)]
    mean = torch.cat(weights).mean(0).tolist()
    return figures.gate_bars([name or "(no words)" for name in method.prompts.conditions], mean)


def _examples(prepared: Prepared, threshold: float) -> list[dict[str, Any]]:
    """Test images: half with the most wrong decisions, half with none, as far as there are some."""
    features = prepared.features(prepared.dataset.test)
    logits, labels = scores(prepared.method, features)
    predicted = logits.sigmoid() > threshold
    wrong = ((predicted != (labels == 1)) & (labels >= 0)).sum(1)
    worst = wrong.argsort(descending=True, stable=True)[: EXAMPLES // 2].tolist()
    several = (labels == 1).sum(1) >= 2
    right = torch.nonzero((wrong == 0) & several).flatten()[: EXAMPLES - len(worst)].tolist()
    return [_example(prepared, features, index, logits[index], predicted[index]) for index in [*right, *worst]]


def _example(
    prepared: Prepared, features: BatchSource, index: int, logits: torch.Tensor, predicted: torch.Tensor
) -> dict[str, Any]:
    names, truth = prepared.dataset.label_names, features.labels[index]
    shown = [c for c in range(len(names)) if bool(predicted[c]) or truth[c] == 1]
    shown = sorted(shown, key=lambda c: -float(logits[c]))[:5]
    image = prepared.dataset.test.image(index)
    maps = _maps(prepared, features, index)
    return {
        "id": features.ids[index],
        "image": figures.picture(image),
        "labels": [
            {
                "name": names[c],
                "probability": float(logits[c].sigmoid()),
                "verdict": "found" if predicted[c] and truth[c] == 1 else "wrong" if predicted[c] else "missed",
                "map": figures.heat_map(image, maps[:, c].numpy()) if maps is not None else None,
            }
            for c in shown
        ],
    }


def _maps(prepared: Prepared, features: BatchSource, index: int) -> torch.Tensor | None:
    """(M, C): where each label was found, over the conditions by gate weight; None where the method has no such map."""
    method = prepared.method
    if not isinstance(method, FedMPT):
        return None
    with torch.no_grad():
        batch = features.batch([index]).to(method.clip.device)
        found, gate = method.explain(batch, method.text_features())
    return torch.einsum("n,nmc->mc", gate[0], found.weights[0]).cpu()
