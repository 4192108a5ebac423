"""Edit a bank in a person's own editor: as YAML, checked when it is saved, shown again with what is wrong on top."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fedmpt.common.words import printable
from prompt_bank.commands.tables import change_lines
from prompt_bank.editing.diff import diff
from prompt_bank.errors import BankConflict, BankError, Problem
from prompt_bank.exchange.rewriting import source_error
from prompt_bank.exchange.yaml_view import dump, read
from prompt_bank.recording.changes import ChangeResult, record_hand_edit
from prompt_bank.recording.store import LoadedBank, content_hash, load, record
from prompt_bank.schema import Bank

MAX_ROUNDS = 20
"""How often a text with mistakes is shown again: a script that is called as editor must not go on for ever."""

MESSAGE_PREFIX = "#!"
"""Begins the lines that tell a person what is wrong; they are taken out again."""

HELP = """\
# The bank {name}, revision {revision}. Save and close to record what you changed; change nothing, and nothing happens.
#
# status is proposed, accepted or rejected. A condition without an id is a new one; one whose entry is gone is removed.
# A label gets another name where it stands, and so does a value. What a condition is supported by is kept, and not
# shown here. corrected holds the cells of labels × values that people set, `label: {{value: number}}`; a cell without
# an entry is as mined.

"""

EDITORS = ("editor", "nano", "vi", "notepad")
"""Tried where neither VISUAL nor EDITOR is set."""


@dataclass(frozen=True)
class Draft:
    """A person's text while it is being edited: it stands beside the bank, so that it outlives a crash.

    Attributes:
        bank: the bank's file.
        file: the text's file.
    """

    bank: Path
    file: Path

    def read(self) -> str:
        """The text.

        Raises:
            BankError: it is not UTF-8, or it is gone.
        """
        try:
            return self.file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise source_error(self.file, f"is not UTF-8; save it as UTF-8. {self.kept()}") from error
        except OSError as error:
            raise source_error(self.file, f"cannot be read: {error.strerror}") from error

    def write(self, text: str) -> None:
        """Put another text in its place."""
        self.file.write_text(text, encoding="utf-8", newline="\n")

    def kept(self) -> str:
        """Where the text is and how to go on, for a person."""
        return f"your text is kept: fedmpt bank edit {self.bank} --resume {self.file}"


def edit(path: Path, *, by: str, did: str, resume: Path | None = None) -> ChangeResult:
    """Let a person edit a bank, and record what came out of it.

    Args:
        path: the bank's file.
        by: who edits.
        did: what is written into the history.
        resume: a text that an earlier edit has kept, to go on with.

    Raises:
        BankError: the bank is bad, there is no editor, or the person gave up on a text with mistakes; the text is kept.
        BankConflict: the bank has changed meanwhile; the text is kept, and says what changed.
        OSError: it cannot be written; the text is kept.
    """
    loaded = load(path)
    command = _editor()
    if resume is None:
        help_lines = HELP.format(name=_one_line(loaded.bank.name), revision=loaded.bank.revision)
        draft, text = _new_draft(path), help_lines + dump(loaded.bank)
        draft.write(text)
    else:
        draft = Draft(path, resume)
        text = draft.read()
    bank = _edit_until_valid(loaded.bank, draft, text, command, finished=resume is not None)
    if bank is None or content_hash(bank) == loaded.hash:
        draft.file.unlink()
        return ChangeResult(loaded.bank, False)
    recorded = _record(bank, loaded, draft, by, did)
    draft.file.unlink()
    return recorded


def _edit_until_valid(bank: Bank, draft: Draft, text: str, command: list[str], finished: bool) -> Bank | None:
    """The edited bank; None where the person left the text as it was, or emptied it.

    Args:
        bank: the bank that the text is of.
        draft: the text's file.
        text: what is in it.
        command: the editor.
        finished: the text holds edits already, so that leaving it as it is means to take them.
    """
    original, wrong = text, BankError(draft.file, [])
    for _ in range(MAX_ROUNDS):
        code = _run([*command, str(draft.file)])
        saved = draft.read()
        if code:
            if saved == original and not finished:
                draft.file.unlink()
                raise source_error(command[0], f"the editor ended with code {code}; nothing was changed")
            raise source_error(command[0], f"the editor ended with code {code}; nothing was recorded. {draft.kept()}")
        body = "\n".join(line for line in saved.split("\n") if not line.startswith(MESSAGE_PREFIX))
        if not any(line.strip() and not line.startswith("#") for line in body.split("\n")):
            return None
        if saved == text and not finished:
            if not wrong.problems:
                return None
            break
        try:
            return read(body, bank, draft.file)
        except BankError as error:
            lines = len(error.problems) + 2  # that the text will have on top
            moved = [Problem(p.place, p.message, p.line and p.line + lines, p.severity) for p in error.problems]
            wrong, finished = BankError(draft.file, moved), False
            heading = "These mistakes keep it from being recorded. Mend them; leave the text as it is to give up."
            text = _with_messages([heading, *map(str, moved), ""], body)
            draft.write(text)
    raise BankError(draft.file, [*wrong.problems, Problem("", f"nothing was recorded; {draft.kept()}")])


def _record(bank: Bank, loaded: LoadedBank, draft: Draft, by: str, did: str) -> ChangeResult:
    hand_edit = None
    try:
        if loaded.edited:
            hand_edit = record_hand_edit(loaded, by).bank.revision
            loaded = load(loaded.path)
        written = record(bank, loaded.path, by=by, did=did, expected_hash=loaded.hash)
    except BankConflict as error:
        try:
            meanwhile = [line.plain for line in change_lines(diff(loaded.bank, load(loaded.path).bank))]
        except BankError as broken:
            meanwhile = [str(broken)]
        said = ["The bank has changed since you began. Recording the text below would undo this:", *meanwhile, ""]
        draft.write(_with_messages(said, draft.read()))
        message = f"the bank has changed since you began, nothing was recorded; {draft.kept()}"
        raise BankConflict(loaded.path, [Problem("", message)]) from error
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {draft.kept()}", error.filename) from error
    return ChangeResult(written, True, diff(loaded.bank, written), hand_edit)


def _editor() -> list[str]:
    """The person's editor, with its arguments."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if named:
        return shlex.split(named, posix=os.name != "nt")
    found = next(filter(shutil.which, EDITORS), None)
    if found is None:
        raise source_error("fedmpt bank edit", "no editor was found; set VISUAL or EDITOR to yours")
    return [found]


def _run(command: list[str]) -> int:
    """Run the editor on this terminal, and return its exit code; Ctrl-C in it is the editor's own business."""
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        Path(command[-1]).unlink(missing_ok=True)
        message = f"the editor cannot be started: {error.strerror}; set VISUAL or EDITOR to yours"
        raise source_error(command[0], message) from error
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, before)


def _new_draft(path: Path) -> Draft:
    handle, name = tempfile.mkstemp(prefix=f"{path.stem}.edit-", suffix=".yaml", dir=path.parent)
    os.close(handle)
    return Draft(path, path.with_name(Path(name).name))


def _with_messages(said: list[str], body: str) -> str:
    return "".join(f"{MESSAGE_PREFIX} {_one_line(line)}".rstrip() + "\n" for line in said) + body


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
