"""Concurrent requests for one lead: one succeeds, the others are refused, and the transitions stay consistent."""

from __future__ import annotations

import asyncio

from app.journeys.verify import verify
from tests.api import Api


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
