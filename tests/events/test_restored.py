"""Cursors after the database was restored from a backup: no reader skips an event without an error."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app import ids
from app.database.engine import make_engine
from app.errors import CursorInvalid, LogDiverged
from app.events import across, cursors
from app.events.cursors import Filters
from app.events.sql import Place
from tests.databases import Databases, as_url
from tests.events.conftest import NOW, Service
from tests.events.test_feed import LEAD, read, record, types_of

pytestmark = pytest.mark.own_database


@asynccontextmanager
async def backup(service: Service, server: Databases, dsn: str) -> AsyncIterator[Any]:
    """A copy of the database as it is now; calling what is yielded replaces the database by the copy."""
    await service.engine.dispose()
    name = dsn.partition("?")[0].rpartition("/")[2]
    async with server.clone(name) as copy:
        engine = make_engine(as_url(copy))

        async def restore() -> None:
            await service.engine.dispose()
            service.engine = service.app.state.engine = engine

        yield restore
        await engine.dispose()


async def refused(service: Service, after: str, **asked: Any) -> Any:
    answer = await service.client.get("/v1/events", params={"after": after, **asked})
    assert (answer.status_code, answer.json()["code"]) == (409, "log_diverged")
    return answer.json()


@pytest.mark.parametrize("new_events", [0, 3, 6, 7, 20])
@pytest.mark.parametrize(
    "asked", [{}, {"types": "lead.*"}, {"lead_id": ids.show("lead", LEAD)}], ids=["all", "types", "lead"]
)
async def test_a_reader_of_events_that_the_backup_lacks_is_told_and_misses_nothing(
    service: Service, server: Databases, dsn: str, new_events: int, asked: dict[str, str]
) -> None:
    await record(service, *["lead.old"] * 6)
    early = (await read(service, **asked))["next"]
    async with backup(service, server, dsn) as restore:
        await record(service, *["lead.lost"] * 6)
        page = await read(service, **asked)
        assert len(page["data"]) == 12
        await restore()
        await record(service, *["lead.new"] * new_events)
        problem = await refused(service, page["next"], **asked)
        assert problem["earliest"] == "earliest"
        assert problem["last_event_at"] == NOW.isoformat().replace("+00:00", "Z")
        assert problem["last_event_at"] in problem["detail"]
        for way_on in (problem["last_event_at"], problem["earliest"]):
            found = types_of(await read(service, after=way_on, **asked))
            assert found.count("lead.new") == new_events
        assert types_of(await read(service, after=early, **asked)) == ["lead.new"] * new_events


async def test_a_backup_without_any_event_of_the_tenant_leaves_the_whole_log_to_read(
    service: Service, server: Databases, dsn: str
) -> None:
    empty = (await read(service))["next"]
    async with backup(service, server, dsn) as restore:
        await record(service, "lead.lost", "lead.lost")
        after = (await read(service))["next"]
        await restore()
        await record(service, "lead.new", "lead.new", "lead.new")
        problem = await refused(service, after)
        assert problem["last_event_at"] is None
        assert types_of(await read(service, after=problem["earliest"])) == ["lead.new"] * 3
        assert types_of(await read(service, after=empty)) == ["lead.new"] * 3


async def test_an_event_of_another_tenant_at_the_position_is_not_the_event(
    service: Service, server: Databases, dsn: str
) -> None:
    await record(service, "lead.old")
    async with backup(service, server, dsn) as restore:
        await record(service, "lead.lost")
        after = (await read(service))["next"]
        await restore()
        await record(service, "lead.other", tenant=ids.new_id())
        await record(service, "lead.new")
        await refused(service, after)


async def test_the_start_of_a_subscription_checks_the_cursor_too(service: Service, server: Databases, dsn: str) -> None:
    await record(service, "lead.old")
    async with backup(service, server, dsn) as restore:
        await record(service, "lead.lost")
        after = (await read(service))["next"]
        await restore()
        await record(service, "lead.new")
        async with service.engine.connect() as tx:
            with pytest.raises(LogDiverged):
                await cursors.position_of(tx, service.tenant_id, after, None)


def of_first_release(position: int, filters: Filters) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([1, position, filters.hash()])).decode().rstrip("=")


async def test_a_cursor_of_the_first_release_is_read_where_the_log_reaches_that_far(service: Service) -> None:
    await record(service, *["lead.a"] * 3)
    for position in range(4):
        found = types_of(await read(service, after=of_first_release(position, Filters())))
        assert found == ["lead.a"] * (3 - position)
    assert (await refused(service, of_first_release(4, Filters())))["last_event_at"] is None
    old = {"after": of_first_release(1, Filters(types=("lead.*",)))}
    assert types_of(await read(service, types="lead.*", **old)) == ["lead.a"] * 2
    answer = await service.client.get("/v1/events", params=old)
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")


@pytest.mark.parametrize("release", ["first", "this"])
async def test_a_cursor_whose_event_is_kept_no_more_is_410(service: Service, release: str) -> None:
    await record(service, *["lead.old"] * 3)
    page = await read(service)
    first = int(page["data"][0]["meta"]["position"])
    after = of_first_release(first + 1, Filters()) if release == "first" else page["next"]
    async with service.engine.connect() as tx:
        await tx.execute(text("DROP TABLE event_log_00000"))
        await tx.execute(text("DROP TABLE events_00000"))
        for table, column in (("event_log", "position"), ("events", "seq")):
            await tx.execute(
                text(f"ALTER TABLE {table} ALTER COLUMN {column} RESTART WITH {across.PARTITION_ROWS + 1}")
            )
    await record(service, "lead.new")
    answer = await service.client.get("/v1/events", params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (410, "cursor_expired")
    assert types_of(await read(service, after=answer.json()["earliest"])) == ["lead.new"]
    assert types_of(await read(service, after=(await read(service))["next"])) == []


places = st.builds(Place, st.integers(1, cursors.LAST_POSITION), st.uuids())
filters = st.builds(Filters, st.none() | st.lists(st.text(max_size=4), max_size=3).map(tuple), st.none() | st.uuids())


@given(place=places, made_for=filters, others=filters)
def test_a_cursor_says_what_was_written_and_to_the_same_filters_only(
    place: Place, made_for: Filters, others: Filters
) -> None:
    cursor = cursors.write(place, made_for)
    mark = cursors.read(cursor, made_for)
    assert place.event_id is not None
    assert (mark.position, mark.event) == (place.position, place.event_id.bytes[:8])
    assert cursors.read(cursor, None) == mark
    assert len(cursor) == 34
    if others.hash() != made_for.hash():
        with pytest.raises(CursorInvalid):
            cursors.read(cursor, others)


@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_any_other_text_is_no_cursor_or_one_with_a_position(given_text: str) -> None:
    try:
        mark = cursors.read(given_text, None)
    except CursorInvalid:
        return
    assert 0 <= mark.position <= cursors.LAST_POSITION


@given(st.uuids(), st.uuids())
def test_two_events_at_one_position_have_different_cursors(one: UUID, other: UUID) -> None:
    assert cursors.read(cursors.write(Place(0, None), Filters()), Filters()) == (0, bytes(8))
    same = cursors.write(Place(1, one), Filters()) == cursors.write(Place(1, other), Filters())
    assert same == (one.bytes[:8] == other.bytes[:8])
