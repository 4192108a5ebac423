"""Which model to ask where none is named."""

from __future__ import annotations

import asyncio

from condition_miner.cache import AnswerCache
from condition_miner.endpoint import Address, Endpoint
from condition_miner.errors import MinerError
from condition_miner.settings import ServiceSettings


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
    raise MinerError(f"{address.endpoint} offers {len(offered)} models ({listed}): name one with --model")


async def _offered(address: Address, service: ServiceSettings) -> list[str]:
    async with Endpoint(address, service) as endpoint:
        return await endpoint.models()
