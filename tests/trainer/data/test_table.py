"""The user's own images: all table formats are equivalent, and errors name their location."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fedmpt.common.errors import FedmptError
from prompt_bank.shipped import shipped_labels
from tests.trainer import layouts
from trainer.data.base import MultiLabelDataset, Split
from trainer.data.partition import save_partition
from trainer.data.registry import load_dataset
from trainer.data.sets.table_rows import read_jsonl
from trainer.resolving import resolve

IMAGES: dict[str, dict[str, object]] = {
    "a/1.jpg": {"labels": ["cat", "dog"], "site": "north", "split": "train"},
    "a/2.jpg": {"labels": [], "unknown": ["cat"], "site": "south", "split": "train"},
    "a/3.jpg": {"labels": ["red cup"], "site": "north", "split": "train"},
    "b/4.jpg": {"labels": ["dog"], "site": "south", "split": "val"},
    "b/5.jpg": {"labels": ["cat", "red cup"], "site": "north", "split": "test"},
    "b/6.jpg": {"labels": ["dog"], "site": "", "split": "test"},
}
NAMES = ["cat", "dog", "red cup"]


def joined(value: object) -> str:
    return ";".join(value) if isinstance(value, list) else ""


def cells(root: Path) -> None:
    lines = ["path,labels,unknown,site,split"]
    lines += [
        f"{p},{joined(r['labels'])},{joined(r.get('unknown'))},{r['site']},{r['split']}" for p, r in IMAGES.items()
    ]
    (root / "table.csv").write_text("\n".join(lines))


def columns(root: Path) -> None:
    """One column a label, in an order of its own; semicolons, a BOM, Windows' slashes and line ends."""
    lines = ["image;dog;red cup;cat;split;site"]
    for path, row in IMAGES.items():
        marks = dict.fromkeys(row["labels"], "1") | dict.fromkeys(row.get("unknown", []), "?")  # type: ignore[attr-defined]
        shown = ";".join(marks.get(label, "0") for label in ("dog", "red cup", "cat"))
        lines.append(f"{path.replace('/', chr(92))};{shown};{row['split']};{row['site']}")
    (root / "table.csv").write_bytes(("\ufeff" + "\r\n".join(lines)).encode())


def json_lines(root: Path) -> None:
    (root / "table.jsonl").write_text("".join(json.dumps({"path": p, **r}) + "\n" for p, r in IMAGES.items()))


def coco(root: Path) -> None:
    images = [
        {"id": i, "file_name": p, **{k: r[k] for k in ("site", "split", "unknown") if k in r}}
        for i, (p, r) in enumerate(IMAGES.items())
    ]
    annotations = [
        {"image_id": i, "category_id": NAMES.index(label)}
        for i, row in enumerate(IMAGES.values())
        for label in row["labels"]  # type: ignore[attr-defined]
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "table.json").write_text(json.dumps(content))


def load(root: Path, **more: object) -> MultiLabelDataset:
    named = {"dataset": "table", "data_root": str(root), **more}
    return load_dataset(resolve(overrides={f"data.{k}": v for k, v in named.items()}).data)


def pictures(root: Path, paths: dict[str, dict[str, object]] = IMAGES) -> Path:
    for i, path in enumerate(paths):
        layouts.picture(root / path, i)
    return root


@pytest.mark.parametrize(
    ("write", "order"), [(cells, NAMES), (columns, NAMES[1:] + NAMES[:1]), (json_lines, NAMES), (coco, NAMES)]
)
def test_every_form_says_the_same(tmp_path: Path, write: Callable[[Path], None], order: list[str]) -> None:
    write(pictures(tmp_path))
    data = load(tmp_path)
    assert list(data.label_names) == order

    def told(split: Split) -> dict[str, list[int]]:
        by_name = [order.index(name) for name in NAMES]
        return {id_: row[by_name].tolist() for id_, row in zip(split.ids, split.labels, strict=True)}

    assert told(data.train) == {"a/1.jpg": [1, 1, 0], "a/2.jpg": [-1, 0, 0], "a/3.jpg": [0, 0, 1]}
    assert told(data.validation) == {"b/4.jpg": [0, 1, 0]}
    assert told(data.test) == {"b/5.jpg": [1, 0, 1], "b/6.jpg": [0, 1, 0]}
    assert data.site_names == ("north", "south")
    assert data.train.sites.tolist() == [0, 1, 0]
    assert data.validation.sites.tolist() == [-1]
    assert data.test.sites.tolist() == [0, -1]  # images of the clients' own, and nobody's


