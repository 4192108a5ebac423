"""Damaged and hostile files against every reader of data files: an error for people, or nothing, but no traceback.

    python benchmarks/fuzz_readers.py [--seconds 60] [--only tables]

Valid files are mutated by hypothesis: bytes flipped, removed, repeated, and replaced by tokens that have broken readers
of other programs. Each reader has its share of the time. Anything but a FedmptError is a failure; its smallest input is
printed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from PIL import Image

from fedmpt.common.annotations import Annotations
from fedmpt.common.errors import FedmptError
from fedmpt.common.label_files import read_label_names
from prompt_bank.dependencies.counts import read_counts
from prompt_bank.exchange import label_studio, matrix_sheet, spreadsheet, yaml_view
from prompt_bank.exchange.three_way import merge_edits
from prompt_bank.recording.store import load
from prompt_bank.schema import Affinity, Bank, Condition, Label
from trainer.config.data import DataConfig, TableConfig
from trainer.data.images import read_image
from trainer.data.sets.table import read_listing

BATCH = 200
"""Examples between two looks at the clock."""

# fmt: off
TEXTS = (
    *("[", "]", "{", "}", "(", ")", "<", ">", '"', "'", "\\", ",", ";", "|", ":", "#", "&", "*", "!", "- ", "\n", "\r"),
    *("null", "NaN", "-Infinity", "1e999", "-0.0", "true", "9" * 309, "9" * 400, "0" * 5000, "1.0", "[" * 2000),
    *('{"a":' * 500, "\\ud800", "\\u0000", '"\\UFFFFFFFF"', "\\U00110000", "\\x00", "\0", "\ufeff", "\u202e", "\udcff"),
    *("\t", "\u2028", "é", "../", "/etc/passwd", "C:", "!!python/object:os.system", "&a [*a,*a]", "<!ENTITY x 'y'>"),
    *("encoding='gb18030'", "encoding='zip'", "sep=;", "id", "name", "labels", "path", "images", "categories", "site"),
    *("annotations", "split", "unknown"),
)
# fmt: on
TOKENS = tuple(text.encode("utf-8", "surrogatepass") for text in TEXTS)


@dataclass(frozen=True)
class Target:
    """A reader with valid inputs.

    Attributes:
        seeds: contents that it reads.
        name: of the file that is written for it; its suffix chooses the format.
        read: reads the file.
    """

    seeds: tuple[bytes, ...]
    name: str
    read: Callable[[Path], object]


@st.composite
def mutated(draw: st.DrawFn, seeds: tuple[bytes, ...]) -> bytes:
    """A valid content after a few edits."""
    content = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.integers(0, 12))
        kind = draw(st.sampled_from(("flip", "remove", "token", "repeat", "noise", "cut")))
        if kind == "flip" and at < len(content):
            content[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "remove":
            del content[at : at + length]
        elif kind == "token":
            content[at : at + draw(st.integers(0, 3))] = draw(st.sampled_from(TOKENS))
        elif kind == "repeat":
            content[at:at] = content[at : at + length * 8]
        elif kind == "noise":
            content[at : at + length] = draw(st.binary(max_size=8))
        else:
            del content[max(at, 1) :]
    return bytes(content)


def bank() -> Bank:
    """A small bank with an affinity."""
    place = Condition(id="place", text="place", values=("room", "sea"), affinity=Affinity(rows={"cat": (1.5, -2.0)}))
    return Bank(name="small", labels=(Label(name="cat"), Label(name="dog")), conditions=(place,))


COCO = json.dumps(
    {
        "images": [
            {"id": i, "file_name": f"{i}.jpg", "site": "s", "split": s} for i, s in enumerate(("train", "test"))
        ],
        "annotations": [{"image_id": 0, "category_id": 1, "iscrowd": 1}, {"image_id": 1.0, "category_id": "2"}],
        "categories": [
            {"id": 1, "name": "cat", "synonyms": ["kitten"]},
            {"id": 2, "name": "dog", "supercategory": "x"},
        ],
    }
).encode()
CSV = (
    b"path,labels,site,split\n0.jpg,cat;dog,a,train\n1.jpg,\"['cat', 'dog']\",b,test\n2.jpg,{cat},a,val\n",
    b",path,cat,dog\n0,a.jpg,1,0\n1,b.jpg,TRUE,?\n2,c.jpg,0,-1.0\n",
    b"sep=;\r\nimage;labels;unknown\r\na.jpg;cat|dog;\r\nb.jpg;dog;cat\r\n",
)
JSONL = (
    b'{"path": "a.jpg", "labels": ["cat"], "site": 3}\n{"file_name": "b.jpg", "label": "dog", "unknown": ["cat"]}\n',
)
XML = (
    b"<?xml version='1.0' encoding='utf-8'?><annotation><object><name>cat</name><difficult>0</difficult></object>"
    b"<object><name>dog</name></object></annotation>",
)
COUNTS = (b'{"labels": ["cat", "dog"], "together": [[5, 2], [2, 4]], "images": 9}',)


def targets(folder: Path) -> dict[str, list[Target]]:
    """The readers by the name of their family."""
    record = folder / "bank.json"
    base = bank()
    sheet = spreadsheet.dump(base).encode()
    matrix = matrix_sheet.dump(base, "place", "fuzz").encode()

    def table(path: Path) -> object:
        config = DataConfig(dataset="table", data_root=path.parent, table=TableConfig(file=Path(path.name)))
        return read_listing(path.parent, config)

    def pairs(path: Path) -> object:
        return list(Annotations.detect(path).pairs())

    def voc(path: Path) -> object:
        year = path.parent / "voc"
        (year / "Annotations").mkdir(parents=True, exist_ok=True)
        (year / "Annotations" / "1.xml").write_bytes(path.read_bytes())
        return pairs(year), read_label_names(year)

    def text(path: Path) -> str:
        return path.read_bytes().decode("utf-8", "replace")

    def sheet_edits(path: Path) -> object:
        if matrix_sheet.MatrixSheet.recognises(text(path), path):
            return matrix_sheet.MatrixSheet(text(path), path).apply(base, base)
        return merge_edits(base, spreadsheet.edits(spreadsheet.read(text(path), path), base, path), path)

    def labels(suffix: str, *seeds: bytes) -> Target:
        return Target(seeds, f"l{suffix}", read_label_names)

    record.write_text(base.model_dump_json(by_alias=True), encoding="utf-8")
    tasks = label_studio.dump(base).encode()
    return {
        "tables": [Target(CSV, "t.csv", table), Target(JSONL, "t.jsonl", table)],
        "coco": [
            Target((COCO,), "t.json", table),
            Target((COCO,), "t.json", pairs),
            Target(COUNTS, "c.json", read_counts),
        ],
        "annotations": [Target(CSV, "a.csv", pairs), Target(XML, "1.xml", voc)],
        "labels": [
            labels(".csv", *CSV, b"label\ncat\ndog\n"),
            labels(".json", COCO, b'["cat", {"name": "dog", "aliases": ["hound"]}]', b'{"0": "cat", "1": "dog"}'),
            labels(".jsonl", *JSONL, b'"cat"\n{"name": "dog"}\n'),
            labels(".yaml", b"path: ..\nnames:\n  0: cat\n  1: dog\n", b"names: ['cat', \"dog\"]\n", b"- cat\n- dog\n"),
            labels(".pbtxt", b"item {\n  id: 1\n  name: 'cat'\n}\nitem {\n  id: 2\n  name: 'dog'\n}\n"),
            labels(".md", b"# Labels\n\n- cat\n- dog\n"),
            labels(".txt", b"cat, kitten\ndog # old\n", b"1: cat\n2: dog\n", b'"cat",\n"dog"\n'),
        ],
        "banks": [
            Target((record.read_bytes(),), "b.json", load),
            Target((yaml_view.dump(base).encode(),), "b.yaml", lambda path: yaml_view.read(text(path), base, path)),
        ],
        "import": [
            Target((sheet, matrix), "s.csv", sheet_edits),
            Target(
                (tasks,), "s.json", lambda path: merge_edits(base, label_studio.edits(text(path), base, path), path)
            ),
        ],
        "images": [Target(pictures(), "p", read_image)],
    }


def pictures() -> tuple[bytes, ...]:
    """A small noisy picture in every format, with EXIF."""
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    found = []
    for form in ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, form, **({"exif": exif} if form in ("PNG", "JPEG", "WEBP", "TIFF") else {}))
        found.append(file.getvalue())
    return tuple(found)


def fuzz(target: Target, folder: Path, until: float) -> tuple[int, bool]:
    """The number of inputs that were read or refused until a time, and whether one failed."""
    path, count, round_ = folder / target.name, 0, 0

    while time.monotonic() < until:
        round_ += 1

        @seed(round_)
        @settings(
            max_examples=BATCH,
            deadline=None,
            database=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        )
        @given(mutated(target.seeds))
        def attempt(content: bytes) -> None:
            nonlocal count
            path.write_bytes(content)
            try:
                target.read(path)
            except FedmptError as error:
                assert str(error), "an error without words"
            count += 1

        try:
            attempt()
        except Exception as error:  # what is looked for
            print(f"{target.name}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
            print(f"  input: {path.read_bytes()[:2000]!r}", file=sys.stderr)
            return count, True
    return count, False


def main() -> int:
    """Fuzz all readers; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="in all [60]")
    parser.add_argument("--only", help="one family of readers")
    arguments = parser.parse_args()
    failed = False
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chosen = [
            (family, target)
            for family, members in targets(folder).items()
            for target in members
            if arguments.only in (None, family)
        ]
        if not chosen:
            parser.error(f"--only: there are {', '.join(targets(folder))}")
        for family, target in chosen:
            own = folder / f"{family}-{target.name}"
            own.mkdir(exist_ok=True)
            count, bad = fuzz(target, own, time.monotonic() + arguments.seconds / len(chosen))
            print(f"{family} {target.name}: {count:,} inputs{', FAILED' if bad else ''}")
            failed = failed or bad
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
