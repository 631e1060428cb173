"""All events of a tenant, as the feed tells them."""

from __future__ import annotations

from typing import Any

from app.events.partitions import create_partitions
from app.events.sequence import sequence
from tests.api import Api


async def all_events(api: Api, types: str = "*") -> list[dict[str, Any]]:
    """The events of these types in the order of the feed; those that wait are put in order first."""
    await create_partitions(api.app.state.engine)
    while await sequence(api.app.state.engine):
        pass
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = await api.get(f"/v1/events?limit=1000&types={types}{after}")
        found += page["data"]
        if not page["data"]:
            return found
        after = f"&after={page['next']}"
