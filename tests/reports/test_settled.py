"""A report of now is the last word on its instant: asked for as of that instant later, it is the same byte for byte."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.reports import across, settled
from tests.api import Api

PATHS = (
    "/v1/reports/funnel",
    "/v1/reports/velocity",
    "/v1/reports/feedback",
    "/v1/reports/sources",
    "/v1/reports/forecast",
)


def window(path: str) -> dict[str, str]:
    today = datetime.now(UTC).date()
    days = {"from": (today - timedelta(days=30)).isoformat(), "to": (today + timedelta(days=30)).isoformat()}
    return {} if path.endswith("forecast") else days


async def test_reports_beside_writers_are_what_they_are_as_of_their_instant(api: Api) -> None:
    ends = asyncio.Event()
    seen: list[tuple[str, Any]] = []

    async def write() -> None:
        while not ends.is_set():
            await api.mql()

    async def read(path: str) -> None:
        seen.extend([(path, await api.get(path, params=window(path))) for _ in range(8)])

    writers = [asyncio.create_task(write()) for _ in range(6)]
    await asyncio.gather(*(read(path) for path in PATHS))
    ends.set()
    await asyncio.gather(*writers)
    assert len({str(report) for _, report in seen}) > len(PATHS)
    for path, report in seen:
        again = await api.get(path, params={**window(path), "as_of": report["as_of"]})
        assert again == report, path


async def test_a_report_waits_for_a_transaction_that_is_open_and_sees_what_it_writes(api: Api) -> None:
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("SELECT 1"))
        reading = asyncio.create_task(api.get("/v1/reports/funnel", params=window("funnel")))
        await asyncio.sleep(0.1)
        assert not reading.done()
    await reading


@pytest.mark.parametrize("ago", [None, timedelta(0), settled.RECENT - timedelta(milliseconds=500)])
async def test_a_transaction_that_stays_open_delays_a_report_of_the_last_second_for_a_while_only(
    api: Api, monkeypatch: pytest.MonkeyPatch, ago: timedelta | None
) -> None:
    monkeypatch.setattr(settled, "LONGEST_WAIT", 0.2)
    polls = 0

    async def counted(tx: Any) -> Any:
        nonlocal polls
        polls += 1
        return await across.open_transactions(tx)

    monkeypatch.setattr(settled, "open_transactions", counted)
    as_of = {} if ago is None else {"as_of": (api.now - ago).isoformat()}
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("SELECT 1"))
        await api.get("/v1/reports/funnel", params={**window("funnel"), **as_of})
    assert polls > 1


async def test_a_report_of_the_past_and_one_beside_other_reports_wait_for_nobody(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settled, "LONGEST_WAIT", 3_600.0)
    past = {"as_of": (api.now - settled.RECENT - timedelta(seconds=1)).isoformat()}
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("SELECT 1"))
        await api.get("/v1/reports/funnel", params={**window("funnel"), **past})
    await asyncio.gather(*(api.get(path, params=window(path)) for path in PATHS * 3))


@pytest.mark.parametrize(("ago", "looks"), [(-1, True), (0, True), (1, False)])
async def test_only_an_instant_of_the_last_second_is_waited_for(
    api: Api, monkeypatch: pytest.MonkeyPatch, ago: int, looks: bool
) -> None:
    looked = False

    async def look(_: Any) -> set[Any]:
        nonlocal looked
        looked = True
        return set()

    monkeypatch.setattr(settled, "open_transactions", look)
    async with api.app.state.engine.connect() as tx:
        now = api.now
        await settled.settle(tx, now - settled.RECENT - timedelta(microseconds=ago), now)
    assert looked is looks
