"""The order of the log: no event skipped or repeated, each lead in order; three wrong designs must fail the test."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.database.engine import make_engine
from app.database.transaction import Database, Tx
from app.events import across, partitions
from app.events.record import NewEvent, record_events
from app.events.sequence import sequence, sequence_forever
from app.events.wake import Wake
from app.ids import new_id
from tests.waiting import TIMEOUT_SECONDS, until

TENANT = new_id()
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
WRITERS, LEADS, SECONDS, MAX_ROUNDS = 12, 40, 6.0, 20
Seen = tuple[int, UUID, int]  # seq, lead, version


class RolledBack(Exception):
    """Raised by a writer to roll its transaction or savepoint back."""


def new_event(lead_id: UUID, version: int) -> NewEvent:
    return NewEvent("lead.updated", {"version": version}, NOON, lead_id=lead_id, lead_version=version)


async def record(engine: Database, *news: NewEvent, tenant_id: UUID = TENANT) -> None:
    async with engine.begin() as tx:
        await record_events(tx, tenant_id, news or [new_event(new_id(), 1)], NOON)


async def logged(engine: Database) -> Sequence[Any]:
    async with engine.connect() as tx:
        statement = text(
            "SELECT l.position, e.seq, e.lead_id, e.lead_version, e.tx_index, e.tx_size, e.data"
            " FROM event_log l JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq ORDER BY l.position"
        )
        return (await tx.execute(statement)).all()


@pytest.fixture
async def writers_engine(url: str) -> Any:
    made = make_engine(url, pool_size=WRITERS)
    yield made
    await made.dispose()


async def test_events_get_positions_once_and_in_the_order_in_which_they_were_recorded(engine: Database) -> None:
    lead = new_id()
    await record(engine, new_event(lead, 1), new_event(lead, 1), new_event(lead, 1))
    assert await sequence(engine) == 3
    assert await sequence(engine) == 0
    rows = await logged(engine)
    assert [(row.tx_index, row.tx_size) for row in rows] == [(1, 3), (2, 3), (3, 3)]
    assert [row.data for row in rows] == ['{"version":1}'] * 3


async def test_an_event_that_is_rolled_back_gets_no_position(engine: Database) -> None:
    async def fail() -> None:
        async with engine.begin() as tx:
            await record_events(tx, TENANT, [new_event(new_id(), 1)], NOON)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await sequence(engine) == 0


async def test_an_event_committed_after_later_events_is_not_skipped(engine: Database) -> None:
    async with engine.begin() as slow:
        await record_events(slow, TENANT, [new_event(new_id(), 1)], NOON)
        await record(engine, new_event(new_id(), 2))
        assert await sequence(engine) == 1
    assert await sequence(engine) == 1
    assert [row.lead_version for row in await logged(engine)] == [2, 1]


async def test_only_one_process_sequences_at_a_time(engine: Database) -> None:
    await record(engine)
    async with engine.begin() as other:
        assert await across.lock_sequencer(other)
        assert await sequence(engine) is None
    assert await sequence(engine) == 1


async def test_more_events_than_one_batch_are_sequenced_in_several(
    engine: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(across, "BATCH", 4)
    for version in range(1, 11):
        await record(engine, new_event(new_id(), version))
    assert [await sequence(engine) for _ in range(4)] == [4, 4, 2, 0]
    assert [row.lead_version for row in await logged(engine)] == list(range(1, 11))


async def test_without_a_lead_the_order_key_is_the_opportunity_or_the_event_itself(engine: Database) -> None:
    opportunity = new_id()
    news = [
        NewEvent("opportunity.stage_changed", {}, NOON, order_key=opportunity),
        NewEvent("policy.activated", {}, NOON),
    ]
    async with engine.begin() as tx:
        ids = await record_events(tx, TENANT, news, NOON)
    await sequence(engine)
    async with engine.connect() as tx:
        keys = (await tx.execute(text("SELECT order_key FROM event_log ORDER BY position"))).scalars()
    assert keys == [opportunity, ids[1]]


async def test_the_sequencer_wakes_at_once_and_continues_after_a_lost_connection(
    engine: Database, writers_engine: Database, url: str
) -> None:
    wake, stop = Wake(url), asyncio.Event()
    running = asyncio.create_task(sequence_forever(engine, wake, stop))
    seen = wake.generation("log")
    await record(engine)
    wake.set()
    await wake.wait("log", seen, TIMEOUT_SECONDS)
    assert len(await logged(engine)) == 1
    async with engine.connect() as tx:
        await tx.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database()"
            )
        )
    await record(writers_engine)
    wake.set()

    async def continued() -> bool:
        with suppress(DBAPIError):  # this connection may be one of those terminated
            return len(await logged(engine)) == 2
        return False

    await until(continued)
    stop.set()
    wake.set()
    await asyncio.wait_for(running, TIMEOUT_SECONDS)


async def test_events_are_sequenced_while_the_next_partitions_cannot_be_created(engine: Database, url: str) -> None:
    async with engine.begin() as tx:
        await tx.execute(text("CREATE TABLE events_00003 ()"))
        await tx.execute(text(f"SELECT setval(pg_get_serial_sequence('events', 'seq'), {across.PARTITION_ROWS})"))
    await record(engine)
    wake, stop = Wake(url), asyncio.Event()
    running = asyncio.create_task(sequence_forever(engine, wake, stop))
    await wake.wait("log", 0, TIMEOUT_SECONDS)
    stop.set()
    wake.set()
    await asyncio.wait_for(running, TIMEOUT_SECONDS)
    assert len(await logged(engine)) == 1


# --- the property, and wrong designs that must violate it


class Reader:
    """The events that one way of reading the log returned, in the order in which it returned them."""

    def __init__(self, poll: Callable[[Reader, Tx], Awaitable[Sequence[Any]]]) -> None:
        self.poll, self.seen, self.state = poll, [], {}  # type: ignore[var-annotated]

    async def read(self, engine: Database, stop: asyncio.Event) -> None:
        last = False
        while not last:
            last = stop.is_set()
            async with engine.connect() as tx:
                rows = await self.poll(self, tx)
            self.seen += [(row.seq, row.lead_id, row.lead_version) for row in rows]
            await asyncio.sleep(random.uniform(0, 0.004))

    def faults(self, written: set[int]) -> set[str]:
        """Which guarantees were violated: `lost`, `twice`, `order`."""
        numbers = [seq for seq, _, _ in self.seen]
        found = {"lost"} if written - set(numbers) else set()
        found |= {"twice"} if len(numbers) > len(set(numbers)) else set()
        return found | ({"order"} if any(late(self.seen)) else set())


def late(seen: list[Seen]) -> Iterator[bool]:
    newest: dict[UUID, int] = {}
    for _, lead, version in seen:
        yield version < newest.get(lead, 0)
        newest[lead] = max(version, newest.get(lead, 0))


MEMBERS = "SELECT seq, lead_id, lead_version"
HORIZON = text("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")


async def by_position(reader: Reader, tx: Tx) -> Sequence[Any]:
    """The real design."""
    rows = (
        await tx.execute(
            text(
                "SELECT l.position, e.seq, e.lead_id, e.lead_version FROM event_log l JOIN events e"
                " ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq"
                " WHERE l.tenant_id = :tenant AND l.position > :after ORDER BY l.position LIMIT 50"
            ),
            {"tenant": TENANT, "after": reader.state.get("after", 0)},
        )
    ).all()
    if rows:
        reader.state["after"] = rows[-1].position
    return rows


async def by_seq(reader: Reader, tx: Tx) -> Sequence[Any]:
    statement = text(f"{MEMBERS} FROM events WHERE seq > :after ORDER BY seq")
    rows = (await tx.execute(statement, {"after": reader.state.get("after", 0)})).all()
    if rows:
        reader.state["after"] = rows[-1].seq
    return rows


async def by_xid_and_seq(reader: Reader, tx: Tx) -> Sequence[Any]:
    horizon, before = (await tx.execute(HORIZON)).scalar_one(), reader.state.get("horizon", 0)
    reader.state["horizon"] = horizon
    statement = text(f"{MEMBERS} FROM events WHERE xid >= :before AND xid < :horizon ORDER BY xid, seq")
    return (await tx.execute(statement, {"before": before, "horizon": horizon})).all()


async def by_horizon_windows_of_seq(reader: Reader, tx: Tx) -> Sequence[Any]:
    horizon, before = (await tx.execute(HORIZON)).scalar_one(), reader.state.get("horizon", 0)
    reader.state["horizon"] = horizon
    statement = text(f"{MEMBERS} FROM events WHERE xid >= :before AND xid < :horizon ORDER BY seq")
    return (await tx.execute(statement, {"before": before, "horizon": horizon})).all()


# Wrong designs, and which guarantee each one violates.
WRONG_DESIGNS: dict[Callable[[Reader, Tx], Awaitable[Sequence[Any]]], str] = {
    by_seq: "lost",
    by_xid_and_seq: "order",
    by_horizon_windows_of_seq: "order",
}


async def write(engine: Database, leads: list[UUID], end: float) -> None:
    """Change one or two leads per transaction of random length; at random roll all or a part of it back."""
    while asyncio.get_running_loop().time() < end:
        with rollback_suppressed():
            async with engine.begin() as tx:
                if random.random() < 0.5:
                    # Assigns a transaction id early, as writing an idempotency row does.
                    await tx.execute(text("SELECT pg_current_xact_id()"))
                await pause()
                for lead in sorted(random.sample(leads, random.choice((1, 1, 2)))):
                    await change(tx, lead)
                await pause()
                if random.random() < 0.15:
                    raise RolledBack


async def change(tx: Tx, lead: UUID) -> None:
    with rollback_suppressed():
        async with tx.savepoint():
            version = (
                await tx.execute(
                    text("UPDATE g6 SET version = version + 1 WHERE id = :id RETURNING version"), {"id": lead}
                )
            ).scalar_one()
            await record_events(tx, TENANT, [new_event(lead, version)] * random.choice((1, 1, 3)), NOON)
            if random.random() < 0.1:
                raise RolledBack


async def pause() -> None:
    if random.random() < 0.7:
        await asyncio.sleep(random.expovariate(1 / 0.006))


@contextmanager
def rollback_suppressed() -> Iterator[None]:
    with suppress(RolledBack):
        yield


async def test_reading_by_position_loses_nothing_and_the_three_wrong_designs_fail(
    engine: Database, writers_engine: Database, url: str
) -> None:
    leads = [new_id() for _ in range(LEADS)]
    async with engine.begin() as tx:
        await tx.execute(text("CREATE TABLE g6 (id uuid PRIMARY KEY, version bigint NOT NULL)"))
        await tx.execute(text("INSERT INTO g6 SELECT unnest(CAST(:ids AS uuid[])), 0"), {"ids": leads})
        # The column that the wrong designs need.
        await tx.execute(text("ALTER TABLE events ADD xid bigint DEFAULT pg_current_xact_id()::text::bigint"))
    readers = [Reader(poll) for poll in (by_position, *WRONG_DESIGNS)]
    wake, stop, done = Wake(url), asyncio.Event(), asyncio.Event()
    sequencers = [asyncio.create_task(sequence_forever(engine, wake, stop)) for _ in range(2)]
    reading = [asyncio.create_task(reader.read(engine, done)) for reader in readers]
    for _ in range(MAX_ROUNDS):  # one round is enough except on a slow machine
        end = asyncio.get_running_loop().time() + SECONDS
        await asyncio.gather(*(write(writers_engine, leads, end) for _ in range(WRITERS)))
        written = await all_read(engine, readers)
        if len(written) > 500 and all(fails_as_expected(one, written) for one in readers[1:]):
            break
    done.set()
    await asyncio.gather(*reading)
    stop.set()
    wake.set()
    await asyncio.gather(*sequencers)
    assert readers[0].faults(written) == set()
    assert len(written) > 500, "too few events to prove anything"
    assert [one.poll.__name__ for one in readers[1:] if not fails_as_expected(one, written)] == []


def fails_as_expected(reader: Reader, written: set[int]) -> bool:
    return WRONG_DESIGNS[reader.poll] in reader.faults(written)


async def all_read(engine: Database, readers: list[Reader]) -> set[int]:
    """The seqs of all written events, after all are sequenced and read."""

    async def sequenced() -> bool:
        return await sequence(engine) == 0

    await until(sequenced)
    async with engine.connect() as tx:
        written = set((await tx.execute(text("SELECT seq FROM events"))).scalars())
    real, by_numbers = readers[:2]
    await until(lambda: len(real.seen) >= len(written), "the real reader has read all events")
    await until(lambda: by_numbers.state["after"] >= max(written))
    return written


# --- partitions


async def test_two_partitions_by_rows_and_fourteen_by_days_are_created_ahead(engine: Database) -> None:
    assert await partitions.create_partitions(engine) in (0, 1), (
        "the migration created the first ones; midnight may have passed"
    )
    async with engine.begin() as tx:
        for table, column in (("events", "seq"), ("event_log", "position")):
            name = f"pg_get_serial_sequence('{table}', '{column}')"
            await tx.execute(text(f"SELECT setval({name}, {across.PARTITION_ROWS})"))
    assert await partitions.create_partitions(engine) == 2
    assert await partitions.create_partitions(engine) == 0
    async with engine.connect() as tx:
        assert "events_00003" in (await across.partitions(tx))["events"]
        assert await partitions.room_left(tx) == 3 * across.PARTITION_ROWS
    await record(engine)
    await sequence(engine)
    assert [row.seq for row in await logged(engine)] == [across.PARTITION_ROWS + 1]


async def test_a_partition_created_later_accepts_rows_and_has_the_same_indexes_as_the_first(engine: Database) -> None:
    async with engine.begin() as tx:
        await tx.execute(
            text(f"SELECT setval(pg_get_serial_sequence('events', 'seq'), {3 * across.PARTITION_ROWS - 1})")
        )
    await partitions.create_partitions(engine)
    lead = new_id()
    for version in (1, 2, 3):
        await record(engine, new_event(lead, version))
    assert await sequence(engine) == 3
    indexes = text(
        "SELECT regexp_replace(indexdef, 'events_\\d+\\w*', '', 'g') FROM pg_indexes WHERE tablename = :name"
    )
    async with engine.connect() as tx:
        first, later = [
            sorted((await tx.execute(indexes, {"name": name})).scalars()) for name in ("events_00000", "events_00003")
        ]
    assert len(first) == len(later) == 3
