"""What was shown of the past is shown when the events of that time are gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.events.sequence import sequence
from app.expiry.drop import drop_due
from tests.api import Api
from tests.expiry.steps import PERIODS, fill, rows


async def lived(api: Api) -> tuple[dict[str, Any], list[str]]:
    """A lead to which something happens for weeks, and the instants in between."""
    lead, instants = await api.mql(), []
    for type_ in ("webinar", "price_list", "demo_request", "case_study"):
        api.clock.ahead += timedelta(days=9)
        instants.append(api.now.isoformat().replace("+00:00", "Z"))
        api.clock.ahead += timedelta(hours=1)
        await api.add_activity(lead, type_)
    return lead, instants


async def forget(api: Api) -> None:
    """All that was recorded goes."""
    engine = api.app.state.engine
    while await sequence(engine):
        pass
    await fill(engine)
    await api.lead()
    while await sequence(engine):
        pass
    assert await drop_due(engine, PERIODS, api.now + timedelta(days=61)) == 2


async def test_a_lead_as_of_an_instant_is_the_same(api: Api) -> None:
    lead, instants = await lived(api)
    paths = [f"/v1/leads/{lead['id']}?as_of={at}" for at in instants] + [f"/v1/leads/{lead['id']}"]
    before = [await api.get(path) for path in paths]
    assert len({shown["version"] for shown in before}) == len(paths)
    await forget(api)
    assert [await api.get(path) for path in paths] == before


@pytest.mark.parametrize("kind", ["funnel", "sources"])
async def test_a_report_by_temperature_is_the_same(api: Api, kind: str) -> None:
    await lived(api)
    start, end = (str((api.now + timedelta(days=days)).date()) for days in (-60, 1))
    as_of = api.now.isoformat().replace("+00:00", "Z")
    path = f"/v1/reports/{kind}?from={start}&to={end}&as_of={as_of}&by=temperature"
    api.clock.ahead += timedelta(hours=1)
    before = await api.get(path)
    assert any(group["key"] for group in before["groups"])
    await forget(api)
    assert await api.get(path) == before


async def test_a_version_of_the_first_release_is_still_known_to_lack_what_it_replaced(api: Api) -> None:
    await lived(api)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE events SET lead_computed = NULL"))
    await forget(api)
    engine = api.app.state.engine
    (found,) = await rows(engine, "SELECT count(*) AS n, count(temperature) AS computed FROM kept_scores")
    assert found.n > 4
    assert found.computed == 0
