"""Streamed output of predictions as a table, JSON or CSV; memory does not grow with the number of images."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from fedmpt.common.terminal import json_text
from fedmpt.common.words import path_text, printable
from trainer.data.images import UnreadableImage
from trainer.inference.explanation import Explanation
from trainer.inference.model import Model
from trainer.inference.stream import Prediction

Results = Iterable[tuple[Prediction | UnreadableImage, Explanation | None]]
"""The result of each image, with its explanation if requested."""

INDENT = 4


@dataclass(frozen=True)
class Selection:
    """The labels of an image that are shown.

    Attributes:
        threshold: labels with a larger probability count as present.
        top: show this many of the most probable labels, whether above the threshold or not; None: those above it.
    """

    threshold: float
    top: int | None

    def of(self, model: Model, prediction: Prediction) -> list[tuple[str, float, bool]]:
        """(label, probability, whether above the threshold), the most probable first."""
        values = prediction.probabilities
        order = sorted(range(len(values)), key=lambda c: -values[c])
        ranked = [(model.labels[c], float(values[c]), bool(values[c] > self.threshold)) for c in order]
        return ranked[: self.top] if self.top is not None else [row for row in ranked if row[2]]


def as_table(model: Model, selection: Selection, results: Results) -> Iterator[str]:
    """One line per image with its labels and probabilities, in brackets below the threshold; then its explanation."""
    for result, explanation in results:
        if isinstance(result, UnreadableImage):
            continue
        chosen = selection.of(model, result)
        cells = [f"{n} {p:.2f}" if above else f"({n} {p:.2f})" for n, p, above in chosen]
        yield printable(f"{path_text(result.path)}  {', '.join(cells) or '–'}") + "\n"
        if explanation is not None:
            yield from (" " * INDENT + printable(line) + "\n" for line in explained(explanation))


def explained(explanation: Explanation) -> Iterator[str]:
    """An explanation as text: the gate weights, then the conditions' contributions to each label."""
    if explanation.gate is None:
        yield "conditions: this method has none"
    else:
        weights = sorted(explanation.gate.items(), key=lambda item: -item[1])
        yield "gate: " + ", ".join(f"{name} {weight:.2f}" for name, weight in weights)
    for found in explanation.labels:
        if found.conditions:
            shares = sorted(found.conditions, key=lambda share: -share.adds)
            added = ", ".join(f"{share.condition} {share.adds:+.2f}" for share in shares)
            yield f"{found.label}: logit {found.logit:+.2f} = {added}"
    if all(found.places is None for found in explanation.labels):
        yield f"places: {explanation.places_are}"


def as_csv(model: Model, selection: Selection, results: Results) -> Iterator[str]:
    """Columns image, label, probability, predicted; an image without a label has one row with empty cells."""
    yield _csv_line("image", "label", "probability", "predicted")
    for result, _ in results:
        if isinstance(result, UnreadableImage):
            continue
        chosen = selection.of(model, result)
        for name, probability, above in chosen:
            yield _csv_line(path_text(result.path), name, f"{probability:.6f}", str(above).lower())
        if not chosen:
            yield _csv_line(path_text(result.path), "", "", "")


def as_json(model: Model, selection: Selection, results: Results) -> Iterator[str]:
    """One object: model, threshold, images and unreadable files."""
    head = {"model": model.source, "labels": list(model.labels), "threshold": selection.threshold}
    yield json_text(head, 2)[:-2] + ',\n  "images": ['
    unreadable: list[dict[str, str]] = []
    between = "\n"
    for result, explanation in results:
        if isinstance(result, UnreadableImage):
            unreadable.append({"image": path_text(result.path), "reason": result.reason})
            continue
        described: dict[str, Any] = {
            "image": path_text(result.path),
            "labels": [
                {"label": name, "probability": round(probability, 6), "predicted": above}
                for name, probability, above in selection.of(model, result)
            ],
        }
        if explanation is not None:
            described["explanation"] = explanation.to_dict()
        yield f"{between}    {json_text(described)}"
        between = ",\n"
    yield '\n  ],\n  "unreadable": ' + json_text(unreadable) + "\n}\n"


FORMATS: dict[str, Callable[[Model, Selection, Results], Iterator[str]]] = {
    "table": as_table,
    "json": as_json,
    "csv": as_csv,
}
"""Writers by the value of --format."""


def _csv_line(*cells: str) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(cells)
    return buffer.getvalue()
