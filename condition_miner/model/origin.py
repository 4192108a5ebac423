"""Who is asked: which endpoint, and which model where none is named."""

from __future__ import annotations

import asyncio
import os

from condition_miner.answers.cache import AnswerCache
from condition_miner.errors import MinerError
from condition_miner.model.address import IN_PROCESS, Address
from condition_miner.model.backend import Backend
from condition_miner.settings import ServiceSettings


def in_process(model: str | None) -> tuple[Address, str]:
    """The address and the identity of a model that is run by this process.

    Raises:
        MinerError: none is named, or its folder has no model in it.
    """
    named = model or os.environ.get("FEDMPT_MODEL")
    if not named:
        raise MinerError("--backend transformers needs --model: a folder, or a name on the hub")
    from condition_miner.model.in_process import model_identity

    return Address(named, IN_PROCESS), model_identity(named)


def origin(
    cache: AnswerCache, base_url: str | None, model: str | None, service: ServiceSettings, offline: bool
) -> tuple[Address, str]:
    """Which endpoint and which model: as named; else what the cache knows (offline) or the server offers.

    Raises:
        MinerError: they are not clear.
        MiningFailed: the server cannot be reached.
    """
    named = model or os.environ.get("FEDMPT_MODEL")
    if not offline:
        address = Address.of(base_url)
        return address, named or offered_model(cache, address, service)
    origins = cache.origins()
    if base_url or os.environ.get("OPENAI_BASE_URL"):
        origins = [o for o in origins if o[0] == Address.of(base_url).endpoint]
    if named:
        origins = [o for o in origins if o[1] == named]
    if len(origins) == 1:
        endpoint, found = origins[0]
        return Address(endpoint, endpoint), found
    listed = "; ".join(f"{found} at {endpoint}" for endpoint, found in origins) or "none that fit"
    raise MinerError(f"offline: name --model (and --base-url) of the cached answers; there are: {listed}")


def planned_origin(cache: AnswerCache, base_url: str | None, model: str | None) -> tuple[Address, str]:
    """As `origin`, without sending anything: a model that would have to be asked for stands as "unnamed".

    Raises:
        MinerError: not an address.
    """
    address = Address.of(base_url)
    known = [found for endpoint, found in cache.origins() if endpoint == address.endpoint]
    return address, model or os.environ.get("FEDMPT_MODEL") or (known[0] if len(known) == 1 else "unnamed")


def offered_model(cache: AnswerCache, address: Address, service: ServiceSettings) -> str:
    """The only model that has answered from this endpoint so far, else the only one that its server offers.

    The cache is asked first, so that mining again with a warm cache sends nothing.

    Raises:
        MinerError: several, or none.
        MiningFailed: the server cannot be reached.
    """
    known = [model for endpoint, model in cache.origins() if endpoint == address.endpoint]
    if len(known) == 1:
        return known[0]
    offered = asyncio.run(_offered(address, service))
    if len(offered) == 1:
        return offered[0]
    listed = ", ".join(offered[:20]) or "none"
    raise MinerError(f"{address.shown} offers {len(offered)} models ({listed}): name one with --model")


async def _offered(address: Address, service: ServiceSettings) -> list[str]:
    async with connect(address, service) as backend:
        return await backend.models()


def connect(address: Address, service: ServiceSettings) -> Backend:
    """The backend of an address.

    Raises:
        MinerError: an endpoint away from this machine, and no key.
    """
    if address.endpoint == IN_PROCESS:
        from condition_miner.model.in_process import LocalModel

        return LocalModel(address.base_url, service)
    from condition_miner.model.endpoint import Endpoint

    return Endpoint(address, service)
