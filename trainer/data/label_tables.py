"""CSV tables with one row per image and one 0/1 column per label."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fedmpt.common import tables
from fedmpt.common.words import fold_loosely
from prompt_bank.schema import Label
from trainer.errors import TrainerError


def read_label_table(path: Path, labels: tuple[Label, ...]) -> tuple[list[str], np.ndarray]:
    """The image names in the first column, and the label matrix (n, C) int8.

    Columns are matched by name if all names match, whatever their order. Otherwise they are matched by position, since
    published tables spell some labels differently; at least half of the names must match then.

    Raises:
        TrainerError: a wrong number of columns, other labels, or a cell that is not 0 or 1.
    """
    rows = tables.rows(path, ",", same_width=True)
    _, header = next(rows, (0, []))
    if len(header) != len(labels) + 1:
        raise TrainerError(f"{path}: {len(header)} columns; expected the image and {len(labels)} labels")
    order = _order(path, header[1:], labels)
    images: list[str] = []
    values: list[list[int]] = []
    for line, row in rows:
        wrong = next((i for i, cell in enumerate(row[1:], 1) if cell not in ("0", "1", "0.0", "1.0")), None)
        if wrong is not None:
            raise TrainerError(f"{path}, line {line}: {row[wrong][:40]!r} under '{header[wrong]}' is not 0 or 1")
        images.append(row[0])
        values.append([int(cell[0]) for cell in row[1:]])
    return images, np.array(values, np.int8).reshape(-1, len(labels))[:, order]


def _order(path: Path, header: list[str], labels: tuple[Label, ...]) -> list[int]:
    """The column of each label."""
    column = {fold_loosely(name): index for index, name in enumerate(header)}
    found = [
        next((column[fold_loosely(n)] for n in (x.name, *x.aliases) if fold_loosely(n) in column), None) for x in labels
    ]
    known = [index for index in found if index is not None]
    if len(set(known)) == len(labels):
        return known
    if 2 * len(known) < len(labels):
        raise TrainerError(f"{path}: its columns are other labels: {', '.join(header[:5])} …")
    return list(range(len(labels)))
