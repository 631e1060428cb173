"""The list of subscriptions, and one: its state, its dead letters and its latest attempts."""

from __future__ import annotations

from typing import Any, Final

from app.console.api import Api

MOST: Final = 200
DEAD: Final = 50
ATTEMPTS: Final = 25


async def subscriptions(api: Api) -> dict[str, Any]:
    return {"subscriptions": await api.get("/v1/subscriptions", limit=MOST)}


async def subscription(api: Api, subscription_id: str) -> dict[str, Any]:
    """One subscription. Raises ApiProblem where there is none."""
    path = f"/v1/subscriptions/{subscription_id}"
    return {
        "subscription": (await api.get(path)).needed(),
        "dead": await api.get(f"{path}/deliveries", state="dead", limit=DEAD),
        "waiting": await api.get(f"{path}/deliveries", state="retry", limit=DEAD),
        "attempts": await api.get(f"{path}/attempts", limit=ATTEMPTS),
    }
