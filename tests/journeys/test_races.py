"""Concurrent requests for one lead: one succeeds, the others are refused, and the transitions stay consistent."""

from __future__ import annotations

import asyncio

import httpx

from app.journeys.verify import verify
from app.settings import Settings
from app.web.application import create_app
from tests.api import Api, running


async def test_of_twenty_concurrent_accepts_exactly_one_succeeds(api: Api) -> None:
    lead = await api.mql()
    people = [await api.user("sdr") for _ in range(5)]
    answers = await asyncio.gather(*(api.ask(lead, "accept", people[n % 5]) for n in range(20)))
    won = [answer for answer in answers if answer.status_code == 201]
    lost = {answer.json()["code"] for answer in answers if answer.status_code != 201}
    assert len(won) == 1
    assert lost == {"already_in_stage"}
    assert won[0].json()["lead"]["owner_id"] in people
    assert await api.steps(lead) == [(None, "inquiry"), ("inquiry", "mql"), ("mql", "sal")]


async def test_of_claims_through_two_services_on_one_database_exactly_one_succeeds(settings: Settings) -> None:
    async with running(settings) as api:
        second = create_app(settings.model_copy(update={"roles": ()}))
        transport = httpx.ASGITransport(second)
        async with (
            second.router.lifespan_context(second),
            httpx.AsyncClient(transport=transport, base_url="http://second.example") as client,
        ):
            other = Api(second, client, api.key, api.tenant_id)
            people = [await api.user("sdr") for _ in range(4)]
            for lead in [await api.mql() for _ in range(5)]:
                claims = (door.ask(lead, "accept", person) for person in people for door in (api, other))
                answers = await asyncio.gather(*claims)
                (won,) = [answer.json()["lead"] for answer in answers if answer.status_code == 201]
                assert {answer.json()["code"] for answer in answers if answer.status_code != 201} == {
                    "already_in_stage"
                }
                for door in (api, other):
                    shown = await door.reload(lead)
                    assert (shown["owner_id"], shown["stage"]) == (won["owner_id"], "sal")


async def test_concurrent_changes_of_all_kinds_make_one_version_each_and_a_valid_log(api: Api) -> None:
    lead, sdr = await api.mql(), await api.user("sdr")
    before = lead["version"]
    path = f"/v1/leads/{lead['id']}"
    answers = await asyncio.gather(
        *(api.call("PATCH", path, {"fields": {"message": str(n)}}) for n in range(5)),
        *(api.call("POST", f"{path}/activities", {"type": "webinar"}) for _ in range(5)),
        *(api.call("PUT", f"{path}/bant", {"need": {"status": "confirmed"}}, actor=sdr) for _ in range(5)),
        *(api.ask(lead, "accept", sdr) for _ in range(5)),
    )
    done = sum(answer.status_code in (200, 201) for answer in answers)
    assert done == 16
    assert all(answer.status_code in (200, 201, 409) for answer in answers)
    assert (await api.reload(lead))["version"] == before + done
    assert [one.faults async for one in verify(api.app.state.engine)] == [()]
