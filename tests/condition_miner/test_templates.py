"""Templates: what is broken is named with file and line, and no text of others can do harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from condition_miner.errors import MinerError
from condition_miner.templates import MESSAGES, Templates, shipped_folder

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
            ("{{ 'x' * 100000 }}", "grows over 60000 characters"),
            ("{% for i in range(99999999) %}x{% endfor %}", "Range too big"),
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
