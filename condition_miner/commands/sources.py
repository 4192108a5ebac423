"""Where the answers come from, by the options of mine-conditions: a server, one that is started, or this process."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from condition_miner.answers.cache import AnswerCache
    from condition_miner.commands.batching import Batches
    from condition_miner.model.address import Address
    from condition_miner.settings import ServiceSettings


class Backend(StrEnum):
    """Where the language model runs."""

    OPENAI = "openai"
    TRANSFORMERS = "transformers"


@dataclass(frozen=True)
class SourceOptions:
    """The options that say who answers.

    Attributes:
        backend: a server, or a model in this process.
        base_url: of a server that runs.
        model: its name there.
        serve: the model of a server to start.
        engine: the program of that server.
        engine_args: more words of its command.
        batch: the folder of batches, or "openai".
        offline, dry_run: nothing is sent.
    """

    backend: Backend
    base_url: str | None
    model: str | None
    serve: str | None
    engine: Path | None
    engine_args: str | None
    batch: str | None
    offline: bool
    dry_run: bool


@dataclass(frozen=True)
class Source:
    """Who answers.

    Attributes:
        address: of the endpoint.
        model: its name.
        before_sending: is to be called before anything is sent.
        batches: bring the answers later; None if each request is sent at once.
    """

    address: Address
    model: str
    before_sending: Callable[[], None] = lambda: None
    batches: Batches | None = None


@contextmanager
def opened_source(
    options: SourceOptions, cache: AnswerCache, service: ServiceSettings, folder: Path
) -> Iterator[Source]:
    """Who answers. A server that was started ends with this context.

    Args:
        options: of the command.
        cache: tells the model where no option does.
        service: of requests.
        folder: the cache folder, with what a started server prints and the batches of a service.

    Raises:
        MinerError: options that exclude each other, or no model to choose.
        MiningFailed: the server's models cannot be listed, or the started server ended.
    """
    from condition_miner.errors import MinerError
    from condition_miner.model.resolving import resolve_for_dry_run, resolve_in_process, resolve_model

    if options.serve is None and (options.engine is not None or options.engine_args is not None):
        raise MinerError("--engine and --engine-args belong to --serve MODEL")
    if options.serve is not None:
        with _served(options, options.serve, folder / "engines") as source:
            yield source
    elif options.batch is not None and not options.dry_run:
        yield _batched(options, options.batch, cache, service, folder / "batches")
    elif options.backend is Backend.TRANSFORMERS:
        yield Source(*resolve_in_process(options.model))
    elif options.dry_run:
        yield Source(*resolve_for_dry_run(cache, options.base_url, options.model))
    else:
        yield Source(*resolve_model(cache, options.base_url, options.model, service, options.offline))


@contextmanager
def _served(options: SourceOptions, model: str, logs: Path) -> Iterator[Source]:
    """A server that is started when the first question is to be sent."""
    from condition_miner.errors import MinerError
    from condition_miner.model.address import LOCAL, Address
    from condition_miner.serving.engine import Engine
    from condition_miner.serving.engines import ServedModel, find_engine

    if options.backend is not Backend.OPENAI or options.base_url is not None or options.batch is not None:
        raise MinerError("--serve starts a server of its own; leave out --base-url, --backend and --batch")
    served = ServedModel.resolve(model, options.model)
    if options.dry_run or options.offline:
        yield Source(Address(LOCAL, LOCAL), served.name)
        return
    try:
        more = shlex.split(options.engine_args or "")
    except ValueError as error:
        raise MinerError(f"--engine-args: {error}") from error
    program = find_engine(served, options.engine)
    with Engine(program, served, logs / f"{program.kind}-{os.getpid()}.log", more) as engine:
        yield Source(engine.address, served.name, engine.start)


def _batched(options: SourceOptions, named: str, cache: AnswerCache, service: ServiceSettings, folder: Path) -> Source:
    """Batches in a folder of the user's, or in one for each service."""
    from condition_miner.commands.batching import Batches
    from condition_miner.errors import MinerError
    from condition_miner.model.address import Address

    if options.backend is not Backend.OPENAI or options.offline or service.budget_tokens is not None:
        raise MinerError("--batch sends no single request; leave out --backend, --offline and --budget-tokens")
    address = Address.resolve(options.base_url)
    known = [model for endpoint, model in cache.origins() if endpoint == address.endpoint]
    model = options.model or os.environ.get("FEDMPT_MODEL") or (known[0] if len(known) == 1 else None)
    if model is None:
        raise MinerError("--batch needs --model: a file of requests names the model that is to answer it")
    return Source(address, model, batches=Batches.opened(named, folder, address, service))
