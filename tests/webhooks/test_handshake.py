"""The handshake of CloudEvents' web hooks: nothing is sent before the receiver agrees, and no more than it allows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from app import ids
from app.events.sequence import sequence
from app.webhooks.handshake import DUE, Consent, consent_of, state_after
from app.webhooks.pace import Pace
from app.webhooks.replays import replay
from app.webhooks.replays.schemas import ReplayCreate
from app.webhooks.schemas import Limits
from tests.api import Api
from tests.waiting import until
from tests.webhooks.conftest import RETRIES, World, inbox
from tests.webhooks.receivers import Connection, receiver

PATH = "/v1/subscriptions"
LEADS = [ids.new_id() for _ in range(3)]
SILENT = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def consent(**headers: str) -> bytes:
    """An answer with consent: `consent(origin="*", rate="60")`."""
    lines = "".join(f"WebHook-Allowed-{name.title()}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n".encode()


@dataclass
class Asked:
    """A receiver that answers OPTIONS with `reply` and takes every POST."""

    reply: bytes
    got: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    async def serve(self, connection: Connection) -> None:
        while True:
            head = (await connection.reader.readuntil(b"\r\n\r\n")).decode()
            start, *lines = head.split("\r\n")[:-2]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            await connection.reader.readexactly(int(headers.get("content-length", 0)))
            method = start.split()[0]
            self.got.append((method, headers))
            await connection.answer(self.reply if method == "OPTIONS" else SILENT)

    @property
    def methods(self) -> list[str]:
        return [method for method, _ in self.got]


@asynccontextmanager
async def asked(reply: bytes) -> AsyncIterator[Asked]:
    made = Asked(reply)
    async with receiver(made.serve) as server:
        made.url = server.url
        yield made


async def created(api: Api, url: str, **members: Any) -> dict[str, Any]:
    limits = {"retry_schedule": RETRIES}
    return dict(await api.post(PATH, {"url": url, "limits": limits, "handshake": True, **members}))


async def handshake(api: Api, made: Mapping[str, Any], status: int = 200) -> dict[str, Any]:
    return dict(await api.post(f"{PATH}/{made['id']}/handshake", None, status=status))


async def state(api: Api, made: Mapping[str, Any]) -> tuple[str, str | None, int | None]:
    shown = await api.get(f"{PATH}/{made['id']}")
    assert (shown["consented_at"] is None) is (shown["state"] == "paused")
    return shown["state"], shown["state_reason"], shown["allowed_rate"]


# --- rules


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, Consent(False, error="origin_not_allowed")),
        ({"origin": ""}, Consent(False, error="origin_not_allowed")),
        ({"origin": "other.example"}, Consent(False, error="origin_not_allowed")),
        ({"origin": "baton.example.org"}, Consent(False, error="origin_not_allowed")),
        ({"origin": "baton.example"}, Consent(True)),
        ({"origin": " Baton.Example "}, Consent(True)),
        ({"origin": "*"}, Consent(True)),
        ({"origin": "*", "rate": "*"}, Consent(True)),
        ({"origin": "*", "rate": "1"}, Consent(True, 1)),
        ({"origin": "baton.example", "rate": "999999999"}, Consent(True, 999_999_999)),
        *(
            ({"origin": "*", "rate": rate}, Consent(False, error="rate_invalid"))
            for rate in ("0", "-1", "1.5", "01", "1000000000", "many", "60 per minute", "٣", "**")
        ),
        ({"origin": "other.example", "rate": "60"}, Consent(False, error="origin_not_allowed")),
    ],
)
def test_a_receiver_consents_to_our_origin_or_to_any_and_may_name_a_rate(
    headers: dict[str, str], expected: Consent
) -> None:
    shown = {f"webhook-allowed-{name}": value for name, value in headers.items()}
    assert consent_of(shown, "baton.example") == expected


@pytest.mark.parametrize(
    ("before", "due", "expected"),
    [
        (("active", None), True, ("paused", DUE)),
        (("active", None), False, ("active", None)),
        (("paused", DUE), False, ("active", None)),
        (("paused", DUE), True, ("paused", DUE)),
        (("paused", "requested"), False, ("paused", "requested")),
        (("paused", "requested"), True, ("paused", "requested")),
        (("disabled", "gone"), False, ("disabled", "gone")),
        (("disabled", "gone"), True, ("disabled", "gone")),
    ],
)
def test_a_due_handshake_pauses_and_consent_starts_only_what_it_paused(
    before: tuple[str, str | None], due: bool, expected: tuple[str, str | None]
) -> None:
    changed = state_after(*before, due)
    assert (changed.get("state", before[0]), changed.get("state_reason", before[1])) == expected


def test_requests_are_spread_evenly_over_the_minute() -> None:
    at = [100.0]
    pace = Pace(6, lambda: at[0])
    assert pace.wait() == 0, "the first one goes at once"
    pace.take()
    assert pace.wait() == 10
    at[0] += 9
    assert pace.wait() == 1
    at[0] += 1
    assert pace.wait() == 0
    pace.take()
    pace.take()
    assert pace.wait() == 20, "one that was sent all the same counts, too"
    at[0] += 3600
    pace.take()
    assert pace.wait() == 10, "what was not used is not made up for"


@pytest.mark.parametrize("rate", [1, 7, 60, 1000])
def test_in_no_minute_there_are_more_than_the_rate(rate: int) -> None:
    at = [0.0]
    pace, sent = Pace(rate, lambda: at[0]), list[float]()
    while at[0] < 180:
        if pace.wait() == 0:
            pace.take()
            sent.append(at[0])
        at[0] += 0.013
    assert all(later - earlier > 59.99 for earlier, later in zip(sent, sent[rate:], strict=False))


def test_without_a_rate_nothing_waits() -> None:
    pace = Pace()
    for _ in range(100):
        pace.take()
    assert pace.wait() == 0


# --- over HTTP


async def test_nothing_is_sent_before_the_receiver_agrees_and_everything_afterwards(delivering: Api) -> None:
    api = delivering
    async with asked(consent(origin="127.0.0.1", rate="6000")) as box, inbox() as other:
        made = await created(api, box.url, types=["lead.captured"])
        assert (made["state"], made["state_reason"], made["handshake"]) == ("paused", DUE, True)
        await api.post(PATH, {"url": other.url, "types": ["lead.captured"]})
        await api.lead()
        await other.until_received(1)
        assert box.methods == []
        answer = await handshake(api, made)
        assert (answer["allowed"], answer["allowed_rate"], answer["code"], answer["error"]) == (True, 6000, 200, None)
        assert await state(api, made) == ("active", None, 6000)
        await until(lambda: box.methods[1:] == ["POST"], "the event of before is sent")
    method, headers = box.got[0]
    assert (method, headers["webhook-request-origin"], headers["user-agent"]) == (
        "OPTIONS",
        "127.0.0.1",
        "Baton-Webhooks/1",
    )
    assert "webhook-signature" not in headers


@pytest.mark.parametrize(
    ("reply", "code", "error"),
    [
        (SILENT, 200, "origin_not_allowed"),
        (consent(origin="other.example"), 200, "origin_not_allowed"),
        (consent(origin="*", rate="0"), 200, "rate_invalid"),
        (consent(origin="*").replace(b"200 OK", b"405 X"), 405, None),
        (consent(origin="*").replace(b"200 OK", b"302 X\r\nLocation: http://127.0.0.1:9/"), 302, "redirect_refused"),
        (b"nonsense\r\n\r\n", None, "protocol_error"),
    ],
)
async def test_without_consent_it_stays_paused_and_the_answer_says_why(
    api: Api, reply: bytes, code: int | None, error: str | None
) -> None:
    async with asked(reply) as box:
        made = await created(api, box.url)
        answer = await handshake(api, made)
        assert (answer["allowed"], answer["allowed_rate"], answer["code"], answer["error"]) == (
            False,
            None,
            code,
            error,
        )
    assert await state(api, made) == ("paused", DUE, None)
    resumed = await api.call("POST", f"{PATH}/{made['id']}/resume")
    assert (resumed.status_code, resumed.json()["code"]) == (409, "state_conflict")


async def test_a_receiver_that_says_no_later_is_paused_and_one_that_is_down_is_not(api: Api) -> None:
    async with asked(consent(origin="*")) as box:
        made = await created(api, box.url)
        await handshake(api, made)
        assert await state(api, made) == ("active", None, None)
        box.reply = SILENT.replace(b"200 OK", b"403 X")
        assert not (await handshake(api, made))["allowed"]
        assert await state(api, made) == ("paused", DUE, None)
        box.reply = consent(origin="*", rate="12")
        await handshake(api, made)
    answer = await handshake(api, made)  # nobody listens any more
    assert (answer["allowed"], answer["code"]) == (False, None)
    assert await state(api, made) == ("active", None, 12)


async def test_consent_is_for_one_url_and_turning_the_handshake_off_starts_without_it(api: Api) -> None:
    async with asked(consent(origin="*", rate="12")) as box:
        made = await created(api, box.url)
        path = f"{PATH}/{made['id']}"
        await handshake(api, made)
        await api.call("PATCH", path, {"url": box.url, "types": ["lead.*"]})
        assert await state(api, made) == ("active", None, 12), "the same URL"
        await api.call("PATCH", path, {"url": f"{box.url}/other"})
        assert await state(api, made) == ("paused", DUE, None)
        await handshake(api, made)
        assert await state(api, made) == ("active", None, 12)
        off = (await api.call("PATCH", path, {"handshake": False})).json()
        assert (off["state"], off["allowed_rate"], off["consented_at"]) == ("active", None, None)
        answer = await api.call("POST", f"{path}/handshake")
        assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
        on = (await api.call("PATCH", path, {"handshake": True})).json()
        assert (on["state"], on["state_reason"]) == ("paused", DUE)
        off = (await api.call("PATCH", path, {"handshake": False})).json()
        assert (off["state"], off["state_reason"]) == ("active", None)


async def test_consent_does_not_start_what_somebody_paused(api: Api) -> None:
    async with asked(consent(origin="*")) as box:
        made = await created(api, box.url)
        paused = await api.post(f"{PATH}/{made['id']}/pause", None, status=200)
        assert paused["state_reason"] == "requested"
        assert (await handshake(api, made))["allowed"]
        shown = await api.get(f"{PATH}/{made['id']}")
        assert (shown["state"], shown["state_reason"]) == ("paused", "requested")
        resumed = await api.post(f"{PATH}/{made['id']}/resume", None, status=200)
        assert resumed["state"] == "active"


# --- the rate


async def test_deliveries_retries_and_replays_keep_the_rate(world: World) -> None:
    at, refusing = [0.0], [True]
    async with (
        inbox(lambda _: 404 if refusing else 204) as box,
        inbox() as other,
        world.dispatcher() as dispatcher,
    ):
        limits = Limits(timeout_seconds=20, retry_schedule=[0.0] * 20)
        limited, _ = await world.subscribe(box.url, limits, types=["lead.updated"])
        await world.rows("UPDATE subscriptions SET allowed_rate = 6 RETURNING 1")
        dispatcher.context.paces[limited, 0] = Pace(clock=lambda: at[0])
        await world.subscribe(other.url)

        async def sent(count: int) -> None:
            await box.until(lambda box: len(box.got) == count)
            unlimited = len(other.got)
            await world.record(LEADS[2], type="lead.scored")
            await sequence(world.engine)
            await dispatcher.read_log()
            await other.until(lambda other: len(other.got) > unlimited)
            assert len(box.got) == count, "another receiver gets more, this one waits"

        await world.record(*LEADS[:2])
        await sequence(world.engine)
        await dispatcher.claim()
        await sent(1)
        at[0] += 9.9
        await sent(1)
        at[0] += 0.1
        await sent(2)
        refusing.clear()
        for n in (3, 4):
            at[0] += 10
            await sent(n)
        async with world.context() as context:
            await replay.create(context.tx, world.tenant_id, limited, ReplayCreate(), context.now)
        await dispatcher.read_requests()
        await sent(4)
        for n in (5, 6):
            at[0] += 10
            await sent(n)
    assert ["webhook-replay" in got.headers for got in box.got] == [False] * 4 + [True] * 2
