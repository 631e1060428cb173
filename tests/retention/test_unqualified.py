"""A lead that never qualified is erased when nobody has taken an interest in it for a time (docs/retention.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from app import ids
from app.commands.administration import verify_all
from app.commands.retention import remove_or_count
from app.events.sequence import sequence
from app.journeys.refresh import refresh_due
from app.retention import unqualified_sql
from app.retention.run import run_due
from tests.api import Api
from tests.conversion.steps import BANT, converted, moved, sql_lead
from tests.erasure.people import reports, where
from tests.expiry.steps import PERIODS
from tests.imports.lists import make_lists, process_lists, table
from tests.merging.steps import merged, unmerged
from tests.retention.test_retention import attempts, change, keep, run_all, would_remove
from tests.submissions.sender import count, make_sender
from tests.waiting import until

DAYS: Final = 100
EMAIL: Final = "ada.lovelace@engine.example"
PERSON: Final = {"email": EMAIL, "full_name": "Ada Lovelace"}
Lead = dict[str, Any]
Do = Callable[[Api, Lead], Awaitable[Any]]


async def later(api: Api, **span: int) -> None:
    """Moves the clock, and evaluates the leads that time has changed."""
    api.clock.ahead += timedelta(**span)
    while await refresh_due(api.app.state.engine, api.clock.now):
        pass


async def erased(api: Api) -> int:
    """How many leads a run erases, which has to be what was counted before."""
    await keep(api, unqualified_days=DAYS)
    counted = (await would_remove(api))["unqualified"]
    assert (await run_all(api)).get("unqualified", 0) == counted
    assert (await would_remove(api))["unqualified"] == 0
    return int(counted)


async def is_gone(api: Api, lead: Lead) -> bool:
    return (await api.call("GET", f"/v1/leads/{lead['id']}")).status_code == 410


async def interest(api: Api, lead: Lead) -> None:
    await api.add_activity(lead, "webinar")


async def attempt(api: Api, lead: Lead) -> None:
    await api.add_activity(lead, "call")


async def form(api: Api, lead: Lead) -> None:
    sender = await make_sender(api)
    made = await sender.post_and_process({"email": lead["fields"]["email"], "message": "again"})
    assert made["items"][0]["lead_id"] == lead["id"]


async def consent(api: Api, lead: Lead) -> None:
    await say(api, lead, "given")


async def bant(api: Api, lead: Lead) -> None:
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/bant", BANT, actor=await api.user("sdr"))
    assert answer.status_code == 200, answer.text


async def disqualified(api: Api, lead: Lead) -> None:
    await moved(api, lead, "disqualify", await api.user("marketing"), reason_code="no_need")


async def changed(api: Api, lead: Lead) -> None:
    await patch(api, lead, {"fields": {"company": "Nordsoft"}}, await api.user("marketing"))


async def owned(api: Api, lead: Lead) -> None:
    await patch(api, lead, {"owner_id": await api.user("sdr")}, await api.user("manager"))


async def joined(api: Api, lead: Lead) -> None:
    await merged(api, await api.lead(), lead)


async def say(api: Api, lead: Lead, state: str) -> None:
    body = {"consents": [{"purpose": "email_marketing", "state": state}]}
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", body)
    assert answer.status_code == 200, answer.text


async def patch(api: Api, lead: Lead, body: dict[str, Any], actor: str | None = None) -> None:
    answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", body, actor=actor)
    assert answer.status_code == 200, answer.text


INTEREST: Final = (interest, attempt, form, consent, bant, disqualified, changed, owned, joined)


@pytest.mark.parametrize("seconds", [-1, 0, 1])
@pytest.mark.parametrize("take", INTEREST, ids=[one.__name__ for one in INTEREST])
async def test_the_time_runs_from_the_last_interest_or_work(api: Api, take: Do, seconds: int) -> None:
    lead = await api.lead(**PERSON)
    await later(api, days=DAYS - 1)
    stopped = api.clock.ahead
    await take(api, lead)
    last = await count(
        api,
        """SELECT extract(epoch FROM greatest(max(l.updated_at), (SELECT max(received_at) FROM submissions))) * 1000000
             FROM leads l WHERE l.id = :id""",
        id=ids.read("lead", lead["id"]),
    )
    assert api.clock.ahead == stopped
    await later(api, days=DAYS, seconds=-5)
    ahead = last / 1_000_000 - api.now.timestamp() + DAYS * 86_400 + seconds
    api.clock.ahead += timedelta(seconds=round(ahead, 6))
    assert await erased(api) == int(seconds >= 0)
    assert await is_gone(api, lead) == (seconds >= 0)


@pytest.mark.parametrize("seconds", [-1, 1])
async def test_the_time_of_a_lead_without_any_interest_runs_from_its_creation(api: Api, seconds: int) -> None:
    lead = await api.lead(**PERSON)
    await later(api, days=DAYS, seconds=seconds)
    assert await erased(api) == int(seconds > 0)
    assert await is_gone(api, lead) == (seconds > 0)


async def enriched(api: Api, lead: Lead) -> None:
    await patch(api, lead, {"fields": {"employees": 7}})


async def withdrawn(api: Api, lead: Lead) -> None:
    await say(api, lead, "withdrawn")


@pytest.mark.parametrize("do", [enriched, withdrawn], ids=["enriched by a key", "withdrawn"])
async def test_what_is_no_interest_does_not_prolong_the_time(api: Api, do: Do) -> None:
    lead = await api.lead(**PERSON)
    await later(api, days=DAYS - 1)
    await do(api, lead)
    await later(api, days=2)
    assert await erased(api) == 1


async def qualified(api: Api) -> Lead:
    return await api.mql(**PERSON)


async def qualified_and_recycled(api: Api) -> Lead:
    lead = await api.mql(**PERSON)
    await moved(api, lead, "recycle", await api.user("manager"), reason_code="timing")
    return lead


async def qualified_and_disqualified(api: Api) -> Lead:
    lead = await api.mql(**PERSON)
    await moved(api, lead, "disqualify", await api.user("manager"), reason_code="no_need")
    return lead


async def corrected(api: Api) -> Lead:
    lead = await api.mql(**PERSON)
    rows = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
    body = {"to": "inquiry", "reason_code": "other", "note": "by mistake", "correction_of": rows[-1]["id"]}
    await moved(api, lead, "correct", await api.user("manager"), **body)
    return lead


async def customer(api: Api) -> Lead:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, **PERSON)
    await converted(api, lead, ae)
    return lead


async def same_address_as_a_contact(api: Api) -> Lead:
    lead = await api.lead(**PERSON)
    await api.post("/v1/contacts", {"email": EMAIL.upper(), "full_name": "Ada Lovelace"})
    return lead


async def survivor_of_an_mql(api: Api) -> Lead:
    lead = await api.lead(**PERSON)
    await merged(api, await api.mql(), lead)
    return lead


async def woken_up_some_day(api: Api) -> Lead:
    lead = await api.lead(**PERSON)
    await change(api, "UPDATE journeys SET wake_at = :at", at=api.now + timedelta(days=4 * DAYS))
    return lead


async def with_a_clock_that_runs(api: Api) -> Lead:
    lead = await api.lead(**PERSON)
    await change(
        api,
        """INSERT INTO clock_runs (tenant_id, id, lead_id, journey_id, clock, minutes, started_at, due_at, recorded_at)
           SELECT tenant_id, id, lead_id, id, 'response', 9, :at, :at, :at FROM journeys""",
        at=api.now + timedelta(days=4 * DAYS),
    )
    return lead


async def of_a_form_of_which_a_record_is_to_be_fetched(api: Api) -> Lead:
    sender = await make_sender(api)
    made = await sender.post_and_process(PERSON)
    await change(api, "UPDATE submission_items SET verdict = 'fetch', fetch_at = now()")
    return {"id": made["items"][0]["lead_id"]}


async def of_a_list_that_is_not_done(api: Api) -> Lead:
    lead = await of_a_form_of_which_a_record_is_to_be_fetched(api)
    await change(api, "UPDATE submission_items SET verdict = 'lead', fetch_at = NULL")
    await change(api, "UPDATE submissions SET state = 'listed'")
    return lead


async def of_a_delivery_that_is_a_dead_letter(api: Api) -> Lead:
    lead = await api.lead(**PERSON)
    await attempts(api, position=10**6, waits=True)
    await change(api, "UPDATE delivery_retries SET order_key = :id", id=ids.read("lead", lead["id"]))
    return lead


async def of_a_dead_letter_of_a_lead_that_was_merged(api: Api) -> Lead:
    lead, other = await api.lead(**PERSON), await api.lead()
    await merged(api, other, lead)
    await attempts(api, position=10**6, waits=True)
    await change(api, "UPDATE delivery_retries SET order_key = :id", id=ids.read("lead", other["id"]))
    return lead


NEEDED: Final = (
    *(qualified, qualified_and_recycled, qualified_and_disqualified, corrected, customer, same_address_as_a_contact),
    *(survivor_of_an_mql, woken_up_some_day, with_a_clock_that_runs, of_a_form_of_which_a_record_is_to_be_fetched),
    *(of_a_list_that_is_not_done, of_a_delivery_that_is_a_dead_letter, of_a_dead_letter_of_a_lead_that_was_merged),
)


@pytest.mark.parametrize("make", NEEDED, ids=[one.__name__ for one in NEEDED])
async def test_a_lead_that_qualified_or_is_needed_stays_and_another_one_goes(
    api: Api, make: Callable[[Api], Awaitable[Lead]]
) -> None:
    lead, other = await make(api), await api.lead()
    await later(api, days=2 * DAYS)
    assert await erased(api) == 1
    assert [await is_gone(api, one) for one in (lead, other)] == [False, True]


async def test_leads_stay_until_every_subscription_has_read_their_events(api: Api) -> None:
    leads = [await api.lead(), await api.lead()]
    await sequence(api.app.state.engine)
    await attempts(api, position=0)
    await later(api, days=2 * DAYS)
    for lead in leads:
        assert await erased(api) == 0
        last = "SELECT max(position) FROM event_log WHERE lead_id = :id"
        position = await count(api, last, id=ids.read("lead", lead["id"]))
        await change(api, "UPDATE lanes SET position = :position", position=position - 1)
        assert await erased(api) == 0, "the last event of the lead is not read"
        await change(api, "UPDATE lanes SET position = :position", position=position)
        assert await erased(api) == 1
        assert await is_gone(api, lead)


async def test_a_delivery_that_is_resolved_lets_the_lead_go(api: Api) -> None:
    lead = await of_a_delivery_that_is_a_dead_letter(api)
    await later(api, days=2 * DAYS)
    assert await erased(api) == 0
    await change(api, "DELETE FROM delivery_retries")
    assert await erased(api) == 1
    assert await is_gone(api, lead)


async def test_a_lead_whose_points_still_change_with_time_stays_until_they_do_not(api: Api) -> None:
    lead = await api.lead(**PERSON)
    await api.add_activity(lead, "webinar")
    await keep(api, unqualified_days=30)
    counted = []
    for days in (31, 28, 2):
        await later(api, days=days)
        counted.append((await would_remove(api))["unqualified"])
    assert counted == [0, 0, 1], "its points fall after 30 and 60 days"


@pytest.mark.parametrize("undone", [False, True])
async def test_of_leads_that_were_merged_the_whole_person_goes_and_after_an_unmerge_each_goes(
    api: Api, undone: bool
) -> None:
    lead, other = await api.lead(**PERSON), await api.lead()
    await merged(api, other, lead)
    if undone:
        await later(api, days=DAYS)
        await unmerged(api, other)
        await later(api, days=DAYS, seconds=-60)
        assert await erased(api) == 0, "an unmerge is work"
    await later(api, days=DAYS, seconds=60)
    assert await erased(api) == 1 + undone
    assert [await is_gone(api, one) for one in (lead, other)] == [True, True]


async def test_nothing_names_the_person_afterwards_and_all_numbers_are_the_same(api: Api) -> None:
    sender = await make_sender(api)
    made = await sender.post_and_process({**PERSON, "country": "RO"})
    await api.mql(country="RO")
    await later(api, days=DAYS, seconds=60)
    before = await reports(api, days=DAYS + 20)
    assert await erased(api) == 1
    assert await where(api, ["ada.lovelace", "lovelace"]) == []
    assert await reports(api, days=DAYS + 20) == before
    shown = await api.get(f"/v1/leads/{made['items'][0]['lead_id']}/erasure")
    assert (shown["reason"], shown["request_id"]) == ("retention", None)
    assert shown["finished_at"] == shown["erased_at"], "copies without a lead have periods of their own"
    told = (await api.get("/v1/audit?act=lead.erased"))["data"]
    assert [(row["subject"], row["detail"]["reason"]) for row in told] == [(shown["lead_id"], "retention")]
    assert await verify_all(api.app.state.engine) == 0


async def test_who_comes_again_by_a_form_becomes_a_lead_again(api: Api) -> None:
    lead = await api.lead(**PERSON)
    await later(api, days=DAYS, seconds=60)
    assert await erased(api) == 1
    made = await (await make_sender(api)).post_and_process(PERSON)
    assert [one["verdict"] for one in made["items"]] == ["lead"]
    assert made["items"][0]["lead_id"] != lead["id"]


@pytest.mark.parametrize(("code", "verdict"), [("no_budget", "lead"), ("do_not_contact", "suppressed")])
async def test_who_is_blocked_for_good_stays_blocked(api: Api, code: str, verdict: str) -> None:
    lead = await api.lead(**PERSON)
    await moved(api, lead, "disqualify", await api.user("manager"), reason_code=code)
    await later(api, days=DAYS, seconds=60)
    assert await erased(api) == 1
    made = await (await make_sender(api)).post_and_process(PERSON)
    assert [one["verdict"] for one in made["items"]] == [verdict]


@pytest.mark.parametrize("state", ["withdrawn", "refused"])
async def test_a_withdrawal_still_counts_for_a_later_list(api: Api, state: str) -> None:
    lead = await api.lead(**PERSON)
    await say(api, lead, "given")
    await say(api, lead, state)
    await later(api, days=DAYS, seconds=60)
    assert await erased(api) == 1
    assert await where(api, ["ada.lovelace", "lovelace"]) == []
    lists = await make_lists(api)
    made = await lists.post(
        table(("email", "full_name"), (EMAIL, "Ada")), consent="email_marketing", consent_evidence="a fair"
    )
    await process_lists(api)
    (row,) = await lists.rows(made)
    assert (await api.reload({"id": row["lead_id"]}))["consents"]["email_marketing"] == state


async def test_a_run_finds_leads_behind_many_that_stay(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    small = unqualified_sql.NEXT.text.replace(f"LIMIT {unqualified_sql.PAGE}", "LIMIT 2")
    monkeypatch.setattr(unqualified_sql, "NEXT", text(small).bindparams(*_types(unqualified_sql.NEXT)))
    kept: list[Lead] = []
    gone: list[Lead] = []
    for place in range(9):
        lead = await api.lead()
        (gone if place in (2, 3, 8) else kept).append(lead)
    await later(api, days=DAYS, seconds=60)
    for lead in kept:
        await api.add_activity(lead, "call")
    assert await erased(api) == 3
    assert [await is_gone(api, one) for one in gone + kept] == [True] * 3 + [False] * 6
    assert await erased(api) == 0


def _types(statement: Any) -> list[Any]:
    return list(statement._bindparams.values())


async def test_two_workers_erase_each_lead_once_and_one_that_is_killed_leaves_nothing_half_done(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = [await api.lead() for _ in range(6)]
    await later(api, days=DAYS, seconds=60)
    await keep(api, unqualified_days=DAYS)

    async def killed(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as broken:
        broken.setattr("app.retention.run.update_retention", killed)
        with pytest.raises(asyncio.CancelledError):
            await run_due(api.app.state.engine, api.now, api.tenant_id)
    assert [await is_gone(api, one) for one in leads] == [False] * 6

    async def worker() -> None:
        while await count(api, "SELECT count(*) FROM tenants WHERE retention_latest IS NULL"):
            await run_due(api.app.state.engine, api.now)

    await asyncio.gather(*(worker() for _ in range(3)))
    assert (await api.get("/v1/retention"))["latest"]["removed"] == {"unqualified": 6}
    assert len((await api.get("/v1/audit?act=lead.erased"))["data"]) == 6
    assert [await is_gone(api, one) for one in leads] == [True] * 6


async def test_interest_while_the_run_waits_for_the_lead_keeps_it(api: Api) -> None:
    lead = await api.lead(**PERSON)
    await later(api, days=DAYS, seconds=60)
    await keep(api, unqualified_days=DAYS)
    engine = api.app.state.engine
    async with engine.begin() as tx:
        await tx.execute(text("SELECT FROM leads FOR NO KEY UPDATE"))
        await tx.execute(
            text(
                """INSERT INTO activities (tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at)
                   SELECT tenant_id, id, id, 'k', 'webinar', 'interest', :at, :at FROM leads"""
            ),
            {"at": api.now},
        )
        running = asyncio.create_task(run_due(engine, api.now, api.tenant_id))
        await until(lambda: _waits(api), "the run waits for the lead")
    assert await running == 1
    assert await run_all(api) == {}
    assert not await is_gone(api, lead)


async def _waits(api: Api) -> bool:
    of_here = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(await count(api, f"SELECT count(*) {of_here}"))


async def test_tenants_take_turns(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "Other"})
    key = other["key"]["secret"]
    for place in range(4):
        await api.lead()
        await api.post("/v1/leads", {"fields": {"email": f"p{place}@other.example"}}, key=key)
    await later(api, days=DAYS, seconds=60)
    for secret in (None, key):
        body = {"raw_days": None, "unqualified_days": DAYS}
        assert (await api.call("PUT", "/v1/retention", body, key=secret)).status_code == 200
    gone = []
    for _ in range(4):
        api.clock.ahead += timedelta(seconds=1)
        assert await run_due(api.app.state.engine, api.now) == 1
        one, two = (await api.get("/v1/leads"))["data"], (await api.get("/v1/leads", key=key))["data"]
        gone.append((4 - len(one), 4 - len(two)))
    assert gone[1] == (1, 1)
    assert gone[3] == (2, 2)


async def test_the_command_counts_and_erases_them(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    await api.lead(**PERSON)
    await keep(api, unqualified_days=30)
    await change(api, "UPDATE leads SET created_at = :at, evaluate_at = NULL", at=api.now - timedelta(days=90))
    for table_name in ("activities", "touches", "transitions"):
        await change(api, f"UPDATE {table_name} SET recorded_at = :at", at=api.now - timedelta(days=90))
    for dry_run in (True, False):
        await remove_or_count(api.app.state.engine, None, PERIODS, dry_run=dry_run)
    counted, _, removed, _ = capsys.readouterr().out.splitlines()
    assert counted.endswith("unqualified 1")
    assert removed.endswith("removed: unqualified 1")


@pytest.mark.parametrize(("days", "status"), [(29, 422), (30, 200), (36_500, 200), (36_501, 422)])
async def test_the_time_is_at_least_thirty_days_so_that_a_senders_retry_finds_its_lead(
    api: Api, days: int, status: int
) -> None:
    answer = await api.call("PUT", "/v1/retention", {"unqualified_days": days})
    assert answer.status_code == status
    if status == 422:
        assert answer.json()["errors"][0]["field"] == "unqualified_days"