def rows(root: Path, count: int, text: str = "path,labels\n") -> Path:
    paths = {f"{i:02d}.jpg": {} for i in range(count)}
    pictures(root, paths)  # type: ignore[arg-type]
    (root / "t.csv").write_text(text + "".join(f"{p},{'cat' if i % 2 else 'dog'}\n" for i, p in enumerate(paths)))
    return root


def test_without_splits_images_are_set_aside_by_the_seed(tmp_path: Path) -> None:
    data = load(rows(tmp_path, 50))
    assert [len(split) for split in data.splits()] == [36, 4, 10]
    assert load(tmp_path).test.ids == data.test.ids
    assert load(tmp_path, seed=1).test.ids != data.test.ids
    assert len(load(tmp_path, **{"table.test_share": 0.5}).test) == 25
    (tmp_path / "t.csv").write_text("\n".join(reversed((tmp_path / "t.csv").read_text().splitlines())))
    text = (tmp_path / "t.csv").read_text().replace("\npath,labels", "")
    (tmp_path / "t.csv").write_text("path,labels\n" + text)
    assert load(tmp_path).test.ids == data.test.ids  # the order of rows doesn't matter


def test_labels_in_an_order_of_their_own(tmp_path: Path) -> None:
    """And labels without an image; another case is the same label then."""
    rows(tmp_path, 20)
    labels = tmp_path / "labels.txt"
    labels.write_text("# mine\nDog, hound\nunicorn\ncat\n")
    data = load(tmp_path, **{"table.labels": str(labels), "partition.clients": 2})
    assert data.label_names == ("Dog", "unicorn", "cat")
    assert np.array_equal((data.train.labels == 1).any(0), [True, False, True])
    labels.write_text("cat\nunicorn\n")
    assert "line 2: 'dog' is not one of the labels" in refused(tmp_path, **{"table.labels": str(labels)})


