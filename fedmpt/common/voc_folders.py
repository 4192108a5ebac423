"""PASCAL VOC devkit folders: class names, and (image, class) pairs of the training and validation sets."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from fedmpt.common.errors import InputFileError

YEAR_FOLDERS = ("VOC[0-9]*", "VOCdevkit/VOC[0-9]*", "*/VOCdevkit/VOC[0-9]*")
"""Patterns of a year's folder below the given one."""
XML_DECLARATION = re.compile(r"\s*<\?xml[^>]*\?>")
XML_ENCODING = re.compile(rb"""(?:\xef\xbb\xbf)?\s*<\?xml[^>]*?encoding=["']([A-Za-z0-9._-]{1,40})["']""")
BOMS_OF_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
CLASS_FILE = re.compile(r"(.+)_(trainval|train|val|test)\.txt")


def year_folder(path: Path) -> Path:
    """The folder with ImageSets and Annotations: the given one, or the first one below it.

    Raises:
        InputFileError: there is none.
    """
    below = [folder for place in YEAR_FOLDERS for folder in sorted(path.glob(place))]
    found = [folder for folder in (path, *below) if _is_year(folder)]
    if not found:
        raise InputFileError(f"{path}: neither ImageSets/Main nor Annotations, so no VOC devkit folder")
    return found[0]


def class_names(year: Path) -> list[str]:
    """The classes in alphabetical order (VOC's): from the files of ImageSets/Main, else from the annotations."""
    named = {match[1] for file in _files(_main_sets(year), ".txt") if (match := CLASS_FILE.fullmatch(file.name))}
    return sorted(named or {name for _, name in _annotated_pairs(year)})


def image_class_pairs(year: Path) -> Iterator[tuple[str, str]]:
    """(image, class) pairs of the training and validation sets, without objects marked difficult.

    Test sets are not read. If there are no files in ImageSets/Main, the pairs of all annotations.

    Raises:
        InputFileError: a file is invalid.
    """
    files = class_files(year)
    if not files:
        yield from _annotated_pairs(year)
    for name, file in files:
        for number, line in enumerate(_lines(file), start=1):
            words = line.split()
            if words and (len(words) != 2 or words[1] not in ("-1", "0", "1")):
                raise InputFileError(f"{file}, line {number}: {line[:60]!r} is not an image and -1, 0 or 1")
            if words and words[1] == "1":
                yield words[0], name


def class_files(year: Path) -> list[tuple[str, Path]]:
    """(class, file) for the files of the training and validation sets."""
    found = []
    for name in class_names(year) if _main_sets(year).is_dir() else []:
        both = _main_sets(year) / f"{name}_trainval.txt"
        parts = [both] if both.exists() else [_main_sets(year) / f"{name}_{part}.txt" for part in ("train", "val")]
        found += [(name, file) for file in parts if file.exists()]
    return found


def annotation_files(year: Path) -> list[Path]:
    """The annotation files, sorted by name."""
    return _files(year / "Annotations", ".xml")


def _annotated_pairs(year: Path) -> Iterator[tuple[str, str]]:
    for file in annotation_files(year):
        content = _decoded(file)
        if "<!ENTITY" in content:
            raise InputFileError(f"{file}: defines entities, which no annotation needs")
        try:
            root = ElementTree.fromstring(content)  # noqa: S314  # entities were refused above
        except (ElementTree.ParseError, ValueError) as error:
            raise InputFileError(f"{file}: not XML ({error})") from error
        for number, thing in enumerate(root.iter("object"), start=1):
            name = (thing.findtext("name") or "").strip()
            if not name:
                raise InputFileError(f"{file}: object {number} has no name")
            if (thing.findtext("difficult") or "0").strip() != "1":
                yield file.stem, name


def _decoded(file: Path) -> str:
    """The text of an XML file without its declaration, in the encoding that it declares.

    Python knows encodings that its XML parser does not, such as gb2312 and Shift-JIS.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputFileError(f"{file}: cannot be read ({error.strerror})") from error
    declared = XML_ENCODING.match(content)
    encoding = "utf-16" if content[:2] in BOMS_OF_UTF_16 else declared[1].decode() if declared else "utf-8-sig"
    try:
        text = content.decode(encoding).removeprefix("\ufeff")
    except (LookupError, UnicodeError) as error:
        raise InputFileError(f"{file}: cannot be read as {encoding}, its encoding; save it as UTF-8") from error
    return XML_DECLARATION.sub("", text, count=1)


def _files(folder: Path, suffix: str) -> list[Path]:
    """The files of a suffix, sorted, without hidden ones: macOS leaves a ._ file beside each of a copied folder."""
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.suffix.lower() == suffix and not f.name.startswith("."))


def _main_sets(year: Path) -> Path:
    return year / "ImageSets" / "Main"


def _is_year(folder: Path) -> bool:
    return _main_sets(folder).is_dir() or (folder / "Annotations").is_dir()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputFileError(f"{file}: not UTF-8") from error
    except OSError as error:
        raise InputFileError(f"{file}: cannot be read ({error.strerror})") from error
