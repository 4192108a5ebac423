"""The rows of a table: which methods, in which variant, with which settings of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.errors import TrainerError, unknown_name
from trainer.methods.registry import method_class, method_names, settings_classes
from trainer.reproducing.paper import TITLES
from trainer.run_config import PRESETS

Settings = dict[str, Any]
"""Settings by dotted key."""

VARIANTS = ("clean", "released", "both")
"""Choices of `--variant`."""

RELEASED_ELSEWHERE = {"fedmpt": "fedmpt-released"}
"""Methods whose published program is a method of its own here."""


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        key: names it in files.
        title: names it in tables.
        method: the registered method.
        variant: "clean", "released", or "only" if there is nothing to mend, so that both are the same.
        published: its key among the paper's figures; None if the paper has no such row.
        settings: of the method.
        fixed: nothing is trained, so that one cell per seed stands for all points.
    """

    key: str
    title: str
    method: str
    variant: str = "only"
    published: str | None = None
    settings: Settings = field(default_factory=dict)
    fixed: bool = False

    @property
    def needs_attributes(self) -> bool:
        """Whether the method's prompts are made of the labels' attributes in the bank."""
        return method_class(self.method).reads_attributes


def method_rows(methods: Sequence[str] = (), variant: str = "clean") -> list[Row]:
    """The rows of tables that compare methods.

    Args:
        methods: keys of rows; that of a method stands for its variants. Empty for all.
        variant: one of VARIANTS. Methods that have one variant only are shown with each.

    Raises:
        TrainerError: an unknown name or variant, or a method without a row in this variant.
    """
    if variant not in VARIANTS:
        raise unknown_name("variant", variant, VARIANTS)
    everything = _all_rows()
    for name in methods:
        if name not in {row.key for row in everything}:
            raise unknown_name("method", name, [row.key for row in everything])
    rows = [row for row in everything if _is_wanted(row, methods, variant)]
    if not rows:
        raise TrainerError(f"--methods {','.join(methods)}: none of them has a variant '{variant}'; see --variant")
    return rows


def _is_wanted(row: Row, methods: Sequence[str], variant: str) -> bool:
    if row.variant == "released" and row.key in methods:  # named, so whatever the variant is
        return True
    in_variant = row.variant == "only" or variant in (row.variant, "both")
    return in_variant and (not methods or row.key in methods or row.published in methods)


def _all_rows() -> list[Row]:
    others = [name for name in method_names() if name not in TITLES and name not in RELEASED_ELSEWHERE.values()]
    first = [name for name in ("zero-shot", "coop") if name in others]
    rows = [_plain(name) for name in first]
    for name, title in TITLES.items():
        rows += _both(name, title)
    own = Row("fedmpt-default", "FedMPT, this project's defaults", "fedmpt", "clean", None, {"method.name": "fedmpt"})
    return [*rows, own, *(_plain(name) for name in others if name not in first)]


def _plain(name: str) -> Row:
    title = {"zero-shot": "zero-shot CLIP, best patch", "coop": "CoOp"}.get(name, name)
    return Row(name, title, name, settings={"method.name": name}, fixed=name == "zero-shot")


def _both(name: str, title: str) -> list[Row]:
    """A method of the paper, clean and as released; one row if its published program has no fault to mend."""
    settings: Settings = {"method.name": name}
    if name == "fedmpt":
        settings = {f"method.{key}": value for key, value in PRESETS["paper"]["method"].items()}
    has_released = name in RELEASED_ELSEWHERE or "variant" in settings_classes()[name].model_fields
    rows = [Row(name, title, name, "clean" if has_released else "only", name, settings)]
    if name in RELEASED_ELSEWHERE:
        other = RELEASED_ELSEWHERE[name]
        released: Settings = {"method.name": other}
        rows.append(Row(other, f"{title}, as released", other, "released", name, released))
    elif has_released:
        released = {"method.name": name, "method.variant": "released"}
        rows.append(Row(f"{name}-released", f"{title}, as released", name, "released", name, released))
    return rows


_NO_MATCHING: Settings = {"method.name": "fedmpt", "method.context": "none", "method.matching": "image"}
_TRANSPORT: Settings = {f"method.{key}": value for key, value in PRESETS["paper"]["method"].items()}
_POOLED: Settings = {**_NO_MATCHING, "method.matching": "softmax"}
_PROMPTS: Settings = {"method.adapters": False, "method.gate": False}
_ADAPTERS: Settings = {"method.prompts": False, "method.gate": False}
_BOTH: Settings = {"method.gate": False}


def ablation_rows() -> list[Row]:
    """The rows of the ablation (Table 4), with the controls that the paper does not have.

    The paper does not say how patches become scores without transport; here the image feature is scored, and softmax
    pooling of patches is the control.
    """
    paper = [
        ("prompts", "prompts only", {**_NO_MATCHING, **_PROMPTS}),
        ("adapters", "adapters only", {**_NO_MATCHING, **_ADAPTERS}),
        ("both", "prompts and adapters", {**_NO_MATCHING, **_BOTH}),
        ("both-gate", "both + gate", _NO_MATCHING),
        ("transport", "both + transport", {**_TRANSPORT, **_BOTH}),
        ("transport-gate", "both + transport + gate: FedMPT", _TRANSPORT),
    ]
    controls = [
        ("pooled-prompts", "control: prompts, softmax pooling", {**_POOLED, **_PROMPTS}),
        ("pooled-adapters", "control: adapters, softmax pooling", {**_POOLED, **_ADAPTERS}),
        ("pooled-both", "control: both, softmax pooling", {**_POOLED, **_BOTH}),
        ("pooled-gate", "control: both + gate, softmax pooling", _POOLED),
        ("empty", "control: FedMPT, conditions without words", {**_TRANSPORT, "method.conditions": "empty"}),
        ("irrelevant", "control: FedMPT, irrelevant conditions", {**_TRANSPORT, "method.conditions": "irrelevant"}),
        (
            "single",
            "control: FedMPT, one prompt, adapter of rank 160",
            {**_TRANSPORT, "method.conditions": "single", "method.rank": 160},
        ),
    ]
    return [
        *(Row(key, title, "fedmpt", published=key, settings=settings) for key, title, settings in paper),
        *(Row(key, title, "fedmpt", settings=settings) for key, title, settings in controls),
    ]
