"""The stream of events: every event once and in order, over real connections; idle streams hold no connection."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, nullcontext
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from app import ids
from app.errors import TooManyRequests
from app.events import sql, stream, tails
from app.events.record import NewEvent, record_events
from app.events.sequence import sequence
from app.events.stream import HEARTBEAT_SECONDS
from app.events.tails import Tails
from app.events.wake import within
from app.policy.facts import Actor
from app.web import auth, limited_protocol
from app.web.auth import Caller
from app.web.head import HeadAsGet
from tests.events.conftest import NOW, Service, new_client
from tests.events.listening import Listener, streams
from tests.events.test_feed import LEAD, OTHER, forged, read, record
from tests.waiting import until


@pytest.fixture(autouse=True)
def no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 600)


async def got(listener: Listener, *types: str) -> None:
    await until(lambda: listener.types[: len(types)] == list(types), f"{types}, not {listener.types}")


async def test_a_stream_sends_what_the_feed_has_and_then_what_comes(service: Service) -> None:
    await record(service, "lead.captured", "lead.updated")
    async with streams(service) as each:
        listener = await each.open(after="earliest")
        assert listener.response.headers["content-type"].startswith("text/event-stream")
        assert listener.response.headers["cache-control"] == "no-store"
        await got(listener, "lead.captured", "lead.updated")
        await record(service, "lead.converted")
        await got(listener, "lead.captured", "lead.updated", "lead.converted")
    page = await read(service)
    assert [block.data for block in listener.events] == page["data"]
    assert [block.event for block in listener.events] == listener.types
    assert listener.events[-1].id == page["next"], "the ids are cursors of the feed"


@pytest.mark.parametrize("after", ["latest", NOW.isoformat(), "earliest"])
async def test_a_stream_begins_where_it_is_asked_to(service: Service, after: str) -> None:
    await record(service, "lead.a", at=NOW - timedelta(hours=1))
    await record(service, "lead.b")
    expected = {"latest": [], "earliest": ["lead.a", "lead.b"]}.get(after, ["lead.b"])
    async with streams(service) as each:
        listener = await each.open(after=after)
        await record(service, "lead.c")
        await got(listener, *expected, "lead.c")


async def test_the_last_event_id_resumes_and_counts_before_after(service: Service) -> None:
    await record(service, *(f"lead.n{letter}" for letter in "abcd"))
    async with streams(service) as each:
        first = await each.open(after="earliest")
        await got(first, "lead.na", "lead.nb", "lead.nc", "lead.nd")
        for number, block in enumerate(first.events):
            again = await each.open(last=block.id, after="earliest")
            await record(service, "lead.end")
            rest = [other.data["type"] for other in first.events[number + 1 : 4]]
            await got(again, *rest, *["lead.end"] * (number + 1))
        plain = await each.open(last="", after="earliest")
        await got(plain, "lead.na")


async def test_a_stream_that_was_cut_before_its_first_event_misses_none(service: Service) -> None:
    await record(service, "lead.old")
    async with streams(service) as each:
        cut = await each.open(after="latest")
        await cut.close()
        await record(service, "lead.new")
        await got(await each.open(last=cut.last_id, after="latest"), "lead.new")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"types": "lead.*"}, ["lead.captured", "lead.updated", "lead.captured"]),
        ({"types": "lead.captured,policy.*"}, ["lead.captured", "policy.activated", "lead.captured"]),
        ({"types": "*"}, ["lead.captured", "lead.updated", "policy.activated", "lead.captured"]),
        ({"lead_id": ids.show("lead", OTHER)}, ["lead.captured"]),
        ({"lead_id": ids.show("lead", LEAD), "types": "lead.updated"}, ["lead.updated"]),
    ],
    ids=["leads", "two", "all", "lead", "lead and type"],
)
async def test_filters_hold_for_what_was_there_and_for_what_comes(
    service: Service, asked: dict[str, str], expected: list[str]
) -> None:
    async def some() -> None:
        await record(service, "lead.captured", "lead.updated")
        await record(service, "policy.activated", lead_id=None)
        await record(service, "lead.captured", lead_id=OTHER)

    await some()
    async with streams(service) as each:
        listener = await each.open(after="earliest", **asked)
        await got(listener, *expected)
        await some()
        await got(listener, *expected, *expected)
        again = await each.open(last=listener.events[len(expected) - 1].id, **asked)
        await got(again, *expected)
        wrong = await each.ask(last=listener.last_id, types="submission.*")
        assert (wrong.status, (await wrong.json())["errors"][0]["field"]) == (422, "Last-Event-ID")


@pytest.mark.parametrize("kept", [1, 3, 1000])
async def test_a_stream_that_falls_behind_what_is_shared_reads_pages_of_its_own(
    service: Service, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(tails, "KEPT_EVENTS", kept)
    monkeypatch.setattr(tails, "READ_EVENTS", 4)
    monkeypatch.setattr(stream, "PAGE_EVENTS", 2)
    names = [f"lead.n{chr(97 + number)}" for number in range(26)]
    async with streams(service) as each:
        listeners = [await each.open(after="latest") for _ in range(3)]
        async with service.engine.begin() as tx:
            news = [NewEvent(name, {}, NOW, ids.new_id(), 1) for name in names]
            await record_events(tx, service.tenant_id, news, NOW)
        await sequence(service.engine)
        service.wake.set("log")
        for listener in listeners:
            await until(lambda one=listener: len(one.events) >= len(names))  # type: ignore[misc]
            assert sorted(listener.types) == names
            positions = [int(block.data["meta"]["position"]) for block in listener.events]
            assert positions == sorted(set(positions))


async def test_many_streams_share_one_reading_of_an_event(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async with streams(service) as each:
        listeners = [await each.open(after="latest") for _ in range(40)]
        await record(service, "lead.first")
        for listener in listeners:
            await got(listener, "lead.first")
        reads = 0
        read_log = sql.read_log

        async def counted(*args: Any) -> Any:
            nonlocal reads
            reads += 1
            return await read_log(*args)

        monkeypatch.setattr(sql, "read_log", counted)
        await record(service, "lead.second")
        for listener in listeners:
            await got(listener, "lead.first", "lead.second")
        assert reads == 1


async def test_a_thousand_idle_streams_hold_no_connection_to_the_database(service: Service) -> None:
    others = [(await new_client(service.app, ("events:read",)))[0].headers["authorization"][7:] for _ in range(9)]
    async with streams(service) as each:
        listeners = [await each.open(key, after="latest") for key in (each.key, *others) for _ in range(100)]
        pool = service.engine.engine.pool
        await until(lambda: pool.checkedout() == 0)  # type: ignore[attr-defined]
        async with service.engine.connect() as tx:
            count = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
            connections = (await tx.execute(count)).scalar_one()
        assert connections <= pool.size() + pool.overflow() + 1  # type: ignore[attr-defined]
        assert pool.checkedout() <= 1  # type: ignore[attr-defined]
        await record(service, "lead.captured")
        mine, rest = listeners[:100], listeners[100:]
        for listener in mine:
            await got(listener, "lead.captured")
        assert all(not listener.events for listener in rest), "events of another tenant"
        assert service.app.state.tails._open == 1000
        for listener in listeners:
            await listener.close()
        await until(lambda: service.app.state.tails._open == 0)


async def test_an_idle_stream_gets_heartbeats_whose_cursor_moves_past_what_is_filtered_out(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HEARTBEAT_SECONDS == 15
    monkeypatch.setattr(stream, "HEARTBEAT_SECONDS", 0.05)
    async with streams(service) as each:
        listener = await each.open(after="latest", types="lead.converted")
        begun = listener.last_id
        await record(service, "lead.captured", "lead.updated")
        await until(lambda: listener.last_id != begun)
        assert {block.comment for block in listener.blocks[1:]} == {"heartbeat"}
        assert listener.events == []
        assert listener.last_id == (await read(service, types="lead.converted"))["next"]


async def test_a_stream_ends_after_its_lifetime_and_is_continued(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stream.LIFETIME_SECONDS == 900
    monkeypatch.setattr(stream, "LIFETIME_SECONDS", 0.2)
    await record(service, "lead.captured")
    async with streams(service) as each:
        listener = await each.open(after="earliest")
        await until(lambda: listener.ended)
        assert listener.response.content.exception() is None, "the response is complete, not cut"
        await record(service, "lead.updated")
        await got(await each.open(last=listener.last_id), "lead.updated")


async def test_streams_end_at_once_when_the_process_is_about_to_stop_and_new_ones_are_refused(
    service: Service,
) -> None:
    async with streams(service) as each:
        listener = await each.open(after="latest")
        waiting = asyncio.create_task(read(service, after="latest", wait=30))
        await until(lambda: service.app.state.waiters.waiting == 1)
        service.app.state.tails.end()
        await until(lambda: listener.ended)
        assert (await each.ask()).status == 503
        assert (await asyncio.wait_for(waiting, 25))["data"] == [], "a page that waits is answered, too"


@pytest.mark.parametrize("how", ["revoked_at", "expires_at"])
async def test_a_stream_ends_soon_after_its_key_is_revoked_or_has_expired(
    service: Service, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(tails, "KEYS_SECONDS", 0.0)
    other, _ = await new_client(service.app, ("events:read",))
    key = other.headers["authorization"][7:]
    async with streams(service) as each:
        ended, kept = await each.open(key, after="latest"), await each.open(after="latest")
        async with service.engine.begin() as tx:
            found = {"sha": auth.fingerprint(key)}
            await tx.execute(text(f"UPDATE keys SET {how} = now() WHERE secret_sha256 = :sha"), found)
        await until(lambda: ended.ended)
        await record(service, "lead.captured")
        await got(kept, "lead.captured")
        auth.clear_cache()
        assert (await each.ask(key)).status == 401


@pytest.mark.parametrize("after", ["x", "now", forged(1, 0, "x"), "2026-03-02T12:00:00"])
@pytest.mark.parametrize("by", ["after", "Last-Event-ID"])
async def test_an_invalid_cursor_is_refused_before_the_stream_begins(service: Service, after: str, by: str) -> None:
    async with streams(service) as each:
        answer = await each.ask(after=after) if by == "after" else await each.ask(last=after)
        problem = await answer.json()
        assert (answer.status, problem["code"]) == (422, "cursor_invalid")
        assert [fault["field"] for fault in problem["errors"]] == [by]


async def test_a_key_without_the_scope_opens_no_stream(service: Service) -> None:
    other, _ = await new_client(service.app, ("leads:read",))
    async with streams(service) as each:
        answer = await each.ask(other.headers["authorization"][7:])
        assert (answer.status, (await answer.json())["code"]) == (403, "scope_missing")
        assert (await each.ask(include="lead")).status == 403
        assert (await each.ask(foo="bar")).status == 422
        assert (await each.ask("btn_nobody")).status == 401


async def test_a_tenant_leaves_streams_to_others(service: Service) -> None:
    other, _ = await new_client(service.app, ("events:read",))
    key = other.headers["authorization"][7:]
    service.app.state.tails.most = 12
    async with streams(service) as each:
        mine = [await each.open(after="latest") for _ in range(10)]
        refused = await each.ask()
        assert (refused.status, (await refused.json())["code"]) == (429, "too_many_requests")
        assert refused.headers["retry-after"] == "1"
        theirs = [await each.open(key, after="latest") for _ in range(2)]
        assert (await each.ask(key)).status == 503, "none is free"
        await record(service, "lead.captured")
        for listener in mine:
            await got(listener, "lead.captured")
        await theirs[0].close()
        await until(lambda: service.app.state.tails._open == 11)
        await each.open(key, after="latest")


@pytest.mark.parametrize(("own", "free", "taken"), [(9, 2, True), (10, 2, False), (4, 1, True), (5, 1, False)])
async def test_a_tenant_may_have_five_times_as_many_streams_as_remain_free(
    service: Service, own: int, free: int, taken: bool
) -> None:
    caller = Caller(service.tenant_id, ids.new_id(), "", frozenset(), Actor("", "service", "service"))
    limited = Tails(service.app.state, 1_000)
    with ExitStack() as stack:
        for _ in range(own):
            stack.enter_context(limited.opened(caller))
        limited.most = own + free
        with nullcontext() if taken else pytest.raises(TooManyRequests), limited.opened(caller):
            pass
    await limited.close()


async def test_a_head_request_of_a_stream_is_answered_and_ends(service: Service) -> None:
    service.app.add_middleware(HeadAsGet, but=())
    answer = await service.client.head("/v1/events", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert service.app.state.tails._open == 0


@pytest.mark.parametrize("accept", ["*/*", "application/json", "text/event-stream;q=0.1, application/json", "text/*"])
async def test_without_asking_for_a_stream_the_answer_is_a_page(service: Service, accept: str) -> None:
    answer = await service.client.get("/v1/events", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"


async def test_a_reader_that_takes_no_bytes_is_written_no_more_and_closed_while_others_go_on(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_protocol, "STALL_SECONDS", 0.2)
    async with streams(service) as each:
        url = urlsplit(each.url)
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(stuck, (url.hostname, url.port))
        asked = ("GET /v1/events?after=latest HTTP/1.1", "Host: a", "Accept: text/event-stream")
        head = "\r\n".join((*asked, f"Authorization: Bearer {each.key}", "", ""))
        await loop.sock_sendall(stuck, head.encode())
        await until(lambda: service.app.state.tails._open == 1)
        well = await each.open(after="latest")
        written = 0
        while service.app.state.tails._open == 2:
            async with service.engine.begin() as tx:
                news = [NewEvent("lead.updated", {"text": "x" * 15_000}, NOW, LEAD, 1)] * 50
                await record_events(tx, service.tenant_id, news, NOW)
            await sequence(service.engine)
            service.wake.set("log")
            written += 50
            await until(lambda: len(well.events) == written)  # noqa: B023
            await within(0.05, asyncio.sleep(1))
        assert not well.ended
        stuck.close()
