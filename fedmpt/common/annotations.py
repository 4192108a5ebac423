"""Readers of image annotations: (image, label) pairs from COCO, VOC, NUS-WIDE, CSV and JSON lists."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fedmpt.common import tables, voc_folders
from fedmpt.common.cells import MARKS, CellError, split_names
from fedmpt.common.coco import identifier, read_categories
from fedmpt.common.errors import InputFileError
from fedmpt.common.json_stream import is_json, is_list, items
from fedmpt.common.tables import column_of

IMAGE_COLUMNS = ("image", "file", "file_name", "filename", "path", "image_id", "id")
LABEL_COLUMNS = ("labels", "label", "tags", "tag", "class", "category", "name")
NUS_LABEL_FILE = re.compile(r"Labels_(.+)_Train\.txt")

CLASS_LISTS = "JSON of classes and images"

ImageLabelPairs = Iterator[tuple[str | int, str]]


@dataclass(frozen=True)
class Annotations:
    """The annotations of a data set.

    Attributes:
        format: name of the detected format.
        files: all files of the annotations.
        pairs: reads the (image, label name) pairs; a pair may occur more than once.
    """

    format: str
    files: tuple[Path, ...]
    pairs: Callable[[], ImageLabelPairs]

    @classmethod
    def detect(cls, path: Path) -> Annotations:
        """Detect the format: COCO instances, {"classes", "images"} lists, CSV, or a folder of VOC or NUS-WIDE.

        Raises:
            InputFileError: the path is missing or has none of these formats. `pairs` raises it for invalid content.
        """
        if not path.exists():
            raise InputFileError(f"{path}: there is no such file")
        if path.is_dir():
            return _folder(path)
        if is_json(path):
            if is_list(path):
                raise InputFileError(
                    f"{path}: a JSON list; expected COCO's instances, or an object of classes and images"
                )
            coco = next(items(path, "categories.item"), None) is not None
            read, name = (_coco, "COCO JSON") if coco else (_class_lists, CLASS_LISTS)
            return cls(name, (path,), lambda: read(path))
        if tables.is_csv(path):
            return cls("CSV", (path,), lambda: _csv(path))
        raise InputFileError(f"{path}: expected .json, .json.gz, .csv or .tsv, or a folder of VOC or NUS-WIDE")


def _folder(path: Path) -> Annotations:
    nus = [(match[1], file) for file in sorted(path.glob("*.txt")) if (match := NUS_LABEL_FILE.fullmatch(file.name))]
    if nus:
        return Annotations("NUS-WIDE", tuple(file for _, file in nus), lambda: _nus(nus))
    tables = tuple(sorted(file for file in path.glob("*.csv") if not file.name.startswith(".")))
    if tables:
        return Annotations("CSV", tables, lambda: (pair for table in tables for pair in _csv(table)))
    year = voc_folders.year_folder(path)
    files = [file for _, file in voc_folders.class_files(year)] or voc_folders.annotation_files(year)
    return Annotations("VOC devkit", tuple(files), lambda: iter(voc_folders.image_class_pairs(year)))


def _coco(path: Path) -> ImageLabelPairs:
    """All annotations, crowds included: their objects are in the image too."""
    names = read_categories(path).names(path)
    for place, annotation in enumerate(items(path, "annotations.item")):
        if not isinstance(annotation, dict) or not {"image_id", "category_id"} <= annotation.keys():
            raise InputFileError(f"{path}, annotations[{place}]: expected an object with image_id and category_id")
        image, number = identifier(annotation["image_id"]), identifier(annotation["category_id"])
        if image is None:
            raise InputFileError(f"{path}, annotations[{place}]: {str(annotation['image_id'])[:60]!r} is no image_id")
        if number is None or number not in names:
            raise InputFileError(
                f"{path}, annotations[{place}]: there is no category {annotation['category_id']!r:.60}"
            )
        yield image, names[number]


def _class_lists(path: Path) -> ImageLabelPairs:
    """Images as [file, labels], where a label is a name or an index into `classes`."""
    classes = list(items(path, "classes.item"))
    if not classes or not all(isinstance(name, str) for name in classes):
        raise InputFileError(f"{path}: neither COCO's categories nor a list of classes")
    for place, image in enumerate(items(path, "images.item")):
        match image:
            case [str(file), [*labels]]:
                pass
            case _:
                raise InputFileError(f"{path}, images[{place}]: expected [file, [labels]]")
        for label in labels:
            if isinstance(label, int) and 0 <= label < len(classes):
                yield file, classes[label]
            elif isinstance(label, str):
                yield file, label
            else:
                raise InputFileError(f"{path}, images[{place}]: {label!r} is neither a name nor a place in classes")


def _csv(path: Path) -> ImageLabelPairs:
    """Rows of an image and a list of labels, of an image and one label, or of an image and a 0/1 column per label."""
    rows = tables.rows(path)
    line, header = next(rows, (0, []))
    if len(header) < 2:
        raise InputFileError(
            f"{path}: expected a header and columns: image and labels, or image and one column a label"
        )
    tables.check_header(path, line, header)
    image, labels = column_of(header, IMAGE_COLUMNS), column_of(header, LABEL_COLUMNS)
    matrix = labels is None
    image = 0 if image is None else image
    for line, row in rows:
        if len(row) != len(header):
            raise InputFileError(f"{path}, line {line}: {len(row)} cells under a header of {len(header)}")
        if matrix:
            yield from ((row[image], name) for name in _ones(path, line, header, row, image))
        elif header[labels or 0].lower() in tables.LIST_COLUMNS:
            try:
                yield from ((row[image], name) for name in split_names(row[labels or 0]))
            except CellError as error:
                raise InputFileError(f"{path}, line {line}: {error}") from error
        elif row[labels or 0]:
            yield row[image], row[labels or 0]


def _ones(path: Path, line: int, header: list[str], row: list[str], image: int) -> Iterator[str]:
    for column, cell in enumerate(row):
        if column == image or tables.is_unnamed(header[column]):
            continue
        if cell.lower() not in MARKS:
            said = f"{cell[:40]!r} under '{header[column][:40]}' is not 0 or 1"
            raise InputFileError(
                f"{path}, line {line}: {said}; name the columns image and labels where labels are words"
            )
        if MARKS[cell.lower()] == 1:
            yield header[column]


def _nus(files: list[tuple[str, Path]]) -> ImageLabelPairs:
    for name, file in files:
        for number, line in tables.lines(file):
            if line not in ("0", "1"):
                raise InputFileError(f"{file}, line {number}: {line[:40]!r} is not 0 or 1")
            if line == "1":
                yield number, name
