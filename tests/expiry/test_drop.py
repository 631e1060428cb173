"""Partitions whose time is over are dropped, while events are written and read."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.events.across import PARTITION_ROWS
from app.events.partitions import create_partitions, room_left
from app.expiry.drop import drop_due
from app.expiry.due import Periods
from tests.api import Api
from tests.expiry.steps import PERIODS, SECOND, drop, fill, record, rows, tables
from tests.waiting import until

OLD = {"events_00000", "event_log_00000"}
DETACHING = "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%DETACH%CONCURRENTLY' AND wait_event_type = 'Lock'"


async def two_partitions(api: Api) -> None:
    await record(api)
    await fill(api.app.state.engine)
    await record(api)
    await create_partitions(api.app.state.engine)


async def positions(api: Api) -> list[int]:
    page = await api.get("/v1/events?after=earliest")
    return [int(event["meta"]["position"]) for event in page["data"]]


@pytest.mark.parametrize(("days", "gone"), [(29.9, set()), (30, set()), (30.1, OLD), (400, OLD)])
async def test_events_and_their_log_go_when_the_first_event_after_them_is_old_enough(
    api: Api, days: float, gone: set[str]
) -> None:
    await two_partitions(api)
    before = await tables(api)
    assert await drop(api, days) == len(gone)
    assert before - await tables(api) == gone
    assert await positions(api) == ([SECOND] if gone else [1, SECOND])
    assert await drop(api, days) == 0


async def test_a_partition_without_a_later_event_stays_however_old_it_is(api: Api) -> None:
    await record(api)
    assert await drop(api, 5000) == 0
    await fill(api.app.state.engine)
    assert await drop(api, 5000) == 0
    assert await positions(api) == [1]


async def test_dropped_partitions_are_not_made_again_and_the_next_are_made_in_time(api: Api) -> None:
    await two_partitions(api)
    await drop(api, 31)
    engine = api.app.state.engine
    assert await create_partitions(engine) == 0
    assert not OLD & await tables(api)
    async with engine.connect() as tx:
        assert await room_left(tx) == 4 * PARTITION_ROWS - SECOND


async def test_events_stay_as_long_as_the_log_has_one_of_them(api: Api) -> None:
    engine = api.app.state.engine
    await record(api)
    async with engine.begin() as tx:  # recorded before the others, its position is behind them
        await tx.execute(text("INSERT INTO pending (tenant_id, seq) SELECT tenant_id, 1 FROM events"))
        await tx.execute(text("DELETE FROM event_log"))
    await rows(engine, "ALTER TABLE event_log ALTER position RESTART WITH 2")
    held = await rows(engine, "DELETE FROM pending RETURNING tenant_id, seq")
    await fill(engine)
    await record(api)
    await rows(engine, "INSERT INTO pending (tenant_id, seq) VALUES (:tenant_id, :seq)", **dict(held[0]._mapping))
    await record(api)
    assert await drop(api, 31) == 1
    assert OLD & await tables(api) == {"events_00000"}
    assert len(await positions(api)) == 3


@pytest.mark.parametrize("days", [13, 14])
async def test_attempts_go_by_days(api: Api, days: int) -> None:
    engine = api.app.state.engine
    (day,) = await rows(engine, "SELECT min(relname) AS name FROM pg_class WHERE relname ~ '^attempts_[0-9]+$'")
    ends = datetime.strptime(day.name[-8:], "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=1)
    periods = Periods(events=timedelta(days=30), attempts=timedelta(days=14))
    assert await drop_due(engine, periods, ends + timedelta(days=days)) == (days == 14)
    assert len(await rows(engine, "SELECT 1 FROM pg_class WHERE relname = :name", name=day.name)) == (days < 14)


async def test_while_a_partition_waits_for_a_reader_events_are_written_and_read(api: Api) -> None:
    await two_partitions(api)
    engine = api.app.state.engine
    async with engine.begin() as tx:
        assert len((await tx.execute(text("SELECT * FROM event_log"))).all()) == 2
        assert len((await tx.execute(text("SELECT * FROM events"))).all()) == 2
        dropping = asyncio.create_task(drop(api, 31))

        async def waits() -> bool:
            return bool(await rows(engine, DETACHING))

        await until(waits)
        await record(api)
        assert await positions(api) == [SECOND, SECOND + 1], "what goes is not read any more"
        await rows(engine, f"SELECT setval(pg_get_serial_sequence('events', 'seq'), {2 * PARTITION_ROWS})")
        assert await create_partitions(engine) == 1
        await record(api)
        assert len((await tx.execute(text("SELECT * FROM event_log WHERE position > 1"))).all()) == 3
        assert await tables(api) >= OLD
    assert await dropping == 2
    assert not OLD & await tables(api)


@pytest.mark.parametrize("reads", [False, True])
async def test_what_was_cut_short_is_ended_by_the_next_run(api: Api, reads: bool) -> None:
    await two_partitions(api)
    engine = api.app.state.engine
    async with engine.begin() as tx:
        await tx.execute(text("SELECT FROM event_log"))
        dropping = asyncio.create_task(drop(api, 31))

        async def cancelled() -> bool:
            await rows(engine, f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid IN ({PIDS})")
            return dropping.done()

        await until(cancelled)
        with pytest.raises(DBAPIError):
            await dropping
        assert await tables(api) >= OLD
        assert await positions(api) == [SECOND]
        if reads:
            await record(api)
    assert await drop(api, 31) == 1, "the events, whose log is gone"
    assert not OLD & await tables(api)


PIDS = DETACHING.replace("SELECT 1", "SELECT pid")


async def test_several_processes_drop_a_partition_once(api: Api) -> None:
    await two_partitions(api)
    await asyncio.gather(*(drop(api, 31) for _ in range(4)))
    assert not OLD & await tables(api)
    assert await positions(api) == [SECOND]


async def test_a_partition_that_an_operator_detached_stays(api: Api) -> None:
    await two_partitions(api)
    await rows(api.app.state.engine, "ALTER TABLE event_log DETACH PARTITION event_log_00000")
    assert await drop(api, 31) == 1
    assert OLD & await tables(api) == {"event_log_00000"}


async def test_the_worker_drops_by_the_settings(api: Api) -> None:
    await two_partitions(api)
    settings = api.app.state.settings
    assert Periods.of(settings) == Periods(events=timedelta(days=30), attempts=timedelta(days=14))
    assert Periods.of(settings.model_copy(update={"event_days": 400, "attempt_days": 1})) == Periods(
        events=timedelta(days=400), attempts=timedelta(days=1)
    )
    assert PERIODS.events == timedelta(days=30)
