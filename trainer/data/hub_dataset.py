"""Writes a data set of Hugging Face `datasets` as a folder of image files and a table of them.

FOLDER/
  TRAIN/00000000.jpg …   the images as they are stored; nothing decodes them here
  images.jsonl           path, labels, unknown, site and split of each
  names.json             the label names in the order of the data set

From there on the images are read like any others (`trainer.data.images`). No code of a data set is run, and nothing is
unpickled: only builders of tables and of image folders are used.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock

from fedmpt.common.files import naming
from fedmpt.common.label_files import read_label_names
from fedmpt.common.words import printable
from trainer.config.data import HfConfig
from trainer.data.images import SUFFIXES
from trainer.errors import RunFailed, TrainerError

TABLE, NAMES = "images.jsonl", "names.json"
WRITING = "1"
"""Version of the folder's form."""
BUILDERS = ("parquet", "arrow", "imagefolder", "json", "csv")
"""Those of `datasets` that are used; others unpickle, or decode images."""
LABEL_COLUMNS = ("labels", "label")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

Read = Callable[[dict[str, Any]], tuple[list[str], list[str]]]
"""From a row to its labels and its unknown labels."""


def write_folder(source: Path, settings: HfConfig, cache: Path, progress: Callable[[int, int], None]) -> Path:
    """The folder of a data set, written first if it is not there.

    Args:
        source: a folder, or OWNER/NAME on the hub.
        settings: its configuration and columns.
        cache: the cache folder.
        progress: called with (images written, total).

    Raises:
        TrainerError: the package is missing; no such data set; columns that cannot be read.
        RunFailed: the hub cannot be reached.
    """
    builder = _builder(source, settings, cache)
    described = [WRITING, str(builder.cache_dir), settings.model_dump(mode="json"), _given_names(settings)]
    key = hashlib.sha256(json.dumps(described).encode()).hexdigest()[:16]
    folder = cache / "hf" / f"{re.sub(r'[^A-Za-z0-9._-]', '-', source.name)}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not folder.is_dir():
            temporary = folder.with_name(f".{folder.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            with naming(folder):
                _write(_splits(builder, source), source, settings, temporary, progress)
                temporary.rename(folder)
    return folder


def _builder(source: Path, settings: HfConfig, cache: Path) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise TrainerError("--dataset hf needs its package: pip install 'fedmpt[hf]'") from error
    name = source.as_posix()
    if not source.is_dir() and not HUB_NAME.fullmatch(name):
        raise TrainerError(f"{printable(name)}: neither a folder nor OWNER/NAME on the hub (--data-root)")
    options = {"name": settings.config, "revision": settings.revision, "cache_dir": str(cache / "hf" / "arrow")}
    builder = _explained(name, lambda: datasets.load_dataset_builder(name, **options))
    kind = type(builder).__module__.removeprefix("datasets.packaged_modules.").partition(".")[0]
    if kind not in BUILDERS:
        raise TrainerError(f"{printable(name)}: files of the kind {kind} are not read; {', '.join(BUILDERS)} are")
    return builder


def _splits(builder: Any, source: Path) -> dict[str, Any]:
    def prepared() -> dict[str, Any]:
        builder.download_and_prepare()
        return dict(builder.as_dataset())

    return _explained(source.as_posix(), prepared)


def _explained(name: str, load: Callable[[], Any]) -> Any:
    """What a call of `datasets` gives, whose errors have many types."""
    try:
        return load()
    except Exception as error:
        said = printable(" ".join(str(error).split())[:400]) or type(error).__name__
        kind = RunFailed if isinstance(error, ConnectionError | TimeoutError) else TrainerError
        raise kind(f"{printable(name)}: cannot be loaded as a data set ({said})") from error


def _write(
    splits: dict[str, Any], source: Path, settings: HfConfig, folder: Path, progress: Callable[[int, int], None]
) -> None:
    from datasets import Image

    features = next(iter(splits.values())).features
    image = _image_column(features, settings)
    names, read, used = _labels(features, image, settings)
    site = settings.site or ("site" if "site" in features else None)
    if site is not None and site not in features:
        raise TrainerError(f"no column '{site}' (data.hf.site); there are {', '.join(features)}")
    kept = [image, *used, *([site] if site and site not in used else [])]
    collected: set[str] = set()
    total, done = sum(len(split) for split in splits.values()), 0
    folder.mkdir()
    with (folder / TABLE).open("w", encoding="utf-8") as table:
        for split, rows in splits.items():
            (folder / split).mkdir()
            for number, row in enumerate(rows.select_columns(kept).cast_column(image, Image(decode=False))):
                path = f"{split}/{number:08d}{_copy_image(row[image], folder / split / f'{number:08d}', source)}"
                labels, unknown = read(row)
                collected.update(labels)
                line = {"path": path, "labels": labels, "unknown": unknown}
                line |= {"site": _site(features[site], row[site])} if site else {}
                line |= {"split": split} if len(splits) > 1 else {}
                table.write(json.dumps(line, ensure_ascii=False) + "\n")
                done += 1
                progress(done, total)
    (folder / NAMES).write_text(json.dumps(names or sorted(collected), ensure_ascii=False), encoding="utf-8")


def _copy_image(cell: Any, place: Path, source: Path) -> str:
    """Write the image of a cell; returns its suffix. A path must lie in the data set's own folder."""
    given = cell if isinstance(cell, dict) else {}
    content, path = given.get("bytes"), given.get("path")
    suffix = Path(path or "").suffix.lower()
    suffix = suffix if suffix in SUFFIXES else ".img"
    target = place.with_name(place.name + suffix)
    if content is not None:
        target.write_bytes(content)
    elif path and source.is_dir() and Path(path).resolve().is_relative_to(source.resolve()):
        shutil.copyfile(path, target)
    else:
        raise TrainerError(f"image {place.parent.name}/{place.name}: neither bytes nor a file in the data set's folder")
    return suffix


def _image_column(features: Any, settings: HfConfig) -> str:
    from datasets import Image

    found = [name for name, feature in features.items() if isinstance(feature, Image)]
    if settings.image is not None:
        if settings.image not in found:
            raise TrainerError(f"'{settings.image}' is no column of images (data.hf.image); those are {found}")
        return settings.image
    if len(found) != 1:
        raise TrainerError(f"{len(found)} columns of images ({', '.join(features)}); name one: data.hf.image")
    return str(found[0])


def _labels(features: Any, image: str, settings: HfConfig) -> tuple[list[str], Read, list[str]]:
    """The label names ([] if only the rows have them), the reader of a row, and its columns."""
    column = settings.labels or next((name for name in LABEL_COLUMNS if name in features), None)
    if column is not None and column not in features:
        raise TrainerError(f"no column '{column}' (data.hf.labels); there are {', '.join(features)}")
    if column is None:
        return _label_columns(features, image, settings)
    return *_one_column(features[column], column, settings), [column]


def _one_column(feature: Any, column: str, settings: HfConfig) -> tuple[list[str], Read]:
    from datasets import ClassLabel, Value

    each = getattr(feature, "feature", None)
    single = each is None
    kind = feature if single else each
    if isinstance(kind, ClassLabel):
        names = list(kind.names)

        def of_classes(row: dict[str, Any]) -> tuple[list[str], list[str]]:
            given = [row[column]] if single else row[column]
            if given is None or None in given or -1 in given:  # -1 stands for a hidden label
                return [], names
            return [names[index] for index in dict.fromkeys(given)], []

        return names, of_classes
    if isinstance(kind, Value) and "string" in kind.dtype:

        def of_texts(row: dict[str, Any]) -> tuple[list[str], list[str]]:
            given = row[column]
            return ([given] if single else list(dict.fromkeys(given))) if given else [], []

        return [], of_texts
    if isinstance(kind, Value) and not single:
        if settings.names is None:
            raise TrainerError(f"column '{column}' has numbers without names; give a file of labels as data.hf.names")
        names = _given_names(settings)
        return names, lambda row: _multi_hot(names, row[column] or [], column)
    raise TrainerError(f"column '{column}' is neither of classes nor of texts nor of zeros and ones (data.hf.labels)")


def _given_names(settings: HfConfig) -> list[str]:
    """The label names in the user's file; empty if there is none."""
    return [] if settings.names is None else [label[0] for label in read_label_names(settings.names).names]


def _label_columns(features: Any, image: str, settings: HfConfig) -> tuple[list[str], Read, list[str]]:
    """Each column of numbers is a label."""
    from datasets import Value

    numeric = ("bool", "int", "uint", "float")
    names = [
        name
        for name, feature in features.items()
        if isinstance(feature, Value) and feature.dtype.startswith(numeric) and name not in (image, settings.site)
    ]
    if not names:
        raise TrainerError(f"no column of labels among {', '.join(features)}; name one: data.hf.labels")
    return names, lambda row: _multi_hot(names, [row[name] for name in names], "of labels"), names


def _multi_hot(names: list[str], cells: list[Any], column: str) -> tuple[list[str], list[str]]:
    if len(cells) != len(names):
        raise TrainerError(f"column '{column}': {len(cells)} numbers in a row, but {len(names)} labels")
    if wrong := [cell for cell in cells if cell not in (0, 1, -1, None)]:
        raise TrainerError(f"column '{column}': {wrong[0]!r} is none of 1, 0 and -1 (unknown)")
    labels = [name for name, cell in zip(names, cells, strict=True) if cell == 1]
    return labels, [name for name, cell in zip(names, cells, strict=True) if cell in (-1, None)]


def _site(feature: Any, cell: Any) -> str:
    names = getattr(feature, "names", None)
    if names is not None and isinstance(cell, int) and 0 <= cell < len(names):
        return str(names[cell])
    return "" if cell is None else str(cell)
