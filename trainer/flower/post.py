"""Messages through Flower's grid, and the interface that the server's part needs of it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from trainer.errors import TrainerError
from trainer.flower.envelope import Envelope, Evaluate, Train, read_head, write_head

if TYPE_CHECKING:
    from flwr.app import Message, RecordDict
    from flwr.serverapp import Grid

TRANSIENT = {3, 4, 5, 8}
"""Flower's codes of errors after which the same request can succeed: message gone, reply expired, node unavailable,
client app stopped."""


@dataclass(frozen=True)
class Answer:
    """What came back for a request: an envelope, or what went wrong.

    Attributes:
        id: of the request.
        envelope: None if something went wrong.
        trouble: what, for people.
        again: whether the same request can succeed later.
    """

    id: str
    envelope: Envelope | None
    trouble: str = ""
    again: bool = False


class Post(Protocol):
    """Sends requests to nodes and fetches what they answer."""

    def nodes(self) -> set[int]:
        """The nodes that are there."""
        ...

    def send(self, node: int, envelope: Envelope) -> str | None:
        """Send a request; its id, or None if it was not taken."""
        ...

    def fetch(self, ids: Collection[str]) -> list[Answer]:
        """The answers that have arrived to these requests; each is returned once."""
        ...


class GridPost:
    """Messages through Flower's grid."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def nodes(self) -> set[int]:
        """See `Post`."""
        return set(self._grid.get_node_ids())

    def send(self, node: int, envelope: Envelope) -> str | None:
        """See `Post`."""
        from flwr.app import Message

        kind = envelope.head.kind if isinstance(envelope.head, Train | Evaluate) else "query"
        ids = list(self._grid.push_messages([Message(to_records(envelope), node, kind)]))
        return ids[0] if ids and ids[0] else None

    def fetch(self, ids: Collection[str]) -> list[Answer]:
        """See `Post`."""
        return [_answer(message) for message in self._grid.pull_messages(list(ids))] if ids else []


def to_records(envelope: Envelope) -> RecordDict:
    """An envelope as the content of a message: the state is one array of bytes."""
    from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

    records = RecordDict({"head": ConfigRecord({"json": write_head(envelope.head)})})
    if envelope.blob:
        array = Array("uint8", (len(envelope.blob),), "safetensors", envelope.blob)
        records["state"] = ArrayRecord({"blob": array})
    return records


def from_records(records: RecordDict) -> Envelope:
    """The envelope in a message's content.

    Raises:
        TrainerError: there is none.
    """
    try:
        text = records.config_records["head"]["json"]
        blob = records.array_records["state"]["blob"].data if "state" in records.array_records else b""
    except KeyError as error:
        raise TrainerError(f"a message without {error}") from error
    if not isinstance(text, bytes):
        raise TrainerError("a message whose head is no JSON")
    return Envelope(read_head(text), blob)


def _answer(message: Message) -> Answer:
    id_ = message.metadata.reply_to_message_id
    if message.has_error():
        error = message.error
        return Answer(id_, None, f"Flower's error {error.code}: {error.reason or ''}"[:500], error.code in TRANSIENT)
    try:
        return Answer(id_, from_records(message.content))
    except TrainerError as error:
        return Answer(id_, None, str(error))
