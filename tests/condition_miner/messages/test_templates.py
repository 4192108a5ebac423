"""Prompt templates: errors name file and line, and untrusted text stays data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.errors import MinerError
from condition_miner.messages.templates import TEMPLATES, PromptTemplates, shipped_folder, template_names
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
    "values": {"question": "Where?", "labels": ["cat"], "count": 2},
    "usual": {"question": "Where?", "value": "home", "label": "cat"},
    "listed": {"question": "Where?", "values": ["home"], "label": "cat", "count": 2},
    "appearance": {"label": "cat", "count": 2},
}


class TestTemplates:
    def own(self, folder: Path, name: str, content: str) -> PromptTemplates:
        (folder / name).write_text(content)
        return PromptTemplates(folder)

    def test_all_shipped_templates_are_used_and_render(self) -> None:
        assert {p.name for p in shipped_folder().glob("*.j2")} == {
            *(f"{m}_{r}.j2" for m in VARIABLES for r in ("system", "user")),
            "about_system.j2",
        }
        assert {*VARIABLES, "about"} == TEMPLATES.keys()
        for message, variables in VARIABLES.items():
            assert all(m["content"] for m in PromptTemplates().messages(message, variables))

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
    def test_errors_name_the_template(self, tmp_path: Path, content: str, said: str) -> None:
        with pytest.raises(MinerError) as caught:
            self.own(tmp_path, "describe_user.j2", content).messages("describe", VARIABLES["describe"])
        assert said in str(caught.value)

    def test_custom_templates_change_the_hash(self, tmp_path: Path) -> None:
        own = self.own(tmp_path, "describe_user.j2", "Describe {{ labels | data }} {{ count }} times.")
        assert own.hash("describe") != PromptTemplates().hash("describe")
        assert own.hash("abstract") == PromptTemplates().hash("abstract")
        assert own.messages("describe", VARIABLES["describe"])[1]["content"] == 'Describe ["cat"] 2 times.'

    @given(about=st.text(min_size=1, max_size=60))
    def test_what_the_images_are_is_added_to_the_system_message_alone(self, about: str) -> None:
        """Without it nothing changes, so that recorded answers keep their keys."""
        templates = PromptTemplates()
        for message, variables in VARIABLES.items():
            plain, told = templates.messages(message, variables), templates.messages(message, variables, about)
            assert told[1] == plain[1] and told[0]["content"].startswith(plain[0]["content"] + "\n")
            added = told[0]["content"].removeprefix(plain[0]["content"])
            assert json.loads(added.split("<data>")[-1].split("</data>")[0]) == {"images": about}
            assert templates.hash(message, about) != templates.hash(message)

    def test_unknown_files_and_folders(self, tmp_path: Path) -> None:
        with pytest.raises(MinerError, match="no message is rendered from it"):
            self.own(tmp_path, "desrcibe_user.j2", "x")
        with pytest.raises(MinerError, match="no such folder"):
            PromptTemplates(tmp_path / "nowhere")

    @given(label=st.text(min_size=1, max_size=40))
    def test_any_label_stays_inside_its_data_block(self, label: str) -> None:
        user = PromptTemplates().messages("describe", {"labels": [label], "count": 1})[1]["content"]
        assert user.count("<data>") == user.count("</data>") == 1
        inside = user.split("<data>")[1].split("</data>")[0]
        assert json.loads(inside) == {"objects": [label]}


class TestCommands:
    """The command fedmpt templates."""

    def own(self, shell: Shell, name: str, content: str | bytes) -> None:
        (shell.folder / "own").mkdir(exist_ok=True)
        (shell.folder / "own" / name).write_bytes(content.encode() if isinstance(content, str) else content)

    def test_list_and_show(self, shell: Shell) -> None:
        self.own(shell, "explain_user.j2", "{{ descriptions | data }}")
        rows = json.loads(shell.run("templates", "list", "--templates", "own", "--json").out)
        assert [row["name"] for row in rows] == template_names()
        assert {row["name"]: row["from"] for row in rows if row["from"] != "shipped"} == {
            "explain_user.j2": str(Path("own") / "explain_user.j2")
        }
        assert next(row["variables"] for row in rows if row["name"] == "describe_user.j2") == ["count", "labels"]
        assert "describe_user.j2" in shell.run("templates", "list").out
        shown = shell.run("templates", "show", "describe_user.j2").out
        assert shown == (shipped_folder() / "describe_user.j2").read_text()
        done = shell.run("templates", "show", "descrieb_user.j2")
        assert done.code == 2
        assert "there are describe_user.j2" in done.err

    def test_copies_are_valid_and_not_overwritten(self, shell: Shell) -> None:
        assert shell.run("templates", "copy", "own").code == 0
        assert len(list((shell.folder / "own").iterdir())) == len(template_names())
        assert f"{len(template_names())} templates are good" in shell.run("templates", "check", "own").out
        self.own(shell, "describe_user.j2", "mine")
        done = shell.run("templates", "copy", "own", "describe_user.j2")
        assert done.code == 2
        assert "--force" in done.err
        assert (shell.folder / "own" / "describe_user.j2").read_text() == "mine"
        assert shell.run("templates", "copy", "own", "describe_user.j2", "--force").code == 0
        assert (shell.folder / "own" / "describe_user.j2").read_text() != "mine"

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
    def test_check_reports_problems(self, shell: Shell, server: Server, content: str | bytes, said: str) -> None:
        """So does mining, before it sends any request."""
        self.own(shell, "describe_user.j2", content)
        done = shell.run("templates", "check", "own")
        assert done.code == 2
        assert said in done.err
        assert f"error: {Path('own') / 'describe_user.j2'}" in done.err or "never see" in said
        assert not json.loads(shell.run("templates", "check", "own", "--json").out)["ok"]
        done = shell.mine(server, "--templates", "own")
        assert done.code == 2
        assert said in done.err
        assert server.bodies == server.probes == []

    def test_all_problems_at_once(self, shell: Shell) -> None:
        self.own(shell, "describe_user.j2", "{{ a }}{{ labels | data }}\n{{ b }}")
        self.own(shell, "attribute_user.j2", "{{ c }}{{ factors | data }}")
        assert len(shell.run("templates", "check", "own").err.splitlines()) == 3
        self.own(shell, "describe_user.j2", "{{ a")
        self.own(shell, "attribute_user.j2", "{{ c")
        assert len(shell.run("templates", "check", "own").err.splitlines()) == 2

    def test_a_byte_order_mark_is_ignored(self, shell: Shell, server: Server) -> None:
        self.own(shell, "describe_user.j2", b"\xef\xbb\xbfDescribe: <data>{{ {'objects': labels} | data }}</data>")
        assert shell.run("templates", "check", "own").code == 0
        assert shell.mine(server, "--templates", "own").code == 0
        assert server.bodies[0]["messages"][1]["content"].startswith("Describe: <data>")

    def test_shipped_templates_are_valid(self, shell: Shell) -> None:
        assert shell.run("templates", "check").code == 0
