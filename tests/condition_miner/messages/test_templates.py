"""Templates: what is broken is named with file and line, and no text of others can do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.errors import MinerError
from condition_miner.messages.templates import MESSAGES, Templates, names, shipped_folder
from tests.condition_miner.server import Server
from tests.condition_miner.shell import Shell

VARIABLES: dict[str, dict[str, Any]] = {
    "describe": {"labels": ["cat"], "count": 2},
    "explain": {"descriptions": {"1": "a"}, "count": 2},
    "abstract": {"explanations": [{"description": "a", "factors": ["b"]}], "count": 2},
    "refine": {"name": "a", "definition": "b", "reason": "c"},
    "attribute": {
        "conditions": [{"id": "a", "name": "b", "definition": "c"}],
        "factors": {"1": {"kind": "a", "words": ["b"]}},
    },
}


class TestTemplates:
    def own(self, folder: Path, name: str, content: str) -> Templates:
        (folder / name).write_text(content)
        return Templates(folder)

    def test_shipped_ones_render_and_are_all_used(self) -> None:
        assert {p.name for p in shipped_folder().glob("*.j2")} == {
            f"{m}_{r}.j2" for m in MESSAGES for r in ("system", "user")
        }
        assert VARIABLES.keys() == set(MESSAGES)
        for message, variables in VARIABLES.items():
            assert all(m["content"] for m in Templates().messages(message, variables))

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("one\n{{ lables }}", "describe_user.j2, line 2: 'lables' is undefined"),
            ("{{ labels", "describe_user.j2, line 1"),
            ("{{ ''.__class__.__mro__ }}", "unsafe"),
            ("{{ 'x' * 100000 }}", "'*' is for numbers only"),
            ("{% for i in range(99999999) %}x{% endfor %}", "'call' is not allowed"),
            ("{{ 1 / 0 }}", "division"),
        ],
    )
    def test_broken_ones_are_named(self, tmp_path: Path, content: str, said: str) -> None:
        with pytest.raises(MinerError) as caught:
            self.own(tmp_path, "describe_user.j2", content).messages("describe", VARIABLES["describe"])
        assert said in str(caught.value)

    def test_own_ones_change_the_hash(self, tmp_path: Path) -> None:
        own = self.own(tmp_path, "describe_user.j2", "Describe {{ labels | data }} {{ count }} times.")
        assert own.hash("describe") != Templates().hash("describe")
        assert own.hash("abstract") == Templates().hash("abstract")
        assert own.messages("describe", VARIABLES["describe"])[1]["content"] == 'Describe ["cat"] 2 times.'

    def test_unknown_files_and_folders(self, tmp_path: Path) -> None:
        with pytest.raises(MinerError, match="no message is rendered from it"):
            self.own(tmp_path, "desrcibe_user.j2", "x")
        with pytest.raises(MinerError, match="no such folder"):
            Templates(tmp_path / "nowhere")

    @given(label=st.text(min_size=1, max_size=40))
    def test_any_label_stays_inside_its_data_block(self, label: str) -> None:
        user = Templates().messages("describe", {"labels": [label], "count": 1})[1]["content"]
        assert user.count("<data>") == user.count("</data>") == 1
        inside = user.split("<data>")[1].split("</data>")[0]
        assert json.loads(inside) == {"objects": [label]}


class TestCommands:
    """fedmpt templates, as a user meets it."""

    def own(self, here: Shell, name: str, content: str | bytes) -> None:
        (here.folder / "own").mkdir(exist_ok=True)
        (here.folder / "own" / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def test_list_and_show(self, here: Shell) -> None:
        self.own(here, "explain_user.j2", "{{ descriptions | data }}")
        rows = json.loads(here.run("templates", "list", "--templates", "own", "--json").out)
        assert [row["name"] for row in rows] == names()
        assert {row["name"]: row["from"] for row in rows if row["from"] != "shipped"} == {
            "explain_user.j2": str(Path("own") / "explain_user.j2")
        }
        assert next(row["variables"] for row in rows if row["name"] == "describe_user.j2") == ["count", "labels"]
        assert "describe_user.j2" in here.run("templates", "list").out
        shown = here.run("templates", "show", "describe_user.j2").out
        assert shown == (shipped_folder() / "describe_user.j2").read_text()
        done = here.run("templates", "show", "descrieb_user.j2")
        assert done.code == 2
        assert "there are describe_user.j2" in done.err

    def test_copies_are_good_and_are_not_replaced(self, here: Shell) -> None:
        assert here.run("templates", "copy", "own").code == 0
        assert len(list((here.folder / "own").iterdir())) == len(names())
        assert f"{len(names())} templates are good" in here.run("templates", "check", "own").out
        self.own(here, "describe_user.j2", "mine")
        done = here.run("templates", "copy", "own", "describe_user.j2")
        assert done.code == 2
        assert "--force" in done.err
        assert (here.folder / "own" / "describe_user.j2").read_text() == "mine"
        assert here.run("templates", "copy", "own", "describe_user.j2", "--force").code == 0
        assert (here.folder / "own" / "describe_user.j2").read_text() != "mine"

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            ("{{ labels | data }}\n{{ lables | data }}", "describe_user.j2, line 2: there is no variable 'lables'"),
            ("{{ labels | data }}{{ lables }}", "did you mean 'labels'?"),
            (
                "{{ labels | data }}\n{% if count > 99 %}\n{{ cuont }}{% endif %}",
                "line 3: there is no variable 'cuont'",
            ),
            ("<data>{{ labels | join(', ') }}</data>", "a label can end its data block"),
            ("Describe something.", "the model would never see 'labels'"),
            ("{{ labels[5] }}", "line 1: "),
            ("{{ labels", "line 1: unexpected end"),
            ("{{ ''.__class__ }} {{ labels | data }}", "unsafe"),
            ("{{ labels | data }}{{ 'x' * 10 ** 9 }}", "'*' is for numbers only"),
            (b"\xff\xfe", "not UTF-8 (byte 0)"),
            (b"x" * 300_000, "longer than 240000 bytes"),
        ],
    )
    def test_check_names_what_is_wrong(self, here: Shell, server: Server, content: str | bytes, said: str) -> None:
        """And mining does the same before it asks anything."""
        self.own(here, "describe_user.j2", content)
        done = here.run("templates", "check", "own")
        assert done.code == 2
        assert said in done.err
        assert f"error: {Path('own') / 'describe_user.j2'}" in done.err or "never see" in said
        assert not json.loads(here.run("templates", "check", "own", "--json").out)["ok"]
        done = here.mine(server, "--templates", "own")
        assert done.code == 2
        assert said in done.err
        assert server.bodies == server.probes == []

    def test_all_problems_at_once(self, here: Shell) -> None:
        self.own(here, "describe_user.j2", "{{ a }}{{ labels | data }}\n{{ b }}")
        self.own(here, "attribute_user.j2", "{{ c }}{{ factors | data }}")
        assert len(here.run("templates", "check", "own").err.splitlines()) == 3
        self.own(here, "describe_user.j2", "{{ a")
        self.own(here, "attribute_user.j2", "{{ c")
        assert len(here.run("templates", "check", "own").err.splitlines()) == 2

    def test_a_mark_of_byte_order_is_no_part_of_a_template(self, here: Shell, server: Server) -> None:
        self.own(here, "describe_user.j2", b"\xef\xbb\xbfDescribe: <data>{{ {'objects': labels} | data }}</data>")
        assert here.run("templates", "check", "own").code == 0
        assert here.mine(server, "--templates", "own").code == 0
        assert server.bodies[0]["messages"][1]["content"].startswith("Describe: <data>")

    def test_the_shipped_ones_are_good(self, here: Shell) -> None:
        assert here.run("templates", "check").code == 0
