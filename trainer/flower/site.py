"""A site's part: says who it is, and trains when it is asked. Independent of how messages arrive."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from fedmpt.common.errors import FedmptError
from trainer.errors import TrainerError
from trainer.evaluation.at_sites import Tells, count_at_site
from trainer.evaluation.measuring import scores as measured
from trainer.federation.exchange import Exchange
from trainer.federation.memory import ClientMemory, ClientState
from trainer.federation.messages import decode_update, encode_update
from trainer.federation.rounds import RoundContext
from trainer.flower.envelope import (
    Counted,
    Envelope,
    Evaluate,
    Facts,
    Hello,
    Kept,
    Present,
    Train,
    Trained,
    Trouble,
    digest,
    hash_facts,
)
from trainer.flower.proof import prove
from trainer.preparing import Prepared
from trainer.train import client_trainer, deterministic


class Site:
    """One client or several whose images are here.

    Args:
        prepared: data, backbone and method; the method's state is that before training.
        facts: see `trainer.flower.facts.facts`.
        owned: for each client of this site the indices of its training images.
        threads: torch's, as in the facts.
        key: with which the site proves who it is; None where nobody asks.
        tested: for each client the indices of its test images; those that are not named have none.
        tells: what the site tells of its test images when it is asked.
        memory: of what its clients keep between rounds, with a folder for each run of the server; None if they keep
            nothing.
    """

    def __init__(
        self,
        prepared: Prepared,
        facts: Facts,
        owned: Mapping[int, np.ndarray],
        threads: int,
        key: Path | None = None,
        tested: Mapping[int, np.ndarray] = MappingProxyType({}),
        tells: Tells = "no",
        memory: ClientMemory | None = None,
    ) -> None:
        self._prepared, self._tested, self._tells = prepared, tested, tells
        self._facts, self._owned, self._threads, self._key = facts, owned, threads, key
        self._deterministic = prepared.config.compute.deterministic
        self._trainer, self._memory = client_trainer(prepared, memory), memory
        self._memories = None if memory is None else memory.folder
        self._exchange = Exchange.of(prepared.method, prepared.config.federation.wire)

    def answer(self, client: int, ask: Envelope) -> Envelope:
        """The answer to a request; trouble is an answer, too."""
        # In every thread anew: OpenMP counts its threads for each.
        torch.set_num_threads(self._threads)
        try:
            if client not in self._owned:
                return Envelope(Trouble(again=False, reason=f"there is no client {client} here"))
            if isinstance(ask.head, Hello):
                proof = prove(self._key, client, ask.head.nonce) if self._key else ""
                count = len(self._owned[client])
                return Envelope(Present(client=client, examples=count, facts=self._facts, proof=proof))
            if isinstance(ask.head, Train):
                return self._train(client, ask.head, ask.blob)
            if isinstance(ask.head, Evaluate):
                return self._count(client, ask.head, ask.blob)
            return Envelope(Trouble(again=False, reason=f"a site is not asked for '{ask.head.kind}'"))
        except Exception as error:  # no memory, an unreadable key …: told to both sides, and the site stays
            kind = "" if isinstance(error, FedmptError) else f"{type(error).__name__}: "
            return Envelope(Trouble(again=False, reason=f"{kind}{error}"[:2000]))

    def _train(self, client: int, ask: Train, blob: bytes) -> Envelope:
        if digest(blob) != ask.base:
            return DAMAGED
        began = time.perf_counter()
        self._take_up(client, ask.kept)
        sent = decode_update(blob, self._exchange.signature, client)
        context = RoundContext(ask.round, ask.rounds)
        with deterministic(self._deterministic):
            reply = self._exchange.train(self._trainer, client, self._owned[client], sent, context)
        trained = encode_update(reply.state)
        head = Trained(
            client=client,
            run=ask.run,
            round=ask.round,
            base=ask.base,
            facts=hash_facts(self._facts),
            hash=digest(trained),
            examples=reply.examples,
            loss=reply.loss,
            seconds=time.perf_counter() - began,
        )
        return Envelope(head, trained)

    def _count(self, client: int, ask: Evaluate, blob: bytes) -> Envelope:
        """Counts on the client's test images, as far as the site tells them."""
        if digest(blob) != ask.base:
            return DAMAGED
        told, images, scores = b"", 0, ask.scores and self._tells == "scores"
        owned = self._tested.get(client, np.empty(0, int))
        if len(owned) and self._tells != "no":
            method, kept = self._prepared.method, self._take_up(client, ask.kept)
            state = self._exchange.received(decode_update(blob, self._exchange.signature, client))
            method.receive(state, kept.personal if kept else None)
            logits, labels = measured(method, self._prepared.features(self._prepared.dataset.test))
            found = count_at_site(logits[owned], labels[owned], ask.threshold, scores)
            told, images = encode_update(found.tensors()), found.images
        head = Counted(
            client=client,
            run=ask.run,
            base=ask.base,
            facts=hash_facts(self._facts),
            hash=digest(told),
            images=images,
            scores=scores and images > 0,
        )
        return Envelope(head, told)

    def _take_up(self, client: int, kept: Kept | None) -> ClientState | None:
        """What the client kept when its training last counted; what no checkpoint of the server needs is deleted."""
        if self._memory is None or self._memories is None:
            return None
        if kept is None:
            raise TrainerError("the server does not say which state of this client counts")
        self._memory.folder = self._memories if kept.memory is None else self._memories / kept.memory
        self._memory.take_up(client, kept.since)
        self._memory.keep_only({(client, rounds) for rounds in (kept.since, *kept.needed)}, client)
        return self._memory.load(client)


DAMAGED = Envelope(Trouble(again=True, reason="the state that arrived is not the one that was sent"))
