"""Merges, forms and activities of the same people at the same time: nothing is lost, nothing twice, no 5xx."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import asyncpg
import pytest

from tests.api import Api
from tests.merging.steps import activity_keys, faults
from tests.submissions.sender import make_sender, process

pytestmark = pytest.mark.own_database


async def test_a_new_person_posted_through_two_sources_at_once_is_one_lead_with_thirty_submissions(api: Api) -> None:
    senders = [await make_sender(api), await make_sender(api)]
    bodies = [{"email": "new@nordsoft.ro", "full_name": "Anna Nowak", "message": f"form {n}"} for n in range(15)]
    posts = [sender.post(body) for body in bodies for sender in senders]
    processing = [asyncio.create_task(process(api)) for _ in range(3)]
    answers = await asyncio.gather(*posts)
    await asyncio.gather(*processing)
    assert {answer.status_code for answer in answers} == {202}
    await process(api)
    (lead,) = (await api.get("/v1/leads"))["data"]
    listed = (await api.get("/v1/submissions", params={"lead_id": lead["id"], "limit": 200}))["data"]
    assert len(listed) == 30
    assert {item["verdict"] for one in listed for item in one["items"]} == {"lead"}
    assert len((await api.get(f"/v1/leads/{lead['id']}/activities?limit=200"))["data"]) == 30
    assert await faults(api) == []


@pytest.mark.parametrize("seed", range(3))
async def test_merges_forms_and_activities_of_the_same_people_lose_nothing(api: Api, seed: int) -> None:
    chance = random.Random(seed)
    manager, sender = await api.user("manager"), await make_sender(api)
    leads = [await api.lead(email=f"p{n}@nordsoft.ro") for n in range(4)]
    posted: list[str] = []
    turn = asyncio.Semaphore(8)  # no more than there are connections, for which a request waits two seconds

    async def activity(n: int) -> None:
        key = f"act-{n}"
        one = {"email": f"p{chance.randrange(4)}@nordsoft.ro", "type": "webinar", "activity_key": key}
        (result,) = (await api.post("/v1/activities", {"activities": [one]}))["data"]
        assert result["recorded"], result
        posted.append(key)

    async def create(n: int) -> None:
        body = {"fields": {"email": f"p{chance.randrange(4)}@nordsoft.ro", "phone": f"+4021555010{n % 10}"}}
        body["activity"] = {"type": "webinar", "activity_key": f"new-{n}"}
        await api.post("/v1/leads", body, status=200)
        posted.append(f"new-{n}")

    async def form(n: int) -> None:
        body = {"email": f"p{chance.randrange(4)}@nordsoft.ro", "message": f"form {n}", "submission_key": f"form-{n}"}
        assert (await sender.post(body)).status_code == 202
        await process(api)

    async def change(_: int) -> None:
        one, other = chance.sample(leads, 2)
        kind, body = chance.choice(
            (("merge", {"into": other["id"]}), ("merge", {"into": other["id"]}), ("unmerge", None))
        )
        answer = await api.call("POST", f"/v1/leads/{one['id']}/{kind}", body, actor=manager)
        assert answer.status_code in (200, 409), answer.text

    steps = [chance.choice((activity, create, form, change, change)) for _ in range(60)]

    async def take(n: int) -> None:
        async with turn:
            await steps[n](n)

    await asyncio.gather(*(take(n) for n in range(len(steps))))
    await process(api)
    assert await faults(api) == []
    own = {lead["id"]: await api.reload(lead) for lead in leads}
    families = {shown["id"]: shown for shown in own.values()}
    found = [key for family in families.values() for key in await activity_keys(api, family)]
    assert set(posted) <= set(found)
    assert len([key for key in found if key in posted]) == len(posted), "each on one lead"
    items = (await api.get("/v1/submissions?limit=200"))["data"]
    assert {item["verdict"] for one in items for item in one["items"]} <= {"lead"}
    assert sum(step is form for step in steps) == len(items)
    entries = [entry for lead_id in families for entry in (await api.get(f"/v1/leads/{lead_id}/score"))["entries"]]
    counted = [entry["activity_id"] for entry in entries if entry["ledger"] == "engagement"]
    assert len(counted) == len(set(counted))
    await no_deadlocks(api)


async def no_deadlocks(api: Api) -> None:
    """Fails if PostgreSQL has ended a transaction of this database because of a deadlock."""
    dsn: Any = api.app.state.settings.database_url.replace("+asyncpg", "")
    await api.app.state.engine.dispose()
    connection = await asyncpg.connect(dsn)
    try:
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        assert await connection.fetchval(query) == 0
    finally:
        await connection.close()
