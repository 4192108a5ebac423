"""The messages between server and sites: a small head of JSON, and a state. Both may come from a stranger."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from fedmpt.common.errors import FedmptError
from fedmpt.common.foreign_json import parse_json
from trainer.errors import TrainerError
from trainer.run.record_types import Count, Hash, MemoryName, Name, Probability, Record, Rounds, Text

PROTOCOL = 2
"""Grows when the messages change; both sides must have the same."""

Facts = dict[Name, Name]
"""What must be equal at the server and at all sites, by the words for it."""


class Hello(Record):
    """The server asks who a site is.

    Attributes:
        protocol: the server's.
        run: the run's id.
        nonce: to be signed, see `trainer.flower.proof`.
    """

    kind: Literal["hello"] = "hello"
    protocol: Count = PROTOCOL
    run: Name
    nonce: Name = "none"


class Kept(Record):
    """What the asked client keeps between its rounds, see `trainer.federation.memory`.

    Attributes:
        memory: the name of the run's memory at the sites; None where the server's own folder is at hand.
        since: the rounds after which its current state was kept; 0: it has not trained yet.
        needed: those of all its states to which the server's checkpoints refer; it may delete the others.
    """

    memory: MemoryName | None
    since: Rounds
    needed: Annotated[tuple[Rounds, ...], Field(max_length=100_000)] = ()


class Train(Record):
    """The server asks for training from the state that comes with it.

    Attributes:
        run: the run's id.
        round, rounds: the round's index, and their number.
        base: the hash of the state.
        kept: None if clients keep nothing.
    """

    kind: Literal["train"] = "train"
    run: Name
    round: Rounds
    rounds: Rounds
    base: Hash
    kept: Kept | None = None


class Evaluate(Record):
    """The server asks for counts on the site's test images, by the state that comes with it.

    Attributes:
        run: the run's id.
        base: the hash of the state.
        threshold: on the probability.
        scores: whether scores and labels of each image are wanted, too.
        kept: None if clients keep nothing.
    """

    kind: Literal["evaluate"] = "evaluate"
    run: Name
    base: Hash
    threshold: Probability
    scores: bool
    kept: Kept | None = None


class Present(Record):
    """A site says who it is.

    Attributes:
        client: its number in the federation.
        examples: the number of its training images.
        facts: what must be equal everywhere.
        proof: that it is this client.
    """

    kind: Literal["present"] = "present"
    client: Count
    examples: Count
    facts: Annotated[Facts, Field(max_length=100)]
    proof: Text = ""


class Trained(Record):
    """A site's reply after training, with its state.

    Attributes:
        client: its number.
        run, round, base: of the request.
        facts: the hash of its facts, see `hash_facts`.
        hash: of its state.
        examples: the images that it trained on.
        loss: mean loss per batch; None if it is not told.
        seconds: of training.
    """

    kind: Literal["trained"] = "trained"
    client: Count
    run: Name
    round: Rounds
    base: Hash
    facts: Hash
    hash: Hash
    examples: Count
    loss: float | None
    seconds: Annotated[float, Field(ge=0)]


class Counted(Record):
    """A site's counts, as tensors; see `trainer.evaluation.at_sites.SiteCounts.tensors`.

    Attributes:
        client: its number.
        run, base: of the request.
        facts: the hash of its facts.
        hash: of the tensors.
        images: the number of its test images; 0 if it has none, or tells nothing of them.
        scores: whether scores and labels of each image are with them.
    """

    kind: Literal["counted"] = "counted"
    client: Count
    run: Name
    base: Hash
    facts: Hash
    hash: Hash
    images: Count
    scores: bool


class Trouble(Record):
    """A site cannot do what it was asked.

    Attributes:
        again: whether to ask again later.
        reason: for people.
    """

    kind: Literal["trouble"] = "trouble"
    again: bool
    reason: Text


Head = Hello | Train | Evaluate | Present | Trained | Counted | Trouble
_HEAD: TypeAdapter[Head] = TypeAdapter(Annotated[Head, Field(discriminator="kind")])


@dataclass(frozen=True)
class Envelope:
    """A message: its head, and the bytes of a state."""

    head: Head
    blob: bytes = b""

    @property
    def size(self) -> int:
        """The number of bytes of head and state."""
        return len(write_head(self.head)) + len(self.blob)


def digest(content: bytes) -> str:
    """sha256."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hash_facts(facts: Facts) -> str:
    """The hash of all facts."""
    return digest(json.dumps(facts, sort_keys=True).encode())


def write_head(head: Head) -> bytes:
    """A head as JSON."""
    return _HEAD.dump_json(head)


def read_head(text: bytes) -> Head:
    """The head of some JSON.

    Raises:
        TrainerError: it is not a head of this protocol.
    """
    try:
        parse_json(text, source="a message's head")
        return _HEAD.validate_json(text, strict=True)
    except (FedmptError, ValidationError) as error:
        raise TrainerError(f"not a message of protocol {PROTOCOL} ({str(error).splitlines()[0][:200]})") from error
