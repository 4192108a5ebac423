"""`fedmpt bank edit` with scripts as editors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from prompt_bank.editing import edits as editing
from prompt_bank.recording.changes import apply_change
from prompt_bank.recording.store import load, record
from tests.prompt_bank.banks import good

SCRIPT = """
import json, sys
from pathlib import Path
rounds, folder, file = json.loads(Path("rounds.json").read_text()), Path("."), Path(sys.argv[1])
seen = len([*folder.glob("seen-*")])
Path(f"seen-{seen}").write_text(file.read_text())
for old, new in rounds[min(seen, len(rounds) - 1)]:
    text = file.read_text()
    assert old in text or old == "ALL", text
    file.write_text(new if old == "ALL" else text.replace(old, new, 1))
"""


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    path = tmp_path / "bank.json"
    record(good(), path, by="miner", did="mined 2 conditions")
    (tmp_path / "editor.py").write_text(SCRIPT)
    return path


def edit(
    bank: Path, *rounds: list[tuple[str, str]], words: tuple[str, ...] = (), editor: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command; the editor replaces other texts in each round, and records what it saw."""
    (bank.parent / "rounds.json").write_text(json.dumps(rounds))
    command = editor if editor is not None else f'"{sys.executable}" editor.py'
    environment = {k: v for k, v in os.environ.items() if k != "VISUAL"} | {"EDITOR": command, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "fedmpt", "bank", "edit", "bank.json", *words],
        cwd=bank.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def seen(bank: Path, number: int) -> str:
    return (bank.parent / f"seen-{number}").read_text(encoding="utf-8")


def kept(bank: Path) -> list[Path]:
    return [*bank.parent.glob("bank.edit-*.yaml")]


def test_an_edit_is_recorded_and_printed(bank: Path) -> None:
    done = edit(bank, [("text: object pose", "text: body pose"), ("values: [room]", "values: [room, sea]")])
    assert done.returncode == 0, done.stderr
    assert "object pose → body pose" in done.stdout and "+sea" in done.stdout and "revision 2 recorded" in done.stdout
    loaded = load(bank)
    assert loaded.bank.conditions[1].text == "body pose" and not loaded.edited
    assert loaded.bank.history[-1].did == "edited in an editor" and not kept(bank)
    assert "The bank small, revision 1." in seen(bank, 0)


@pytest.mark.parametrize("rounds", [[], [("ALL", "")], [("ALL", "# nothing\n\n#! x\n")], [("ALL", "\ufeff")]])
def test_an_unchanged_or_emptied_text_changes_nothing(bank: Path, rounds: list[tuple[str, str]]) -> None:
    before = bank.read_bytes()
    done = edit(bank, rounds)
    assert done.returncode == 0 and "nothing to change" in done.stdout, done.stderr
    assert bank.read_bytes() == before and not kept(bank)


def test_changed_white_space_is_ignored(bank: Path) -> None:
    before = bank.read_bytes()
    assert "nothing to change" in edit(bank, [("labels:", "\n\nlabels:")]).stdout
    assert bank.read_bytes() == before


def test_errors_are_shown_at_the_top_until_they_are_fixed(bank: Path) -> None:
    done = edit(
        bank,
        [("status: proposed", "status: maybe"), ("text: object pose", "text: ''")],
        [("status: maybe", "status: accepted")],
        [("text: ''", "text: posture")],
    )
    assert done.returncode == 0, done.stderr
    first, second = seen(bank, 1).split("\n"), seen(bank, 2).split("\n")
    assert first[0].startswith("#! These errors must be fixed")
    at = next(i for i, line in enumerate(first, 1) if "status: maybe" in line)
    assert first[1].startswith(f"#! conditions[0].status, line {at}: must be 'proposed'")
    at = next(i for i, line in enumerate(first, 1) if "text: ''" in line)
    assert first[2] == f"#! conditions[1].text, line {at}: is empty" and first[3] == "#!"
    assert len([line for line in second if line.startswith("#!")]) == 3, "only what is wrong now"
    conditions = load(bank).bank.conditions
    assert (conditions[0].status, conditions[1].text) == ("accepted", "posture") and not kept(bank)


def test_who_gives_up_keeps_the_text_and_can_go_on(bank: Path) -> None:
    before = bank.read_bytes()
    done = edit(bank, [("status: proposed", "status: maybe"), ("object pose", "posture")], [])
    assert done.returncode == 2 and "must be 'proposed'" in done.stderr and bank.read_bytes() == before
    (text,) = kept(bank)
    assert f"--resume {text.name}" in done.stderr
    for old in bank.parent.glob("seen-*"):
        old.unlink()
    done = edit(bank, [("status: maybe", "status: rejected")], words=("--resume", text.name))
    assert done.returncode == 0, done.stderr
    assert load(bank).bank.conditions[1].text == "posture" and not kept(bank)


