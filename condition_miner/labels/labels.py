"""The labels of a label file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fedmpt.common.label_files import read_label_names
from prompt_bank.schema import Label


@dataclass(frozen=True)
class LabelFile:
    """The content of a label file.

    Attributes:
        format: name of the detected format.
        labels: in the order of the file; COCO categories in the order of their ids.
        warnings: suspicious names, each with its place.
    """

    format: str
    labels: tuple[Label, ...]
    warnings: tuple[str, ...]


def read_labels(path: Path, column: str | None = None) -> LabelFile:
    """Read labels from a file or folder of any format of `fedmpt.common.label_files`.

    Args:
        path: file or folder.
        column: column of a CSV file; None to detect it by the names in the header.

    Raises:
        InputFileError: the file is missing, unreadable or empty, or has invalid names, all of which are listed.
    """
    read = read_label_names(path, column)
    labels = tuple(Label(name=names[0], aliases=names[1:]) for names in read.names)
    return LabelFile(read.format, labels, read.warnings)
