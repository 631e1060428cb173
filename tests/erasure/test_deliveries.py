"""A person is erased in the middle of deliveries: nothing that names them is sent afterwards, and no answer is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.database.transaction import Database
from app.events.sequence import sequence
from app.events.wake import Wake
from app.ids import new_id
from app.settings import Settings
from app.webhooks.deliver import Dispatcher
from app.webhooks.lane import FRESH_SECONDS, Item
from tests.api import Api
from tests.erasure.people import erase, finish, where
from tests.waiting import until
from tests.webhooks.conftest import Got, Inbox, World, inbox
from tests.webhooks.test_lane import event

EMAIL = "ada.lovelace@engine.example"
PERSON = {"email": EMAIL, "full_name": "Ada Lovelace", "phone": "+40721555123"}
NEEDLES = ["ada.lovelace", "lovelace", "721555123"]
ECHO = b"HTTP/1.1 %d X\r\nContent-Length: 19\r\n\r\nthanks Ada Lovelace"


@asynccontextmanager
async def dispatching(api: Api, settings: Settings, url: str) -> AsyncIterator[Dispatcher]:
    """A dispatcher that claims lanes only when the test says so."""
    engine: Database = api.app.state.engine
    async with World(engine, url, settings, Wake(url), api.tenant_id).dispatcher() as made:
        yield made


async def subscribe(api: Api, url: str, **more: Any) -> str:
    limits = {"concurrency": 1, "timeout_seconds": 20}
    body = {"url": url, "types": ["lead.*"], "start": "earliest", "include": ["lead"], "limits": limits, **more}
    return str((await api.post("/v1/subscriptions", body))["id"])


async def publish(api: Api, dispatcher: Dispatcher) -> None:
    """Give all recorded events their positions, and start or tell the lanes."""
    while await sequence(api.app.state.engine):
        pass
    await dispatcher.claim()
    await dispatcher.read_log()


def read_all(dispatcher: Dispatcher, position: int) -> Callable[[], bool]:
    return lambda: all(lane.lane.read_to >= position for lane in dispatcher.lanes.values())


async def head(api: Api) -> int:
    async with api.app.state.engine.connect() as tx:
        return int(await tx.driver.fetchval("SELECT max(position) FROM event_log"))


async def settled(api: Api) -> bool:
    """Whether each lane has settled the whole log, and no delivery waits."""
    query = """SELECT (SELECT bool_and(position >= (SELECT max(position) FROM event_log)) FROM lanes)
               AND NOT EXISTS (SELECT FROM delivery_retries WHERE state <> 'dead')"""
    async with api.app.state.engine.connect() as tx:
        return bool(await tx.driver.fetchval(query))


def naming(box: Inbox) -> list[str]:
    """The types of the requests that name the person."""
    return [got.event["type"] for got in box.got if any(one.encode() in got.body.lower() for one in NEEDLES)]


class Slow:
    """Answers its first request when the test says so, and names the person where it is told of them."""

    def __init__(self) -> None:
        self.open, self.asked = asyncio.Event(), 0

    async def __call__(self, got: Got) -> bytes:
        self.asked += 1
        if self.asked == 1:
            await self.open.wait()
        about = got.event["data"].get("erased") or got.event["type"] == "lead.erased" or b"ovelace" in got.body
        return ECHO % 200 if about else b"HTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n"


async def later() -> None:
    """Until everything that a lane has read by now has to be read again."""
    await asyncio.sleep(FRESH_SECONDS + 0.05)


async def test_what_lanes_have_read_before_the_erasure_is_sent_as_tombstones(
    api: Api, settings: Settings, url: str
) -> None:
    slow, consenting = Slow(), Slow()
    async with inbox(slow) as box, inbox(consenting) as agreed, dispatching(api, settings, url) as dispatcher:
        await subscribe(api, box.url)
        await subscribe(api, agreed.url, filter={"consent": ["email_marketing"]})
        other = await api.lead(email="grace@navy.example")
        lead = await api.lead(**PERSON)
        for one in (other, lead):
            said = {"consents": [{"purpose": "email_marketing", "state": "given"}]}
            assert (await api.call("PUT", f"/v1/leads/{one['id']}/consents", said)).status_code == 200
            assert (await api.call("PATCH", f"/v1/leads/{one['id']}", {"fields": {"company": "X"}})).status_code == 200
        await publish(api, dispatcher)
        await until(read_all(dispatcher, await head(api)), "all events are in memory")
        await until(lambda: slow.asked == consenting.asked == 1, "a delivery is under way")
        await erase(api, lead, steps=False)
        await later()
        slow.open.set()
        consenting.open.set()
        await publish(api, dispatcher)
        await until(lambda: settled(api), "all is delivered")
    assert [naming(box), naming(agreed)] == [[], []]
    of_lead = [got.event for got in box.got if got.lead == lead["id"]]
    assert [one["data"]["lead"] for one in of_lead if one["type"] != "lead.erased"] == [None] * (len(of_lead) - 1)
    assert {"lead.captured", "lead.stage_changed", "lead.updated"} <= {one["type"] for one in of_lead}
    assert [got.event["type"] for got in agreed.got if got.lead == lead["id"]] == ["lead.erased"]
    await finish(api)
    assert await where(api, NEEDLES) == []
    updated = [got.event["data"]["lead"] for got in box.got if got.event["type"] == "lead.updated"]
    assert [one and one["id"] for one in updated] == [other["id"], None]


@pytest.mark.parametrize("status", [200, 500])
async def test_the_answer_to_a_delivery_under_way_is_not_kept_and_its_retry_names_nobody(
    api: Api, settings: Settings, url: str, status: int
) -> None:
    async def answer(got: Got) -> bytes:
        held = not open_.is_set() and got.event["type"] == "lead.captured"
        await open_.wait()
        return ECHO % (status if held else 200)

    open_ = asyncio.Event()
    async with inbox(answer) as box, dispatching(api, settings, url) as dispatcher:
        await subscribe(api, box.url)
        lead = await api.lead(**PERSON)
        await publish(api, dispatcher)
        await until(lambda: len(box.got) == 1, "the first delivery is under way")
        await erase(api, lead, steps=False)
        open_.set()
        await publish(api, dispatcher)
        if status == 500:  # given up at once: the dispatcher of tests has no retries
            dead = "SELECT count(*) FROM delivery_retries WHERE state = 'dead'"
            await until(lambda: reached(api, dead, 1), "the delivery is given up")
        await until(lambda: settled(api), "all is settled")
    assert naming(box)[0] == "lead.captured", "it was under way when the person was erased"
    assert {got.event["type"] for got in box.got} >= {"lead.erased"}
    await finish(api)
    assert await where(api, NEEDLES) == []
    assert await counted(api, "SELECT count(*) FROM attempts") > 0


async def counted(api: Api, query: str) -> int:
    async with api.app.state.engine.connect() as tx:
        return int(await tx.driver.fetchval(query))


async def test_retries_that_wait_and_dead_deliveries_are_sent_as_tombstones(
    api: Api, settings: Settings, url: str
) -> None:
    refuses = True

    def answer(got: Got) -> bytes:
        return ECHO % (500 if refuses and got.lead == lead["id"] else 200)

    async with inbox(answer) as waiting, inbox(answer) as dead:
        lead = await api.lead(**PERSON)
        late = await subscribe(api, waiting.url, limits={"concurrency": 1, "retry_schedule": [0, 3600]})
        blocked = await subscribe(api, dead.url, on_dead="block")
        rows = "SELECT count(*) FROM delivery_retries WHERE state = 'held' AND subscription_id IN (SELECT"
        rows += " subscription_id FROM delivery_retries WHERE state = 'dead' OR next_at > now() + interval '1 minute')"
        async with dispatching(api, settings, url) as dispatcher:
            await publish(api, dispatcher)
            await until(lambda: reached(api, rows, 2), "events wait behind a retry and behind a dead delivery")
        assert await where(api, ["lovelace"]) != []
        before = [len(box.got) for box in (waiting, dead)]
        await erase(api, lead, steps=False)
        refuses = False
        for listed in (await api.get(f"/v1/subscriptions/{late}/deliveries", params={"state": "retry"}))["data"]:
            path = f"/v1/subscriptions/{late}/deliveries/{listed['position']}/retry"
            await api.post(path, None, status=200)
        await api.post(f"/v1/subscriptions/{blocked}/deliveries/retry", {"lead_ids": [lead["id"]]}, status=200)
        async with dispatching(api, settings, url) as dispatcher:
            await publish(api, dispatcher)
            await dispatcher.read_requests()
            await until(lambda: settled(api), "all is delivered")
        sent = [got for box, n in zip((waiting, dead), before, strict=True) for got in box.got[n:]]
    assert [got.event["type"] for got in sent if b"ovelace" in got.body] == []
    assert [got.event["type"] for got in sent].count("lead.erased") == 2
    assert [got.event["type"] for got in sent].count("lead.captured") == 2
    await finish(api)
    assert await where(api, NEEDLES) == []


async def reached(api: Api, query: str, number: int) -> bool:
    return await counted(api, query) >= number


@pytest.mark.parametrize(("seconds", "late"), [(FRESH_SECONDS - 0.01, False), (FRESH_SECONDS, False), (1.01, True)])
def test_what_was_read_more_than_a_second_ago_is_read_again(seconds: float, late: bool) -> None:
    assert Item(event(1, new_id()), read_at=0.0).is_late(seconds) is late
