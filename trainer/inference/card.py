"""The model card of an exported model: README.md in the format of the Hugging Face hub."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable
from typing import Any

import yaml

from trainer.inference.exported import ONNX, ExportedConfig

METRICS = {"mAP": "mean average precision", "CF1": "F1, mean over labels", "OF1": "F1 over all decisions"}
"""The figures of a card, in per cent."""
WIDTH = 110
"""Line length of the text."""

SEEN = {
    "shortest": ("the central square crop of an image", "shorter side resized to {size}, centre crop"),
    "longest": ("the whole image, padded to a square", "longer side resized to {size}, padded to a square"),
    "squash": ("the whole image, distorted to a square", "both sides resized to {size}"),
}
"""What the model sees by resize mode, and how it is made."""

LIMITS = """\
- The figures are those of the data above. They say little about other images; measure on images of your own before use.
- Each label is decided by itself, with one threshold for all. The probabilities are not calibrated.
- A condition is named by the words in its prompt. Nothing guarantees that its learned parameters mean what they say.
- The model sees {seen}.
- Biases of the backbone's pretraining data and of the annotations remain in the model.
"""


OWN = """\
**This is client {client}'s own model**: the shared one with the parts that client {client} alone keeps. Figures and
threshold are the shared model's.

"""


def card_of_client(card: str, client: int) -> str:
    """The card of a client's own model from that of the shared one, whose figures leave the metadata."""
    card = re.sub(r"^model-index:\n(?:(?:- | ).*\n)+", "", card, count=1, flags=re.MULTILINE)
    return card.replace("## Use\n", OWN.format(client=client) + "## Use\n", 1)


def model_card(config: ExportedConfig, evaluation: dict[str, Any], clients: int | None, onnx: bool) -> str:
    """The text of README.md.

    Names of labels, conditions and runs are quoted: they are somebody's text, not markup.

    Args:
        config: of the exported model.
        evaluation: the content of the run's evaluation.json.
        clients: number of clients in training; None if it is not known.
        onnx: whether the folder has a model.onnx.
    """
    return "\n".join(
        [
            _front_matter(config),
            f"# {_words(config.run)}\n",
            _filled(_about(config, clients)),
            "## Use\n",
            _use(config, onnx),
            "## Figures\n",
            _figures(config, evaluation),
            "## Data and labels\n",
            f"Data set {_code(config.dataset)}, {len(config.labels)} labels: {_listed(config.labels)}.\n",
            "## Conditions\n",
            f"{_conditions(config)}\n",
            "## Limits\n",
            LIMITS.format(seen=SEEN[config.backbone.preprocess.resize][0]),
        ]
    )


def _front_matter(config: ExportedConfig) -> str:
    """YAML metadata. A license is the author's decision, so its line is a comment to fill in."""
    figures = config.figures.items()
    metrics = [{"type": name, "name": METRICS[name], "value": round(value, 2)} for name, value in figures]
    dataset = _words(config.dataset)
    data = {"type": dataset, "name": dataset, "split": "test"}
    task = {"type": "image-classification", "name": "Multi-label image classification"}
    content = {
        "library_name": "fedmpt",
        "pipeline_tag": "image-classification",
        "tags": ["multi-label-classification", "federated-learning", "prompt-tuning", "clip", config.method.name],
        "model-index": [{"name": _words(config.run), "results": [{"task": task, "dataset": data, "metrics": metrics}]}],
    }
    written = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=10_000)
    return f"---\n# license: choose one, and remove the # in front of it\n{written}---\n"


def _about(config: ExportedConfig, clients: int | None) -> str:
    over = f" over {clients} clients" if clients else ""
    backbone = "is in this folder" if config.backbone.included else f"is not here: {config.how_to_get_backbone()}"
    return (
        f"A multi-label image classifier, trained federatedly with the method {_code(config.method.name)} in "
        f"{config.rounds} rounds{over}. The frozen backbone {_code(config.backbone.name)} {backbone}."
    )


def _use(config: ExportedConfig, onnx: bool) -> str:
    own_file = not config.backbone.included and (config.backbone.pretrained or "").endswith(".safetensors")
    argument = f", backbone={json.dumps(config.backbone.pretrained)}" if own_file else ""
    code = textwrap.dedent(f"""\
        `pip install fedmpt` reads the folder:

        ```python
        import sys, trainer

        model = trainer.load("."{argument})  # this folder
        for path, found in zip(sys.argv[1:], model.predict(sys.argv[1:])):
            print(path, {{label: round(p, 2) for label, p in found.items() if p > model.threshold}})
        ```

        In a shell: `fedmpt predict . PHOTO.jpg`; `--explain FOLDER` shows where and why.
        """)
    if not onnx:
        return code
    pre = config.backbone.preprocess
    size, mean, std = pre.size, list(pre.mean), list(pre.std)
    text = (
        f"{_code(ONNX)} needs no Python: input `pixels` (B, 3, {size}, {size}) float32, RGB in [0, 1], "
        f"{SEEN[pre.resize][1].format(size=size)} ({pre.interpolation}), normalised by mean {mean} and standard "
        f"deviation {std}; output `probabilities` (B, {len(config.labels)}), in the order of `labels` in "
        "`config.json`. Its image tower is inside."
    )
    return f"{code}\n{_filled(text)}"


def _figures(config: ExportedConfig, evaluation: dict[str, Any]) -> str:
    ends = evaluation["intervals"] or {}
    level = f", {ends['level']:.0%} interval" if ends else ""
    rows = [f"| metric | per cent{level} |", "|---|---|"]
    for name, value in config.figures.items():
        between = f" ({ends[name][0]:.1f} to {ends[name][1]:.1f})" if ends.get(name) else ""
        rows.append(f"| {name}: {METRICS[name]} | {value:.1f}{between} |")
    text = (
        f"On {evaluation['images']} test images. Labels count as present above the threshold "
        f"{config.threshold:.2f}, which was chosen on validation images; mAP has no threshold."
    )
    return "\n".join(rows) + "\n\n" + _filled(text)


def _conditions(config: ExportedConfig) -> str:
    if config.conditions is None:
        return "The method has no conditions."
    return f"The prompts have these conditions, one set of prompts for each: {_listed(config.conditions)}."


def _listed(names: Iterable[str]) -> str:
    return ", ".join(_code(name) if name else "(no words)" for name in names)


def _code(name: str) -> str:
    """A name as a code span, in which Markdown and HTML have no meaning. Lines with such names are never wrapped."""
    return f"`{_words(name)}`"


def _words(name: str) -> str:
    return " ".join(name.split()).translate({ord("`"): "'", ord("<"): "‹", ord(">"): "›"})


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False) + "\n"
