"""A user who is deactivated while a route chooses owns nothing afterwards, whichever of the two comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import text

from app.journeys import routing_sql
from app.users import sql
from tests.api import Api
from tests.routing.documents import routed
from tests.routing.test_routes import RING


def paused(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str
) -> tuple[Callable[[], Awaitable[Any]], Callable[[], None]]:
    """Lets the first call of this function wait after it has read: until that is so, and to let it go on."""
    read, reached, go_on = getattr(module, name), asyncio.Event(), asyncio.Event()

    async def waiting(*arguments: Any, **options: Any) -> Any:
        found = await read(*arguments, **options)
        if not reached.is_set():
            reached.set()
            await go_on.wait()
        return found

    monkeypatch.setattr(module, name, waiting)
    return reached.wait, go_on.set


async def waits_for_lock(api: Api) -> None:
    """Waits until a transaction waits for an advisory lock."""
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    async with api.app.state.engine.connect() as tx:
        while not (await tx.execute(query)).scalar_one():
            await asyncio.sleep(0.01)


async def test_who_is_chosen_before_the_deactivation_hands_the_lead_over(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.publish(routed(RING))
    first, _ = await api.user("sdr"), await api.user("sdr")
    reached, go_on = paused(monkeypatch, routing_sql, "roster")
    making = asyncio.create_task(api.mql())
    await reached()
    leaving = asyncio.create_task(api.call("PATCH", f"/v1/users/{first}", {"active": False, "hand_to": "pool"}))
    await waits_for_lock(api)
    go_on()
    lead, left = await making, await leaving
    assert lead["owner_id"] == first, "the ring begins with the first user"
    assert (left.status_code, left.json()["open_leads"]) == (200, 1), left.text
    assert (await api.reload(lead))["owner_id"] is None


@pytest.mark.parametrize("members", [{}, {"hand_to": "pool"}])
async def test_who_is_deactivated_before_the_choice_is_not_chosen(
    api: Api, monkeypatch: pytest.MonkeyPatch, members: dict[str, Any]
) -> None:
    await api.publish(routed(RING))
    first, second = await api.user("sdr"), await api.user("sdr")
    reached, go_on = paused(monkeypatch, sql, "count_open_opportunities" if not members else "move_opportunities")
    leaving = asyncio.create_task(api.call("PATCH", f"/v1/users/{first}", {"active": False, **members}))
    await reached()
    making = asyncio.create_task(api.mql())
    await waits_for_lock(api)
    go_on()
    assert (await leaving).status_code == 200
    assert (await making)["owner_id"] == second
