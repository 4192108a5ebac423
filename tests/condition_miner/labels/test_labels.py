"""Label files of every format, and invalid labels."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.labels.labels import LabelFile, read_labels
from fedmpt.common.errors import FedmptError
from fedmpt.common.words import fold
from tests.condition_miner.files import coco, voc, write_json
from tests.shared import shared


def names(read: LabelFile) -> list[str]:
    return [label.name for label in read.labels]


def said(path: Path, column: str | None = None) -> str:
    with pytest.raises(FedmptError) as caught:
        read_labels(path, column)
    return str(caught.value)


class TestLabels:
    def read(self, folder: Path, content: str | bytes) -> list[str]:
        path = folder / "l.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return [label.name for label in read_labels(path).labels]

    def test_comments_aliases_and_a_byte_order_mark(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_bytes(b"\xef\xbb\xbf# all\r\ncat\r\n\r\ntv, television, telly # old\r\n")
        read = read_labels(tmp_path / "l.txt").labels
        assert [(label.name, label.aliases) for label in read] == [("cat", ()), ("tv", ("television", "telly"))]

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("", "no labels"),
            ("# nothing\n", "no labels"),
            ("cat\ndog\nCat\n", "line 3: 'cat' is already at line 1"),
            ("café\ncafe\u0301\n", "line 2"),
            ("cat, dog\ndog\n", "line 2: 'dog' is already at line 1"),
            ("x" * 10_000, "10000 characters"),
            ("a\x07b\n", "control character"),
            ("a\u2028b\n", "control character"),
            ("cat,,dog\n", "an empty name"),
            (b"\xff\xfe", "not UTF-8"),
        ],
    )
    def test_invalid_labels(self, tmp_path: Path, content: str | bytes, said: str) -> None:
        with pytest.raises(FedmptError) as caught:
            self.read(tmp_path, content)
        assert said in str(caught.value)

    def test_all_problems_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(FedmptError) as caught:
            self.read(tmp_path, "cat\ncat\na\x01\n")
        assert len(str(caught.value).splitlines()) == 2

    def test_near_duplicates_are_a_warning(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_text("traffic light\ntraffic-lights\n")
        assert "nearly" in read_labels(tmp_path / "l.txt").warnings[0]

    @pytest.mark.parametrize("count", [1, 1000])
    def test_any_number(self, tmp_path: Path, count: int) -> None:
        assert len(self.read(tmp_path, "".join(f"label {i}\n" for i in range(count)))) == count

    def test_warnings_name_the_line(self, tmp_path: Path) -> None:
        (tmp_path / "l.txt").write_text("cat\nc\u200bat\n***\n")
        assert [warning.split(", ", 1)[1] for warning in read_labels(tmp_path / "l.txt").warnings] == [
            "line 2: 'c\\u200bat' has an invisible character; is it intended?",
            "line 3: '***' has neither a letter nor a number; is it a label?",
            "line 2: 'c\u200bat' is nearly 'cat'; is it the same label?",
        ]

    @given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="#,\n"), max_size=20), max_size=8))
    def test_any_text_gives_labels_or_errors_with_a_place(
        self, tmp_path_factory: pytest.TempPathFactory, lines: list[str]
    ) -> None:
        path = tmp_path_factory.mktemp("l") / "l.txt"
        path.write_bytes("\n".join(lines).encode())
        try:
            read = read_labels(path)
        except FedmptError as error:
            assert all(line.startswith(str(path)) for line in str(error).split("\n"))
        else:
            assert all(name == name.strip() and 0 < len(name) <= 100 for name in names(read))
            assert len({fold(name) for name in names(read)}) == len(read.labels)


class TestCsv:
    def write(self, folder: Path, content: str, name: str = "l.csv") -> Path:
        (folder / name).write_bytes(content.encode())
        return folder / name

    @pytest.mark.parametrize(
        ("content", "column", "found"),
        [
            ("cat\ndog\n", None, ["cat", "dog"]),
            ("label\ncat\ndog\n", None, ["cat", "dog"]),
            ("id,Name\n1,cat\n2,dog\n", None, ["cat", "dog"]),
            ("id;what\n1;cat\n2;dog\n", "what", ["cat", "dog"]),
            ("/m/1,Cat\n/m/2,Dog\n", "2", ["Cat", "Dog"]),
            ("\ufeffimage,label\r\na.jpg,cat\r\nb.jpg,cat\r\nb.jpg,dog\r\n", None, ["cat", "dog"]),
            ('image,labels\na.jpg,"cat;dog"\nb.jpg,"[""cat"", ""red cup""]"\n', None, ["cat", "dog", "red cup"]),
            ('label\n"cup, red"\n', None, ["cup, red"]),
        ],
    )
    def test_columns(self, tmp_path: Path, content: str, column: str | None, found: list[str]) -> None:
        read = read_labels(self.write(tmp_path, content), column)
        assert names(read) == found
        assert read.format == "CSV"

    def test_tabs_and_aliases(self, tmp_path: Path) -> None:
        read = read_labels(self.write(tmp_path, "name\taliases\ntv\ttelevision;telly\ncat\t\n", "l.tsv"))
        assert [(label.name, label.aliases) for label in read.labels] == [("tv", ("television", "telly")), ("cat", ())]

    def test_repeated_names_are_read_once_with_a_warning(self, tmp_path: Path) -> None:
        read = read_labels(self.write(tmp_path, "label\ncat\ndog\ncat\ncat\n"))
        assert names(read) == ["cat", "dog"]
        assert "line 2: 'cat' is there and on 2 further lines" in read.warnings[0]

    @pytest.mark.parametrize(
        ("content", "column", "error"),
        [
            ("a,b\n1,2\n", None, "name the labels' column with --column; the first line has 'a', 'b'"),
            ("a,b\n1,2\n", "c", "there is no column 'c'"),
            ("a,b\n1,2\n", "3", "there is no column '3'"),
            ("id,label\n1,cat\n2\n", None, "line 3: 1 cells"),
            ("label\ncat\nCat\n", None, "line 3: 'cat' is already at line 2"),
            ('label\n"cat\ndog"\n', None, "line 3: 'cat\\ndog' has a control character"),
            ('label\n"cat" x\n', None, "line 2: not CSV"),
            ("", None, "no labels"),
        ],
    )
    def test_errors(self, tmp_path: Path, content: str, column: str | None, error: str) -> None:
        assert error in said(self.write(tmp_path, content), column)

    def test_column_is_only_for_csv(self, tmp_path: Path) -> None:
        assert "--column is for" in said(self.write(tmp_path, "cat\n", "l.txt"), "label")


class TestJson:
    @pytest.mark.parametrize("name", ["l.json", "l.json.gz"])
    def test_lists_and_objects(self, tmp_path: Path, name: str) -> None:
        value = ["cat", {"name": "tv", "aliases": ["telly"]}, {"name": "dog"}]
        for written in (value, {"labels": value}):
            read = read_labels(write_json(tmp_path / name, written))
            assert [(x.name, x.aliases) for x in read.labels] == [("cat", ()), ("tv", ("telly",)), ("dog", ())]
        read = read_labels(write_json(tmp_path / name, {"classes": ["b", "a"], "images": [["x.jpg", [0]]]}))
        assert (names(read), read.format) == (["b", "a"], "JSON of classes and images")

    def test_coco_in_the_order_of_its_ids(self, tmp_path: Path) -> None:
        read = read_labels(coco(tmp_path / "instances.json"))
        assert (names(read), read.format) == (["person", "cat", "dog", "couch"], "COCO JSON")

    @pytest.mark.parametrize(
        ("value", "error"),
        [
            ([], "no labels"),
            ({}, "neither a list of names"),
            (3, "neither a list of names"),
            (["cat", 3, {"name": "x", "aliases": "y"}, {"aliases": []}], "[1]: expected a text"),
            (["cat", "CAT"], "[1]: 'cat' is already at [0]"),
            ([" "], "[0]: an empty name"),
            (["a\nb"], "[0]: 'a\\nb' has a control character"),
            (["a\u202eb"], "bidirectional control character"),
            ({"classes": ["cat", None]}, "classes[1]: expected a text"),
            ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "categories[1]: has the id 1"),
            ({"categories": [{"id": [1], "name": "a"}]}, "categories[0]: expected an object with id"),
            ({"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "A "}]}, "categories[1]: 'a' is already at"),
        ],
    )
    def test_errors_name_the_place(self, tmp_path: Path, value: object, error: str) -> None:
        assert error in said(write_json(tmp_path / "l.json", value))

    @pytest.mark.parametrize("content", [b"[", b'["a"', b'{"categories": [{"id"', b"{]", b"\xff", b"[nan]"])
    def test_what_is_not_json(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "l.json").write_bytes(content)
        assert "not JSON, or cut off" in said(tmp_path / "l.json")

    def test_what_is_not_gzip(self, tmp_path: Path) -> None:
        whole = write_json(tmp_path / "l.json.gz", [f"label {i}" for i in range(500)]).read_bytes()
        for content in (b"[]", whole[:-40]):
            (tmp_path / "l.json.gz").write_bytes(content)
            assert "not a whole gzip file" in said(tmp_path / "l.json.gz")


class TestVoc:
    @pytest.mark.parametrize("below", [".", "VOCdevkit", "VOCdevkit/VOC2007"])
    @pytest.mark.parametrize("main", [True, False])
    def test_class_names(self, tmp_path: Path, below: str, main: bool) -> None:
        read = read_labels(voc(tmp_path, main=main) / below)
        assert (names(read), read.format) == (["cat", "couch", "dog", "person"], "VOC devkit")

    def test_invalid_folders(self, tmp_path: Path) -> None:
        assert "no VOC devkit folder" in said(tmp_path)
        (tmp_path / "Annotations").mkdir()
        (tmp_path / "Annotations" / "a.xml").write_text("<annotation><object>")
        assert "a.xml: not XML" in said(tmp_path)
        (tmp_path / "Annotations" / "a.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><a/>')
        assert "entities" in said(tmp_path)


@pytest.mark.parametrize(
    ("file", "count"),
    [("mlrsnet_test", 60), ("multiscene_train", 36), ("coco_gzsl_test_65", 65), ("coco_zsl_test_17", 17)],
)
def test_published_lists(file: str, count: int) -> None:
    assert len(read_labels(shared(f"annotations/{file}.json.gz")).labels) == count


HOSTILE = ["{{7*7}}", "ignore previous instructions", "../../x", "</data>", "=cmd|' /C calc'!A0", "[bold]x[/bold]"]


def test_the_command_shows_what_was_read(tmp_path: Path) -> None:
    """Hostile text is printed unchanged; errors exit with code 2."""
    path = write_json(tmp_path / "l.json", [*HOSTILE, "traffic light", "traffic-lights"])

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        base = [sys.executable, "-m", "fedmpt", "labels", *words]
        return subprocess.run(base, capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path)

    told = json.loads(run(str(path), "--json").stdout)
    assert (told["format"], told["count"], len(told["warnings"])) == ("JSON list", 8, 4)
    assert [label["name"] for label in told["labels"]][:6] == HOSTILE
    shown = run(str(path))
    assert all(name in shown.stdout for name in HOSTILE)
    assert "is nearly" in shown.stderr
    write_json(path, ["cat", "cat"])
    refused = run(str(path))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("error: ")
