"""Figures that will have no value, known before the first round."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.data.base import MultiLabelDataset
from trainer.evaluation.metrics import DEFAULT_THRESHOLD


def undefined_figures(dataset: MultiLabelDataset, seen: Sequence[int] | None) -> list[str]:
    """What cannot be measured because no image has a positive label, such as a hidden test split; for users.

    Args:
        dataset: the data.
        seen: indices of the labels used in training; None for all.
    """
    trained = list(range(len(dataset.label_names)) if seen is None else seen)
    unseen = [index for index in range(len(dataset.label_names)) if index not in trained]
    has = {split.name: (split.labels == 1).any(0) for split in dataset.splits()}
    found = []
    if not has["train"][trained].any():
        found.append("no training image has a label that is trained on, so nothing can be learned")
    if not has["validation"][trained].any():
        found.append(
            f"no validation image has a label that is trained on: the validation mAP is –, the best round is the last, "
            f"and labels count from a probability of {DEFAULT_THRESHOLD:.2f}"
        )
    if not has["test"].any():
        found.append("no test image has a label: all figures of the test split are –")
    elif unseen and not has["test"][unseen].any():
        found.append("no test image has an unseen label: their figures are –")
    elif unseen and not has["test"][trained].any():
        found.append("no test image has a label that is trained on: the figures of seen labels are –")
    return found
