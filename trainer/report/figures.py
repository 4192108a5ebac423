"""The pictures of a report, as PNG data URIs. Shape letters: M patches, C labels, N conditions."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

BLUE, ORANGE, GREY = "#3568b8", "#d9822b", "#888888"


def curves(metrics: list[dict[str, Any]]) -> str:
    """Training loss and validation mAP over the rounds."""
    figure, (left, right) = _subplots(1, 2, (8, 2.6))
    rounds = [line["rounds"] for line in metrics]
    left.plot(rounds, [line["loss"] for line in metrics], color=ORANGE)
    left.set(title="training loss", xlabel="round")
    right.plot(rounds, [line["validation"]["mAP"] for line in metrics], color=BLUE)
    right.set(title="validation mAP (%)", xlabel="round")
    return _uri(figure)


def label_bars(names: list[str], values: list[float | None], against: dict[str, list[float | None]]) -> str:
    """Average precision of each label, with other runs' as marks."""
    figure, (axes,) = _subplots(1, 1, (8, 0.6 + 0.24 * len(names)))
    order = sorted(range(len(names)), key=lambda i: values[i] or 0.0)
    axes.barh([names[i] for i in order], [values[i] or 0.0 for i in order], color=BLUE, label="this run")
    markers = "oDs^v"
    for number, (name, theirs) in enumerate(against.items()):
        axes.plot(
            [theirs[i] or 0.0 for i in order],
            range(len(order)),
            markers[number % len(markers)],
            color=ORANGE if number == 0 else GREY,
            markersize=4,
            label=name,
        )
    axes.set(xlim=(0, 100), xlabel="average precision (%)")
    axes.margins(y=0.01)
    axes.legend(loc="lower right", fontsize=8)
    return _uri(figure)


def gate_bars(conditions: list[str], weights: list[float]) -> str:
    """Mean weight of each condition over the test images."""
    figure, (axes,) = _subplots(1, 1, (6, 0.7 + 0.32 * len(conditions)))
    axes.barh(conditions[::-1], weights[::-1], color=BLUE)
    axes.axvline(1 / len(conditions), color=GREY, linewidth=1, linestyle="--")
    axes.set(xlabel="mean gate weight (dashed: all alike)")
    return _uri(figure)


def heat_map(image: Image.Image, weights: np.ndarray) -> str:
    """A picture with the weights (M,) of its patches laid over it; brighter is more."""
    from matplotlib import colormaps
    from PIL import Image as Images

    side = round(len(weights) ** 0.5)
    grid = weights.reshape(side, side)
    scaled = Images.fromarray((255 * grid / max(float(grid.max()), 1e-12)).astype(np.uint8))
    smooth = np.asarray(scaled.resize((192, 192), Images.Resampling.BICUBIC), dtype=np.float32) / 255
    coloured = colormaps["inferno"](smooth)[..., :3]
    below = np.asarray(image.convert("RGB").resize((192, 192)), dtype=np.float32) / 255
    share = 0.25 + 0.5 * smooth[..., None]
    mixed = below * (1 - share) + coloured * share
    return picture(Images.fromarray((255 * mixed).clip(0, 255).astype(np.uint8)))


def picture(image: Image.Image) -> str:
    """An image as a data URI, 192 pixels wide."""
    buffer = io.BytesIO()
    image.convert("RGB").resize((192, 192)).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _subplots(rows: int, columns: int, size: tuple[float, float]) -> tuple[Figure, Any]:
    # Not pyplot: it keeps figures alive and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def _uri(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