def test_a_resumed_text_may_be_taken_as_it_is(bank: Path) -> None:
    edit(bank, [("object pose", "posture"), ("status: proposed", "status: x")], [])
    (text,) = kept(bank)
    text.write_text(text.read_text().replace("status: x", "status: accepted"))
    done = edit(bank, [], words=("--resume", text.name))
    assert done.returncode == 0 and load(bank).bank.conditions[1].text == "posture" and not kept(bank)


def test_a_conflict_keeps_the_text_and_says_what_changed(bank: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.py"
    other.write_text(
        SCRIPT + "\nfrom prompt_bank.editing import edits\nfrom prompt_bank.recording.changes import apply_change\n"
        "if seen == 0: apply_change(Path('bank.json'), lambda b: edits.reject(b, ['background']), by='bob', did='no')\n"
    )
    done = edit(bank, [("object pose", "posture")], editor=f'"{sys.executable}" other.py')
    assert done.returncode == 1 and "the bank has changed since you began" in done.stderr
    assert load(bank).bank.history[-1].by == "bob" and load(bank).bank.conditions[1].text == "object pose"
    (text,) = kept(bank)
    told = text.read_text().split("\n")
    assert told[0].startswith("#! The bank has changed since you began.")
    assert told[1:3] == ["#! ~ condition background", "#! status proposed → rejected"]
    assert "text: posture" in text.read_text()
    done = edit(
        bank, [], [("status: proposed", "status: rejected")],
        words=("--resume", text.name), editor=f'"{sys.executable}" other.py',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    conditions = load(bank).bank.conditions
    assert [(c.text, c.status) for c in conditions] == [("background", "rejected"), ("posture", "proposed")]


def test_a_hand_edit_is_recorded_before_that_of_the_editor(bank: Path) -> None:
    bank.write_text(bank.read_text().replace('"object pose"', '"stance"'))
    done = edit(bank, [("text: stance", "text: posture")])
    assert "revision 2 recorded: the hand edits made before" in done.stdout and load(bank).bank.revision == 3


@pytest.mark.parametrize(
    ("editor", "message"),
    [
        ("./no-such-editor", "the editor cannot be started: No such file or directory; set VISUAL or EDITOR"),
        (f'"{sys.executable}" -c "raise SystemExit(3)"', "the editor ended with code 3; nothing was changed"),
    ],
)
def test_an_editor_that_fails_changes_nothing(bank: Path, editor: str, message: str) -> None:
    before = bank.read_bytes()
    done = edit(bank, editor=editor)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert bank.read_bytes() == before and not kept(bank)


def test_an_editor_that_fails_after_saving_keeps_the_text(bank: Path) -> None:
    program = "import sys; open(sys.argv[1], 'a').write('x'); raise SystemExit(1)"
    done = edit(bank, editor=f'"{sys.executable}" -c "{program}"')
    assert done.returncode == 2 and "your text is kept" in done.stderr and len(kept(bank)) == 1


def test_an_editor_that_never_fixes_its_errors_is_stopped(bank: Path) -> None:
    program = "import sys; open(sys.argv[1], 'a').write('x: [')"
    done = edit(bank, editor=f'"{sys.executable}" -c "{program}"')
    assert done.returncode == 2 and "is not YAML" in done.stderr and "your text is kept" in done.stderr


def test_a_text_that_is_not_utf8_is_kept(bank: Path) -> None:
    program = "import sys; open(sys.argv[1], 'ab').write(b'\\xff')"
    done = edit(bank, editor=f'"{sys.executable}" -c "{program}"')
    assert done.returncode == 2 and "is not UTF-8" in done.stderr and len(kept(bank)) == 1


def test_a_resume_starts_from_the_current_bank(bank: Path) -> None:
    """A condition added since is not in the kept text; recording it would remove the condition, which is reported."""
    edit(bank, [("object pose", "posture"), ("status: proposed", "status: x")], [])
    (text,) = kept(bank)
    apply_change(bank, lambda b: editing.add(b, "season"), by="bob", did="added")
    text.write_text(text.read_text().replace("status: x", "status: proposed"))
    done = edit(bank, [], words=("--resume", text.name))
    assert done.returncode == 0 and "- condition season" in done.stdout
