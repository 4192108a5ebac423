"""Label files of other programs: read where their form is plain, refused where it is not; no syntax becomes a label."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedmpt.common.errors import FedmptError
from fedmpt.common.label_files import read_label_names


def write(folder: Path, name: str, content: str | bytes) -> Path:
    (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


YOLO = "path: ../x # root\nnc: 2\nnames:\n  1: dog\n  0: no\n"
PBTXT = 'item {\n  name: "/m/01"\n  id: 2\n  display_name: "dog"\n}\nitem { id: 1, name: \'cat\' } # first\n'


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("data.yaml", YOLO, ["no", "dog"]),
        ("data.yml", "names: [cat, 'hot dog', 3d]\n", ["cat", "hot dog", "3d"]),
        ("l.yaml", "- cat\n- dog\n", ["cat", "dog"]),
        ("map.pbtxt", PBTXT, ["cat", "dog"]),
        ("l.jsonl", '"cat"\n\n{"name": "dog", "id": 7}\n', ["cat", "dog"]),
        (
            "l.ndjson",
            '{"file_name": "a", "labels": ["cat", "dog"]}\n{"file_name": "b", "labels": ["cat"]}\n',
            ["cat", "dog"],
        ),
        ("l.json", '{"1": "dog", "0": "cat"}', ["cat", "dog"]),
        ("l.json", '{"id2label": {"1": "dog", "0": "cat"}, "hidden_size": 3}', ["cat", "dog"]),
        ("l.json", '{"dog": 1, "cat": 0}', ["cat", "dog"]),
        ("l.md", "# Labels\n\n* cat\n* hot dog\n", ["cat", "hot dog"]),
        ("l.md", "1. cat\n2. dog\n", ["cat", "dog"]),
        ("l.txt", "- cat\n- hot dog # old\n", ["cat", "hot dog"]),
        ("l.txt", "1: person\n2: bicycle\n4: car\n", ["person", "bicycle", "car"]),
        ("l.txt", "0 person\n1 2-wheeler\n", ["person", "2-wheeler"]),
        ("l.txt", "1) cat\n2) dog\n", ["cat", "dog"]),
        ("l.txt", "0\tcat\n1\tdog\n", ["cat", "dog"]),
        ("l.txt", '"cat",\n"hot dog",\n"box"\n', ["cat", "hot dog", "box"]),
        ("l.txt", "'cat'\n'dog'\n", ["cat", "dog"]),
        ("l.txt", "n01440764 tench\nn02012849 crane\n", ["tench", "crane"]),
        ("l.txt", "C# code\ncat\n", ["C# code", "cat"]),
        ("l.txt", "2 wheels\n4 wheels\n", ["2 wheels", "4 wheels"]),
        ("l.txt", "tier 1\ntier 2\n", ["tier 1", "tier 2"]),
        ("l.txt", "crane (bird)\nrock 'n' roll\n", ["crane (bird)", "rock 'n' roll"]),
        ("l.csv", "sep=;\r\nimage;labels\r\na;cat,dog\r\n", ["cat", "dog"]),
        ("l.csv", '"sep=|"\nimage|label\na|cat\nb|hot, dog\n', ["cat", "hot, dog"]),
        ("l.csv", "image|labels\na.jpg|cat\n", ["cat"]),
        ("l.csv", "image,labels\ra.jpg,cat\rb.jpg,dog\r", ["cat", "dog"]),
        ("l.csv", ",image,cat,dog\n0,a,TRUE,false\n1,b,-1.0,?\n", ["cat", "dog"]),
        ("l.csv", "Unnamed: 0,image,cat,dog\n0,a,1,0\n", ["cat", "dog"]),
    ],
)
def test_plain_forms_are_read(tmp_path: Path, name: str, content: str, found: list[str]) -> None:
    assert [names[0] for names in read_label_names(write(tmp_path, name, content)).names] == found


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("l.txt", "- cat\ndog\n", "line 1"),
        ("l.txt", "['cat',\n'dog']\n", "line 1"),
        ("l.txt", "{'cat'}\n", "line 1"),
        ("l.txt", "<View>\n</View>\n", "line 1"),
        ("l.txt", "names:\ncat\n", "line 1"),
        ("l.txt", "| cat | dog |\n", "line 1"),
        ("l.txt", "cat 0\ndog 1\n", "every line ends in its number"),
        ("l.txt", "cat\ndog\nCat\n", "line 3: 'cat' is already at line 1"),
        ("l.csv", 'image,labels\na,"[0, 3]"\n', "line 2"),
        ("l.csv", "cat,dog,cat\n1,0,1\n", "name the labels' column"),
        ("l.csv", "image,cat,dog,Cat\na,1,0,1\n", "two columns are called 'Cat'"),
        ("l.csv", "label,label\ncat,dog\n", "two columns"),
        ("l.csv", "id,label\n1,box, red\n", "line 2: 3 cells under a header of 2"),
        ("l.xml", "<View/>", "not read from .xml"),
        ("l.yaml", "nc: 2\n", "expected a list of names"),
        ("l.yaml", "names: {0: cat, 0: dog}\n", "line 1"),
        ("l.yaml", "names: [[cat]]\n", "line 1"),
        ("l.yaml", "names: [cat\n", "not YAML"),
        ("l.yaml", 'names: ["\\q"]\n', "not YAML"),
        ("l.yaml", 'names:\n- "\\UFFFFFFFF"\n', "line 2: is not YAML: an escape names no character"),
        ("l.yaml", 'names: ["\\U00110000"]\n', "an escape names no character"),
        ("l.yaml", "[" * 5000, "nested too deep"),
        ("l.pbtxt", "item { id: 1 }", "line 1"),
        ("l.pbtxt", "item { id: 1 name: 'cat'", "cut off"),
        ("l.pbtxt", "cat\n", "line 1"),
        ("l.md", "- cat\n\n| a | b |\n", "line 3"),
        ("l.jsonl", '"cat"\n{"x": 1}\n', "line 2"),
        ("l.jsonl", '"cat"\n{\n', "line 2"),
        ("l.jsonl", '["\\ud800"]\n', "surrogate"),
        ("l.json", '{"0": "cat", "00": "dog"}', "neither a list"),
        ("l.txt", b"caf\xe9\n", "not UTF-8"),
    ],
)
def test_what_is_not_plain_is_refused_with_its_place(
    tmp_path: Path, name: str, content: str | bytes, said: str
) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(FedmptError) as caught:
        read_label_names(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("l.json", '["[cat]", "dog"]', "starts with a bracket"),
        ("l.json", '["\\"cat\\"", "dog"]', "is in quotes"),
        ("l.json", '["1: cat", "dog"]', "like a numbered line"),
        ("l.txt", "cat\n3\n", "is a number"),
        ("l.txt", "cat\nnan\n", "missing value"),
        ("l.txt", "cat\n#dog\n", "is a comment"),
        ("l.csv", "image,labels\na,rust complex\nb,complex\n", "if spaces separate the names"),
    ],
)
def test_what_is_doubtful_is_said(tmp_path: Path, name: str, content: str, said: str) -> None:
    assert any(said in warning for warning in read_label_names(write(tmp_path, name, content)).warnings)
