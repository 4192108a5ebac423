"""Resolves the endpoint and the model from options, environment, answer cache and server."""

from __future__ import annotations

import asyncio
import os

from condition_miner.answers.cache import AnswerCache
from condition_miner.errors import MinerError
from condition_miner.model.address import IN_PROCESS, Address
from condition_miner.model.backend import Backend
from condition_miner.settings import ServiceSettings


def resolve_in_process(model: str | None) -> tuple[Address, str]:
    """The address and the identity of a model that runs in this process.

    Raises:
        MinerError: no model is named, or its folder has no model.
    """
    named = model or os.environ.get("FEDMPT_MODEL")
    if not named:
        raise MinerError("--backend transformers needs --model: a folder, or a name on the hub")
    from condition_miner.model.in_process import model_identity

    return Address(named, IN_PROCESS), model_identity(named)


def resolve_model(
    cache: AnswerCache, base_url: str | None, model: str | None, service: ServiceSettings, offline: bool
) -> tuple[Address, str]:
    """The endpoint and the model: as named, else the only one in the cache (offline) or on the server.

    Raises:
        MinerError: there are several or none to choose from.
        MiningFailed: the server's models cannot be listed.
    """
    named = model or os.environ.get("FEDMPT_MODEL")
    if not offline:
        address = Address.resolve(base_url)
        return address, named or offered_model(cache, address, service)
    origins = cache.origins()
    if base_url or os.environ.get("OPENAI_BASE_URL"):
        origins = [o for o in origins if o[0] == Address.resolve(base_url).endpoint]
    if named:
        origins = [o for o in origins if o[1] == named]
    if len(origins) == 1:
        endpoint, found = origins[0]
        return Address(endpoint, endpoint), found
    listed = "; ".join(f"{found} at {endpoint}" for endpoint, found in origins) or "none that fit"
    raise MinerError(f"offline: name --model (and --base-url) of the cached answers; there are: {listed}")


def resolve_for_dry_run(cache: AnswerCache, base_url: str | None, model: str | None) -> tuple[Address, str]:
    """As `resolve_model`, but without a request; the model is "unnamed" if only the server could tell it.

    Raises:
        MinerError: the base URL is invalid.
    """
    address = Address.resolve(base_url)
    known = [found for endpoint, found in cache.origins() if endpoint == address.endpoint]
    return address, model or os.environ.get("FEDMPT_MODEL") or (known[0] if len(known) == 1 else "unnamed")


def offered_model(cache: AnswerCache, address: Address, service: ServiceSettings) -> str:
    """The only model of this endpoint in the cache, else the only one that its server offers.

    The cache comes first, so that mining with a warm cache sends nothing.

    Raises:
        MinerError: the server offers several models, or none.
        MiningFailed: the server's models cannot be listed.
    """
    known = [model for endpoint, model in cache.origins() if endpoint == address.endpoint]
    if len(known) == 1:
        return known[0]
    offered = asyncio.run(_offered(address, service))
    if len(offered) == 1:
        return offered[0]
    listed = ", ".join(offered[:20]) or "none"
    raise MinerError(f"{address.display} offers {len(offered)} models ({listed}): name one with --model")


async def _offered(address: Address, service: ServiceSettings) -> list[str]:
    async with connect(address, service) as backend:
        return await backend.models()


def connect(address: Address, service: ServiceSettings) -> Backend:
    """A backend for an address.

    Raises:
        MinerError: the endpoint is not on this machine, and there is no key.
    """
    if address.endpoint == IN_PROCESS:
        from condition_miner.model.in_process import InProcessModel

        return InProcessModel(address.base_url, service)
    from condition_miner.model.endpoint import Endpoint

    return Endpoint(address, service)
