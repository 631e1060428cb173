"""What happens when a clock is breached or a stage goes stale, once, whatever happens to the workers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.database.transaction import CommitOutcomeUnknown
from app.journeys.refresh import refresh_due
from tests.api import Api
from tests.journeys.test_clocks import HOUR, refresh, runs
from tests.journeys.test_time import events_of_type, pass_time
from tests.rules.make import WATERFALL, altered

RECYCLE = {"do": "recycle", "reason_code": "stalled"}


def reacting(*reactions: dict[str, Any], **members: Any) -> Callable[[dict[str, Any]], None]:
    """A change of a policy: what the breach of the response clock does, and further members of the document."""

    def change(document: dict[str, Any]) -> None:
        document["clocks"]["response"]["on_breach"] = list(reactions)
        document.update(members)

    return change


async def test_a_breach_recycles_the_lead_as_the_policy_says(api: Api) -> None:
    await api.publish(altered(WATERFALL, reacting({"emit": "lead.sla_breached"}, RECYCLE)))
    lead, sdr = await api.mql(), await api.user("sdr")
    await api.ask(lead, "accept", sdr)
    await pass_time(api, 5 * HOUR)
    after = await api.reload(lead)
    assert (after["stage"], after["owner_id"], after["sla"]) == ("recycled", None, None)
    (last,) = [row for row in (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"] if row["to"] == "recycled"]
    assert (last["actor"]["kind"], last["reason_code"]) == ("policy", "stalled")
    assert len(await events_of_type(api, "lead.sla_breached")) == 1
    assert await runs(api, lead) == [("response", "breached")]


@pytest.mark.parametrize(("minutes", "acceptance", "told"), [(10, "breached", 1), (20, "stopped", 0)])
async def test_a_breach_that_ends_the_journey_stops_only_the_clocks_that_are_not_breached_by_then(
    api: Api, minutes: int, acceptance: str, told: int
) -> None:
    def two_clocks(document: dict[str, Any]) -> None:
        document["clocks"] = {
            "response": {"minutes": 10, "met_by": "contact_attempt", "on_breach": [RECYCLE]},
            "acceptance": {"minutes": minutes, "met_by": "accept", "on_breach": [{"emit": "lead.sla_breached"}]},
        }
        qualify = next(action for action in document["actions"] if action["name"] == "qualify")
        qualify["effects"].append({"start_clock": "acceptance"})

    await api.publish(altered(WATERFALL, two_clocks))
    lead = await api.mql()
    await pass_time(api, 1)
    await refresh(api)
    assert sorted(await runs(api, lead)) == [("acceptance", acceptance), ("response", "breached")]
    assert len(await events_of_type(api, "lead.sla_breached")) == told


async def test_a_clock_that_waits_for_an_action_is_met_by_it(api: Api) -> None:
    def until_accepted(document: dict[str, Any]) -> None:
        document["clocks"]["response"]["met_by"] = "accept"

    await api.publish(altered(WATERFALL, until_accepted))
    sdr = await api.user("sdr")
    for minutes, state in ((60, "met"), (300, "breached")):
        lead = await api.mql()
        api.clock.ahead += timedelta(minutes=minutes)
        assert (await api.ask(lead, "accept", sdr)).json()["lead"]["sla"]["state"] == state


async def test_what_the_policy_cannot_do_at_a_breach_is_left_and_not_tried_again(api: Api) -> None:
    await api.publish(altered(WATERFALL, reacting({"do": "recycle", "reason_code": "unreachable"})))
    lead = await api.mql()
    await pass_time(api, 5 * HOUR)
    assert (await api.reload(lead))["stage"] == "mql", "an unreachable lead needs three attempts"
    for _ in range(3):
        await api.add_activity(lead, "call", kind="contact_attempt")
    await pass_time(api, 1)
    after = await api.reload(lead)
    assert (after["stage"], after["sla"]["state"]) == ("mql", "breached")


async def test_a_breach_escalates_to_the_pool_of_the_managers(api: Api) -> None:
    routing = {**WATERFALL.model_dump(mode="json", exclude_unset=True)["routing"]}
    routing["escalation"] = {"role": "manager", "method": "pool"}
    unless_called = {"not": {"attempts": {"at_least": 1}}}
    change = reacting({"assign": "escalation", "if": unless_called}, routing=routing)
    await api.publish(altered(WATERFALL, change))
    lead, sdr, manager = await api.mql(), await api.user("sdr"), await api.user("manager")
    await api.ask(lead, "accept", sdr)
    await pass_time(api, 5 * HOUR)
    assert (await api.reload(lead))["owner_id"] is None
    told = (await events_of_type(api, "lead.assigned"))[-1]
    assert told == {"lead_id": lead["id"], "owner_id": None, "previous_owner_id": sdr, "pool": "manager"}
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": manager})).status_code == 200


def going_stale(days: int, *stages: str) -> Callable[[dict[str, Any]], None]:
    """A change of a policy: these stages go stale after so many days."""

    def change(document: dict[str, Any]) -> None:
        for stage in document["stages"]:
            if stage["name"] in stages:
                stage["stale_after_days"] = days

    return change


async def test_a_stage_goes_stale_once_for_each_stay(api: Api) -> None:
    await api.publish(altered(WATERFALL, going_stale(10, "mql", "sal", "recycled")))
    lead, sdr = await api.mql(), await api.user("sdr")
    await pass_time(api, 9)
    assert (await api.reload(lead))["stalled_since"] is None
    await pass_time(api, 1.01)
    since = datetime.fromisoformat(lead["stage_entered_at"]) + timedelta(days=10)
    for _ in range(2):
        shown = (await api.reload(lead))["stalled_since"]
        assert datetime.fromisoformat(shown) == since
        await pass_time(api, 5)
    (told,) = await events_of_type(api, "lead.stalled")
    assert (told["stage"], told["stalled_since"], told["stage_entered_at"]) == ("mql", shown, lead["stage_entered_at"])
    assert (await api.ask(lead, "accept", sdr)).json()["lead"]["stalled_since"] is None
    await pass_time(api, 11)
    await api.ask(lead, "recycle", sdr, reason_code="timing")
    await pass_time(api, 11)
    assert [one["stage"] for one in await events_of_type(api, "lead.stalled")] == ["mql", "sal", "recycled"]
    await api.ask(lead, "disqualify", sdr, reason_code="no_need")
    assert (await api.reload(lead))["stalled_since"] is None


async def test_two_workers_tell_every_breach_and_every_wake_up_once(api: Api) -> None:
    sdr = await api.user("sdr")
    leads = [await api.mql() for _ in range(8)]
    for lead in leads[:4]:
        await api.ask(lead, "recycle", sdr, reason_code="timing", wake_at=api.ago(hours=-2))
    api.clock.ahead += timedelta(hours=5)
    for _ in range(3):
        await asyncio.gather(*(refresh_due(api.app.state.engine, api.clock.now) for _ in range(4)))
    for type_, told_of in (("lead.recycle_due", leads[:4]), ("lead.sla_breached", leads[4:])):
        told = [one["lead_id"] for one in await events_of_type(api, type_)]
        assert sorted(told) == sorted(lead["id"] for lead in told_of)


async def test_a_worker_that_is_killed_before_the_commit_has_told_nothing_and_the_next_one_tells_it(api: Api) -> None:
    lead = await api.mql()
    api.clock.ahead += timedelta(hours=5)
    engine = api.app.state.engine
    async with engine.begin() as tx:  # breaks the commit as the death of a worker does
        await tx.execute(
            text(
                "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
            )
        )
        await tx.execute(
            text(
                "CREATE CONSTRAINT TRIGGER dying AFTER INSERT OR UPDATE ON clock_runs DEFERRABLE INITIALLY DEFERRED"
                " FOR EACH ROW EXECUTE FUNCTION die()"
            )
        )
    with pytest.raises(CommitOutcomeUnknown):
        await refresh_due(engine, api.clock.now)
    assert await events_of_type(api, "lead.sla_breached") == []
    async with engine.begin() as tx:
        await tx.execute(text("DROP TRIGGER dying ON clock_runs"))
    await refresh(api)
    assert [one["lead_id"] for one in await events_of_type(api, "lead.sla_breached")] == [lead["id"]]


async def evaluator(api: Api) -> asyncio.subprocess.Process:
    url = api.app.state.settings.database_url
    module = "tests.journeys.evaluator"
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, url, api.now.isoformat(), stdout=asyncio.subprocess.PIPE
    )


async def test_workers_that_are_killed_tell_nothing_twice_and_leave_nothing_untold(api: Api) -> None:
    leads = await asyncio.gather(*(api.mql() for _ in range(30)))
    api.clock.ahead += timedelta(hours=5)
    for _ in range(2):
        workers = await asyncio.gather(evaluator(api), evaluator(api))
        for worker in workers:
            assert worker.stdout is not None
            await worker.stdout.readline()  # it has evaluated leads, or the others have left it none
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()
    await refresh(api)
    told = [one["lead_id"] for one in await events_of_type(api, "lead.sla_breached")]
    assert sorted(told) == sorted(lead["id"] for lead in leads)