def refused(root: Path, **more: object) -> str:
    with pytest.raises(FedmptError) as caught:
        load(root, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", "", "no column of paths"),
        ("t.csv", "path,labels\n", "no images are listed"),
        ("t.csv", "path\nx.jpg\n", "no column of labels"),
        ("t.csv", "path,labels\nx.jpg\n", "line 2: 1 cells under a header of 2"),
        ("t.csv", "path,labels\nx.jpg,cat\nx.jpg,dog\n", "line 3: x.jpg stands at line 2 already"),
        ("t.csv", "path,labels\nx.jpg,cat;Dog\ny.jpg,dog\n", "line 3: 'dog' is written 'Dog' at line 2"),
        ("t.csv", "path,labels\n../x.jpg,cat;dog\n", "line 2: the path '../x.jpg' must lie below"),
        ("t.csv", "path,labels,unknown\nx.jpg,cat;dog,dog\n", "line 2: 'dog' is both shown and unknown"),
        ("t.csv", "path,labels,split\nx.jpg,cat;dog,tset\n", "line 2: the split 'tset'"),
        ("t.csv", "path,labels,split\nx.jpg,cat;dog,train\ny.jpg,cat,\n", "line 3: no split"),
        ("t.csv", "path,labels,split\nx.jpg,cat;dog,train\n", "no row is of the split test"),
        (
            "t.csv",
            "path,labels,site,split\nx.jpg,cat;dog,a,train\ny.jpg,cat,,train\nz.jpg,cat,,test\n",
            "line 3: no site",
        ),
        ("t.jsonl", '{"path": "x.jpg", "labels": ["cat", "a\\u202eb"]}\n', "line 1: 'a\\u202eb' has a bidirectional"),
        ("t.jsonl", json.dumps({"path": "x.jpg", "labels": ["cat", "x" * 101]}), "line 1: a label of 101 characters"),
        ("t.csv", "path,labels\nx.jpg,cat\n", "1 labels; two are needed"),
        ("t.csv", "path,cat,dog\nx.jpg,1,maybe\n", "line 2: 'maybe' under 'dog' is not 1, 0, -1 or ?"),
        ("t.csv", 'path,labels\n"x.jpg" y,cat\n', "line 2: not CSV"),
        ("t.jsonl", '{"path": "x.jpg"}\n', "line 1: expected path"),
        ("t.jsonl", '{"path": "x.jpg", "labels": ["cat", 3]}\n', "line 1: expected path"),
        ("t.jsonl", '{"path": "x.jpg", "labels": ["cat"], "unknown": "dog"}\n', "line 1: expected path"),
        ("t.jsonl", "{\n", "line 1: not JSON"),
        ("t.json", '{"images": []}', "no COCO instances"),
        ("t.json", "[", "not JSON, or cut off"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    assert said in refused(tmp_path)
    assert str(tmp_path / name) in refused(tmp_path)


def test_problems_come_together_and_tables_are_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,labels\n" + "".join(f"../{i}.jpg,cat;dog\n" for i in range(30)))
    lines = refused(tmp_path).splitlines()
    assert (len(lines), lines[-1]) == (21, "and 10 more")
    (tmp_path / "u.csv").write_text("x")
    assert "expected one table (.csv, .jsonl, .json), there are: t.csv, u.csv" in refused(tmp_path)
    assert "the path" in refused(tmp_path, **{"table.file": "t.csv"})
    assert "there is no such table" in refused(tmp_path, **{"table.file": "v.csv"})


def test_coco_files_of_coco_itself(tmp_path: Path) -> None:
    """An unedited instances file, as people export them, with crowds."""
    images = {f"{i}.jpg": [(1, i % 2), (18, 0)] for i in range(10)}
    layouts.coco_json(tmp_path / "instances.json", images)
    pictures(tmp_path, images)  # type: ignore[arg-type]
    data = load(tmp_path, crowd="unknown", **{"partition.clients": 2})
    assert data.label_names == tuple(label.name for label in shipped_labels("coco80"))
    assert set(np.unique(data.train.labels[:, 0])) == {1, -1}


def owners_called(root: Path, form: str) -> Path:
    """Twelve images of three halls, whose column is not called site."""
    paths = {f"{i:02d}.jpg": {} for i in range(12)}
    pictures(root, paths)  # type: ignore[arg-type]
    rows = [{"path": path, "labels": ["cat" if i % 2 else "dog"], "hall": f"h{i % 3}"} for i, path in enumerate(paths)]
    if form == "t.csv":
        lines = [f"{row['path']},{joined(row['labels'])},{row['hall']},{i}" for i, row in enumerate(rows)]
        (root / form).write_text("\n".join(["path,labels,hall,Unnamed: 0", *lines]))
    elif form == "t.jsonl":
        (root / form).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        images = [{"id": i, "file_name": row["path"], "hall": row["hall"]} for i, row in enumerate(rows)]
        annotations = [{"image_id": i, "category_id": i % 2} for i in range(12)]
        categories = [{"id": 0, "name": "dog"}, {"id": 1, "name": "cat"}]
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / form).write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("form", ["t.csv", "t.jsonl", "t.json"])
def test_a_column_that_could_be_the_owners_is_named(tmp_path: Path, form: str) -> None:
    """And partition.json says what was asked for and what was made."""
    data = load(owners_called(tmp_path, form), **{"partition.clients": 2})
    first, second = data.notes
    assert first.startswith("not read from the table: 'hall'")
    assert second.startswith("'hall' has 3 different values, so it could be who owns each image; call it 'site'")
    settings = resolve(overrides={"data.partition.clients": 2}).data.partition
    (tmp_path / "out").mkdir()
    save_partition(data, settings, tmp_path / "out" / "partition.json")
    saved = json.loads((tmp_path / "out" / "partition.json").read_text())
    assert (saved["asked"], saved["kind"], len(saved["clients"])) == ("auto", "kmeans", 2)
    path = tmp_path / form
    path.write_text(path.read_text().replace("hall", "Site" if form == "t.csv" else "site"))
    data = load(tmp_path)
    assert data.site_names == ("h0", "h1", "h2")
    assert not any("could be who owns" in note for note in data.notes)
    assert data.partition == "site"


@pytest.mark.parametrize(
    ("line", "labels"),
    [
        ('{"file_name": "00.jpg", "label": "cat"}', ["cat"]),
        ('{"image": "00.jpg", "tags": ["cat", "dog"]}', ["cat", "dog"]),
        ('{"PATH": "./00.jpg", "Labels": ["dog"]}', ["dog"]),
    ],
)
def test_json_lines_of_other_programs(tmp_path: Path, line: str, labels: list[str]) -> None:
    rest = '{"path": "1.jpg", "labels": ["cat"]}\n{"path": "2.jpg", "labels": ["dog"]}\n'
    (tmp_path / "t.jsonl").write_text(f"{line}\n{rest}")
    (tmp_path / "._t.jsonl").write_bytes(b"\0\5\x16\7")  # macOS leaves one beside each file
    read = read_jsonl(tmp_path / "t.jsonl").rows[0]
    assert (read.path, list(read.labels)) == ("00.jpg", labels)
    pictures(tmp_path, {"00.jpg": {}, "1.jpg": {}, "2.jpg": {}})
    assert "validation" in refused(tmp_path, **{"table.test_share": 0.4})  # the table is found; it is only too small
