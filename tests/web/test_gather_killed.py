"""A service that is killed with a batch in flight has done all of it or nothing, and each request can be sent again."""

from __future__ import annotations

import asyncio
import signal

import httpx

from tests.api import Api
from tests.bootstrap.test_serve import Start, start  # noqa: F401
from tests.submissions.sender import count
from tests.waiting import TIMEOUT_SECONDS, until

KEYS = "test:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # those of the fixture `settings`
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
SENDERS = 20


async def test_requests_of_a_killed_batch_are_done_once_when_they_are_sent_again(
    api: Api,
    dsn: str,
    start: Start,  # noqa: F811
) -> None:
    known = [await api.lead() for _ in range(SENDERS)]
    settings = {"BATON_DATABASE_URL": dsn, "BATON_SECRET_KEYS": KEYS, "BATON_ROLES": "api"}

    async def send_all(address: str) -> list[httpx.Response | BaseException]:
        """Creates leads and records activities, each with its key, all at once."""
        headers = dict(api.client.headers) | {"Authorization": f"Bearer {api.key}"}
        async with httpx.AsyncClient(base_url=address, headers=headers, timeout=TIMEOUT_SECONDS) as client:
            posts = [
                client.post(path, json=body, headers={"Idempotency-Key": f"{kind}-{n}"})
                for n, lead in enumerate(known)
                for kind, path, body in (
                    ("create", "/v1/leads", {"fields": {"email": f"n{n}@killed.example"}}),
                    ("activity", f"/v1/leads/{lead['id']}/activities", {"type": "page_view"}),
                )
            ]
            return await asyncio.gather(*posts, return_exceptions=True)

    first = await asyncio.to_thread(start("serve", **settings).ready)
    async with api.app.state.engine.begin() as tx:
        await tx.command("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE")
        sending = asyncio.create_task(send_all(first.address))
        await until(lambda: _at_least(api, WAITING, 2), "a batch of each verb waits for the lock")
        first.process.send_signal(signal.SIGKILL)
        killed = await sending
    assert all(isinstance(one, httpx.TransportError) for one in killed)
    await until(lambda: _none(api, WAITING), "the server has noticed the end of the process")
    activities = "SELECT count(*) FROM activities WHERE type = 'page_view'"
    assert await count(api, "SELECT count(*) FROM leads") == SENDERS
    assert await count(api, activities) == 0

    second = await asyncio.to_thread(start("serve", **settings).ready)
    answers, repeated = await send_all(second.address), await send_all(second.address)
    for one, again in zip(answers, repeated, strict=True):
        assert isinstance(one, httpx.Response)
        assert isinstance(again, httpx.Response)
        assert (one.status_code, again.status_code, again.json()) == (201, 201, one.json())
    assert await count(api, "SELECT count(*) FROM leads") == 2 * SENDERS
    assert await count(api, activities) == SENDERS


async def _at_least(api: Api, query: str, number: int) -> bool:
    return await count(api, query) >= number


async def _none(api: Api, query: str) -> bool:
    return await count(api, query) == 0
