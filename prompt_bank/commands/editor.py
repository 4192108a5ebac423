"""Edits a bank as YAML in the user's editor. A text with errors is opened again with the errors at the top."""

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
"""The maximum number of attempts, as a script that serves as editor must not loop forever."""

MESSAGE_PREFIX = "#!"
"""The start of lines with messages for the user; they are removed when the text is read."""

HELP = """\
# The bank {name}, revision {revision}. Save and close to record your changes; without changes nothing is recorded.
#
# status is proposed, accepted or rejected. An entry without an id is a new condition; a condition without an entry is
# removed. To rename a label or a value, change it in place. Support and evidence are kept, and not shown here.
# corrected holds the cells of labels × values that people set, `label: {{value: number}}`; all other cells are as
# mined.

"""

EDITORS = ("editor", "nano", "vi", "notepad")
"""Editors that are tried if neither VISUAL nor EDITOR is set."""


@dataclass(frozen=True)
class Draft:
    """The text that is being edited. Its file is beside the bank, so that it survives a crash.

    Attributes:
        bank: the bank file.
        file: the file of the text.
    """

    bank: Path
    file: Path

    def read(self) -> str:
        """The text.

        Raises:
            BankError: the file is not UTF-8, or cannot be read.
        """
        try:
            return self.file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise source_error(self.file, f"is not UTF-8; save it as UTF-8. {self.kept()}") from error
        except OSError as error:
            raise source_error(self.file, f"cannot be read: {error.strerror}") from error

    def write(self, text: str) -> None:
        """Replace the text."""
        self.file.write_text(text, encoding="utf-8", newline="\n")

    def kept(self) -> str:
        """A message that says where the text is and how to resume."""
        return f"your text is kept: fedmpt bank edit {self.bank} --resume {self.file}"


def edit(path: Path, *, by: str, did: str, resume: Path | None = None) -> ChangeResult:
    """Let the user edit a bank, and record the result.

    Args:
        path: the bank file.
        by: the author of the revision.
        did: the message of the revision.
        resume: the kept text of an earlier edit, to resume with.

    Raises:
        BankError: the bank is invalid, there is no editor, or the user gave up on a text with errors (it is kept).
        BankConflict: the bank has changed in the meantime; the text is kept, with the changes at its top.
        OSError: the file cannot be written; the text is kept.
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
    """The edited bank; None if the user left the text unchanged or emptied it.

    Args:
        bank: the bank that is edited.
        draft: the file of the text.
        text: its current text.
        command: the editor with its arguments.
        finished: whether the text contains edits already, so that an unchanged text is accepted as the result.
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
            lines = len(error.problems) + 2  # that will be added at the top
            moved = [Problem(p.place, p.message, p.line and p.line + lines, p.severity) for p in error.problems]
            wrong, finished = BankError(draft.file, moved), False
            heading = "These errors must be fixed before the text can be recorded. Leave it unchanged to give up."
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
            differences = [line.plain for line in change_lines(diff(loaded.bank, load(loaded.path).bank))]
        except BankError as broken:
            differences = [str(broken)]
        messages = ["The bank has changed since you began. Recording the text below would undo this:", *differences, ""]
        draft.write(_with_messages(messages, draft.read()))
        message = f"the bank has changed since you began, nothing was recorded; {draft.kept()}"
        raise BankConflict(loaded.path, [Problem("", message)]) from error
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror}; {draft.kept()}", error.filename) from error
    return ChangeResult(written, True, diff(loaded.bank, written), hand_edit)


def _editor() -> list[str]:
    """The user's editor with its arguments."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if named:
        return shlex.split(named, posix=os.name != "nt")
    found = next(filter(shutil.which, EDITORS), None)
    if found is None:
        raise source_error("fedmpt bank edit", "no editor was found; set VISUAL or EDITOR")
    return [found]


def _run(command: list[str]) -> int:
    """Run the editor on this terminal and return its exit code. Ctrl-C is left to the editor."""
    try:
        process = subprocess.Popen(command)
    except OSError as error:
        Path(command[-1]).unlink(missing_ok=True)
        message = f"the editor cannot be started: {error.strerror}; set VISUAL or EDITOR"
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


def _with_messages(messages: list[str], body: str) -> str:
    return "".join(f"{MESSAGE_PREFIX} {_one_line(line)}".rstrip() + "\n" for line in messages) + body


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))
