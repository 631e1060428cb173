"""Subscriptions with a condition: what is sent live, late, again and in a preview, and what is refused when saved."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app import ids
from app.events.sequence import sequence
from app.settings import Settings
from app.webhooks.members import OF_LEAD
from tests.api import Api, running
from tests.waiting import until
from tests.webhooks.conftest import RETRIES, Got, Inbox, World, inbox
from tests.webhooks.test_included import key_with

PATH = "/v1/subscriptions"
URL = "http://127.0.0.1:9/hook"
ROMANIAN: dict[str, Any] = {"field": "country", "is": "RO"}
MQL: dict[str, Any] = {"all": [{"field": "data.to", "is": "mql"}, ROMANIAN]}


@pytest.fixture
async def delivering(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings, roles=("dispatch",)) as found:
        yield found


async def subscribe(api: Api, url: str, condition: Any, **more: Any) -> dict[str, Any]:
    body = {"url": url, "types": ["lead.*"], "if": condition, "start": "earliest", **more}
    return dict(await api.post(PATH, body))


async def change(api: Api, lead: dict[str, Any], **fields: Any) -> None:
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": fields})).status_code == 200


async def settled(api: Api, *made: dict[str, Any]) -> None:
    """Until these lanes have settled the whole log."""

    async def is_settled() -> bool:
        async with api.app.state.engine.connect() as tx:
            if await tx.driver.fetchval("SELECT EXISTS (SELECT FROM pending)"):
                return False
        shown = [await api.get(f"{PATH}/{one['id']}") for one in made]
        waiting = [(await api.get(f"{PATH}/{one['id']}/deliveries"))["data"] for one in made]
        return all(one["lag"] == 0 for one in shown) and not any(waiting)

    await until(is_settled)


def told(box: Inbox) -> list[tuple[str, str]]:
    return [(got.lead, got.event["type"]) for got in box.ok]


async def test_the_lead_of_that_moment_decides_live_and_from_the_start_alike(delivering: Api) -> None:
    api = delivering
    async with inbox() as live, inbox() as late:
        first = await subscribe(api, live.url, ROMANIAN, types=["lead.updated"])
        lead, other = await api.lead(country="RO"), await api.lead(country="PL")
        await change(api, lead, company="One")
        await change(api, other, company="One")
        await settled(api, first)
        await change(api, lead, country="DE")
        await change(api, lead, company="Two")
        await change(api, other, country="RO")
        await change(api, other, company="Two")
        second = await subscribe(api, late.url, ROMANIAN, types=["lead.updated"])
        await settled(api, first, second)
    changed = [(got.lead, got.event["data"]["changed"]) for got in live.ok]
    assert sorted(changed) == sorted(
        [(lead["id"], ["company"]), (other["id"], ["country"]), (other["id"], ["company"])]
    )
    assert {got.id for got in live.ok} == {got.id for got in late.ok}
    assert all("lead" not in got.event["data"] for got in live.ok + late.ok)


async def test_a_condition_chooses_and_include_sends_and_each_works_without_the_other(delivering: Api) -> None:
    api = delivering
    async with inbox() as chosen, inbox() as whole, inbox() as both:
        boxes: tuple[tuple[Inbox, Any, list[str]], ...] = (
            (chosen, ROMANIAN, []),
            (whole, {}, ["lead"]),
            (both, ROMANIAN, ["lead"]),
        )
        made = [await subscribe(api, box.url, written, include=include) for box, written, include in boxes]
        for country in ("RO", "PL"):
            await change(api, await api.lead(country=country), company="One")
        await settled(api, *made)
    assert {got.id for got in chosen.ok} == {got.id for got in both.ok} < {got.id for got in whole.ok}
    assert not any("lead" in got.event["data"] for got in chosen.ok)
    assert {got.event["data"]["lead"]["fields"]["country"] for got in both.ok} == {"RO"}
    assert {got.event["data"]["lead"]["fields"]["country"] for got in whole.ok} == {"RO", "PL"}


async def test_a_waiting_retry_that_does_not_match_a_new_condition_is_skipped(delivering: Api) -> None:
    api, broken = delivering, [True]
    async with inbox(lambda _: 500 if broken else 204) as box:
        limits = {"retry_schedule": [0, 80_000, 80_000]}
        made = await subscribe(api, box.url, {}, types=["lead.updated"], limits=limits, start="now")
        leads = [await api.lead(country=country) for country in ("RO", "PL")]
        for lead in leads:
            await change(api, lead, company="One")

        async def waits() -> bool:
            return len((await api.get(f"{PATH}/{made['id']}/deliveries"))["data"]) == 2

        await until(waits)
        broken.clear()
        answer = await api.call("PATCH", f"{PATH}/{made['id']}", {"if": ROMANIAN})
        assert answer.status_code == 200, answer.text

        async def one_waits() -> bool:
            rows = (await api.get(f"{PATH}/{made['id']}/deliveries"))["data"]
            return [row["lead_id"] for row in rows] == [leads[0]["id"]]

        await until(one_waits)
        attempts = (await api.get(f"{PATH}/{made['id']}/attempts"))["data"]
        skipped = [one for one in attempts if one["error"] == "skipped"]
        assert [one["lead_id"] for one in skipped] == [leads[1]["id"]]
        position = (await api.get(f"{PATH}/{made['id']}/deliveries"))["data"][0]["position"]
        await api.post(f"{PATH}/{made['id']}/deliveries/{position}/retry", None, status=200)
        await box.until_received(1)
        await settled(api, made)
    assert told(box) == [(leads[0]["id"], "lead.updated")]


async def test_what_was_read_before_the_condition_and_is_sent_after_it_is_judged_by_it(api: Api) -> None:
    begun, go_on, state = asyncio.Event(), asyncio.Event(), api.app.state
    world = World(state.engine, state.settings.database_url, state.settings, state.wake, tenant_id=api.tenant_id)

    async def slow(_: Got) -> int:
        begun.set()
        await go_on.wait()
        return 204

    leads = [await api.lead(country=country) for country in ("FR", "PL", "RO")]
    for lead in leads:
        await change(api, lead, company="One")
    async with inbox(slow) as box, world.dispatcher() as dispatcher:
        limits = {"concurrency": 1, "timeout_seconds": 20}
        made = await subscribe(api, box.url, {}, types=["lead.updated"], limits=limits)
        await sequence(world.engine)
        await dispatcher.claim()
        await begun.wait()
        answer = await api.call("PATCH", f"{PATH}/{made['id']}", {"if": ROMANIAN})
        assert answer.status_code == 200, answer.text
        lane = dispatcher.lanes[ids.read("subscription", made["id"]), 0]
        assert len(lane.lane.ready) == 2
        await dispatcher.renew()
        await until(lambda: lane.receiver.reads_lead)
        go_on.set()
        await world.until_row("SELECT 1 FROM attempts HAVING count(*) = 3")
    assert [got.lead for got in box.ok] == [leads[0]["id"], leads[2]["id"]]


async def test_a_subscription_becomes_thin_and_full_again_by_a_patch(delivering: Api) -> None:
    api = delivering
    async with inbox() as box:
        made = await subscribe(api, box.url, ROMANIAN, types=["lead.updated"])
        lead = await api.lead(country="RO")
        for number, mode in enumerate(("thin", "full"), 1):
            assert (await api.call("PATCH", f"{PATH}/{made['id']}", {"mode": mode})).status_code == 200
            await change(api, lead, company=f"Company {number}")
            await settled(api, made)
    thin, full = (got.event for got in box.ok)
    assert (thin["data"], thin["url"]) == ({"lead_id": lead["id"]}, f"/v1/events/{thin['id']}")
    assert (full["data"]["changed"], full["meta"]["schema_version"]) == (["company"], 1)
    assert (await api.get(thin["url"]))["data"]["changed"] == ["company"]


async def test_a_retry_is_judged_by_the_lead_as_it_was_and_not_as_it_is(delivering: Api) -> None:
    api, broken = delivering, [True]
    async with inbox(lambda _: 500 if broken else 204) as box:
        made = await subscribe(api, box.url, ROMANIAN, types=["lead.updated"], limits={"retry_schedule": RETRIES})
        lead = await api.lead(country="RO")
        await change(api, lead, company="One")
        await box.until(lambda got: len(got.got) > 0)
        await change(api, lead, country="DE")
        broken.clear()
        await settled(api, made)
    assert [got.event["data"]["changed"] for got in box.ok] == [["company"]]


async def test_a_replay_sends_what_the_condition_accepts_with_the_lead_as_it_was(delivering: Api) -> None:
    api = delivering
    async with inbox() as box:
        made = await subscribe(api, box.url, ROMANIAN, types=["lead.updated"])
        lead, other = await api.lead(country="RO"), await api.lead(country="PL")
        for one in (lead, other, lead):
            await change(api, one, company=str(one["id"]), job_title=f"Title {len(box.got)}")
        await settled(api, made)
        await change(api, lead, country="DE")
        before = [got.id for got in box.ok]
        replay = await api.post(f"{PATH}/{made['id']}/replays", {"from": "earliest"})

        async def done() -> bool:
            shown = await api.get(f"{PATH}/{made['id']}/replays/{replay['id']}")
            return bool(shown["state"] == "done")

        await until(done)
    again = [got for got in box.ok if "webhook-replay" in got.headers]
    assert sorted(got.id for got in again) == sorted(before)
    assert {got.lead for got in box.ok} == {lead["id"]}
    assert box.one_body_for_each_id()


async def test_of_a_lead_that_was_erased_only_the_erasure_is_sent(delivering: Api) -> None:
    api = delivering
    lead = await api.lead(country="RO")
    await change(api, lead, company="One")
    erased = await api.call("POST", f"/v1/leads/{lead['id']}/erasure", {"reason": "person_asked"})
    assert erased.status_code < 300, erased.text
    async with inbox() as box, inbox() as other:
        made = await subscribe(api, box.url, ROMANIAN), await subscribe(api, other.url, {"not": ROMANIAN})
        await settled(api, *made)
    assert told(box) == told(other) == [(lead["id"], "lead.erased")]


async def test_a_preview_says_what_would_have_been_sent_as_it_is_sent(delivering: Api) -> None:
    api = delivering
    leads = [await api.mql(country="RO") for _ in range(4)] + [await api.mql(country="PL")]
    wanted = {"types": ["lead.stage_changed"], "if": MQL}
    async with inbox() as box:
        made = await subscribe(api, box.url, MQL, types=wanted["types"], include=["lead"])
        await settled(api, made)
        found = await api.post(f"{PATH}/preview", {**wanted, "include": ["lead"]}, status=200)
    assert found["matched"] == len(box.ok) == 4
    assert found["warnings"] == []
    assert found["since"] is not None
    assert [one["data"]["lead_id"] for one in found["samples"]] == [one["id"] for one in reversed(leads[1:4])]
    sent = {got.id: got.event for got in box.ok}
    assert all(sent[one["id"]] == one for one in found["samples"])
    thin = await api.post(f"{PATH}/preview", {**wanted, "mode": "thin"}, status=200)
    assert [one["truncated"] for one in thin["samples"]] == [True] * 3
    assert set(thin["samples"][0]["data"]) == {"lead_id", "transition_id", "journey_id"}
    nothing = await api.post(
        f"{PATH}/preview", {"if": {"field": "country", "is": "FR"}, "types": ["lead.*"]}, status=200
    )
    assert (nothing["matched"], nothing["samples"]) == (0, [])
    assert nothing["examined"] == (await api.post(f"{PATH}/preview", {}, status=200))["matched"]


async def test_a_preview_of_an_empty_log_finds_nothing(api: Api) -> None:
    found = await api.post(f"{PATH}/preview", {"filter": {"consent": ["phone"]}}, status=200)
    assert found == {"examined": 0, "matched": 0, "since": None, "samples": [], "warnings": []}


async def test_a_preview_hears_of_consents_as_they_are_now(delivering: Api) -> None:
    api = delivering
    given, _ = await api.lead(), await api.lead()
    body = {"consents": [{"purpose": "phone", "state": "given"}]}
    assert (await api.call("PUT", f"/v1/leads/{given['id']}/consents", body)).status_code == 200
    wanted = {"types": ["lead.captured"], "filter": {"consent": ["phone"]}}

    async def found() -> bool:
        answer = await api.post(f"{PATH}/preview", wanted, status=200)
        return [one["data"]["lead_id"] for one in answer["samples"]] == [given["id"]]

    await until(found)


CAN_BE: list[dict[str, Any]] = [
    {"field": "data.lead.stage", "is": "mql"},
    {"field": "data.lead.kind", "is": "Person "},
    {"field": "data.lead.team", "is": "north"},
    {"field": "data.lead.score.temperature", "is": "hot"},
    {"field": "data.lead.score.fit", "at_least": 3},
    {"field": "data.lead.custom.seats", "at_least": 3},
    {"field": "data.lead.fields.employees", "between": [1, 9]},
    {"field": "data.lead.identities.kind", "is": "email"},
    {"field": "data.lead.duplicate_suspected", "is": True},
    {"field": "data.lead.links.account_id", "present": True},
    {"all": [{"field": "data.changed", "is": "company"}, {"field": "data.changed", "is": "country"}]},
    {"all": [{"field": "data.reached.name", "is": "mql"}, {"field": "data.reached.name", "is": "sql"}]},
    {"all": [{"field": "data.lead.custom.wants", "is": "demo"}, {"field": "data.lead.custom.wants", "is": "price"}]},
]
TWO_STAGES = {"all": [{"field": "data.lead.stage", "is": "mql"}, {"field": "data.lead.stage", "in": ["sql", "srl"]}]}


def refused(condition: Any, **more: Any) -> dict[str, Any]:
    return {"types": ["lead.*"], "if": condition, **more}


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"filter": {"nothing": ["x"]}}, "filter.nothing", "unknown_member"),
        ({"filter": {"to": ["mqql"]}}, "filter.to.0", "stage_unknown"),
        ({"filter": {"to": ["mql", "mqql"]}}, "filter.to.1", "stage_unknown"),
        ({"filter": {"to": ["mql"]}, "types": ["lead.activity"]}, "filter.to", "unknown_member"),
        ({"filter": {"seq": ["2"]}}, "filter.seq.0", "unknown_value"),
        ({"filter": {"source": ["web"]}}, "filter.source.0", "unknown_value"),
        ({"filter": {"to": []}}, "filter.to", "never_true"),
        ({"filter": {"consent": ["phone"]}, "types": ["policy.*"]}, "filter.consent", "not_here"),
        ({"filter": {"lead": [None]}}, "filter.lead", "unknown_member"),
        ({"filter": {"class": ["wonn"]}}, "filter.class.0", "unknown_value"),
        ({"filter": {"to": ["mql"], "rule": ["x"]}}, "filter", "never_true"),
        (refused({"field": "data.too", "is": "mql"}), "if.field", "unknown_member"),
        (refused({"all": [ROMANIAN, {"field": "data.to", "is": "mqql"}]}), "if.all.1.is", "stage_unknown"),
        (refused({"field": "data.lead.country", "is": "RO"}), "if.field", "unknown_member"),
        (refused({"field": "data.lead.score.fitt", "at_least": 3}), "if.field", "unknown_member"),
        (refused({"field": "data.lead", "present": True}), "if.field", "unknown_member"),
        (refused({"field": "data.to", "is": "mql"}, types=["lead.updated"]), "if.field", "unknown_member"),
        (refused({"field": "data.seq", "is": "2"}), "if.is", "unknown_value"),
        (refused({"field": "data.to", "at_least": 2}), "if.at_least", "comparison_not_possible"),
        (refused({"field": "data.to", "is": "won"}), "if.is", "stage_unknown"),
        (refused({"stage": "won"}), "if.stage", "stage_unknown"),
        (refused({"stage": "mql"}, types=["opportunity.*"]), "if.stage", "stage_unknown"),
        (refused({"stage": "mql"}, types=["policy.*"]), "if", "not_here"),
        ({"filter": {"to": ["mql"]}, "types": ["opportunity.*"]}, "filter.to.0", "stage_unknown"),
        (refused({"stage": ["mql", "mqql"]}), "if.stage", "stage_unknown"),
        (refused({"from": "mqql"}), "if.from", "stage_unknown"),
        (refused({"stage": "merged"}, types=["lead.merged"]), "if.stage", "never_true"),
        (refused({"any": [ROMANIAN, {"stage": "erased"}]}, types=["lead.updated"]), "if.any.1.stage", "never_true"),
        ({"filter": {"stage": ["merged"]}}, "filter.stage.0", "never_true"),
        (refused({"field": "data.lead.stage", "is": "merged"}), "if.is", "never_true"),
        (refused({"field": "data.lead.stage", "is": "won"}), "if.is", "stage_unknown"),
        (refused({"field": "data.lead.kind", "is": "robot"}), "if.is", "unknown_value"),
        (refused({"field": "data.lead.email_status", "in": ["free", "fre"]}), "if.in", "unknown_value"),
        (refused({"field": "data.lead.version", "is": "2"}), "if.is", "unknown_value"),
        (refused({"field": "data.lead.score.temperature", "is": "lukewarm"}), "if.is", "unknown_value"),
        (refused({"field": "data.actor.kind", "is": "dog"}), "if.is", "unknown_value"),
        (refused({"field": "data.actor.id", "is": "nobody"}), "if.is", "unknown_value"),
        (refused({"field": "data.actor.team", "is": "north"}), "if.field", "unknown_member"),
        (refused({"field": "data.lead.owner_id", "is": "nobody"}), "if.is", "unknown_value"),
        (refused({"field": "data.lead.links.account_id", "is": "Acme"}), "if.is", "unknown_value"),
        (refused({"field": "data.lead.consents.phone", "is": "yes"}), "if.is", "unknown_value"),
        ({"filter": {"owner_id": ["nobody"]}}, "filter.owner_id.0", "unknown_value"),
        (refused({"all": [{"stage": "mql"}, {"field": "data.to", "is": "sal"}]}), "if", "never_true"),
        (refused({"from": "mql"}, filter={"from": ["sal"]}), "if", "never_true"),
        (refused({"stage": "mql"}, filter={"to": ["sal"]}), "if", "never_true"),
        (refused({"all": []}), "if.all", "too_few_items"),
        (refused({"all": "x"}), "if.all", "wrong_type"),
        (refused({"field": "data.lead.owner_id", "at_least": 2}), "if.at_least", "comparison_not_possible"),
        ({"filter": {"consent": ["phone", "phon"]}}, "filter.consent.1", "unknown_purpose"),
        (refused({"consent": {"purpose": "phon", "state": ["given"]}}), "if.consent.purpose", "unknown_purpose"),
        (refused({"from": "mql"}, types=["lead.updated"]), "if", "unknown_member"),
        (refused({"reason": "timing"}, types=["lead.updated"]), "if", "unknown_member"),
        (refused(ROMANIAN, types=["submission.*"]), "if", "not_here"),
        (refused({"not": ROMANIAN}, types=["submission.*"]), "if.not", "not_here"),
        (refused({"all": [ROMANIAN, {"field": "country", "is": "PL"}]}), "if", "never_true"),
        (refused({"all": [{"field": "data.to", "is": "mql"}, {"field": "data.to", "is": "sql"}]}), "if", "never_true"),
        (refused(TWO_STAGES, types=["*"]), "if", "never_true"),
        (refused({"field": "data.to", "is": "sql"}, filter={"to": ["mql"]}), "if", "never_true"),
        (refused({"persona": ["decision_maker"]}), "if", "not_here"),
        (refused({"activity": {"name": "demo", "count": 2}}), "if", "not_here"),
        (refused({"all": [ROMANIAN, {"not": {"bant": "confirmed"}}]}), "if.all.1.not", "not_here"),
        (refused({"at_least": {"count": 1, "of": [{"sequence": []}]}}), "if.at_least.of.0", "not_here"),
        (refused({"contry": "RO"}), "if", "unknown_word"),
        (refused({"all": [{"field": "country"}]}), "if.all.0", "invalid"),
        (refused([]), "if", "wrong_type"),
        ({"schema_version": 2}, "schema_version", "unknown_value"),
        ({"mode": "thin", "include": ["lead"]}, "include", "include_needs_full"),
    ],
    ids=lambda one: str(one)[:70],
)
async def test_what_cannot_match_is_refused_at_its_place(api: Api, body: dict[str, Any], field: str, code: str) -> None:
    made = await api.post(PATH, {"url": URL})
    requests = [("POST", f"{PATH}/preview", body), ("POST", PATH, {"url": URL, **body})]
    requests += [("PATCH", f"{PATH}/{made['id']}", body)]
    for method, path, sent in requests:
        answer = await api.call(method, path, sent)
        assert answer.status_code == 422, answer.text
        assert (field, code) in {(one["field"], one["code"]) for one in answer.json()["errors"]}, answer.text
    assert (await api.get(f"{PATH}/{made['id']}"))["version"] == 1
    assert len((await api.get(PATH))["data"]) == 1


@pytest.mark.parametrize(
    ("member", "meant"),
    [
        ("data.lead.owner_idd", "data.lead.owner_id"),
        ("data.lead.score.fitt", "data.lead.score.fit"),
        ("data.leed.owner_id", "data.lead"),
        ("data.too", "data.to"),
        ("data.source.nam", "data.source.name"),
        ("data.lead", None),
        ("data.lead.unlike_any", None),
        ("data.quite.other", None),
    ],
)
async def test_a_suggestion_is_of_the_step_that_is_wrong(api: Api, member: str, meant: str | None) -> None:
    answer = await api.call("POST", f"{PATH}/preview", {"types": ["lead.*"], "if": {"field": member, "present": True}})
    detail = answer.json()["errors"][0]["detail"]
    assert detail.partition("; did you mean ")[2] == (f"`{meant}`?" if meant else "")


async def test_of_a_word_that_cannot_stand_here_nothing_else_is_told(api: Api) -> None:
    condition = {"any": [{"activity": {"name": 1}}, {"field": "country"}]}
    answer = await api.call("POST", f"{PATH}/preview", {"if": condition})
    told = [(one["field"], one["code"]) for one in answer.json()["errors"]]
    assert told == [("if.any.0", "not_here"), ("if.any.1", "invalid")]


async def test_steps_into_a_stage_that_only_merging_enters_can_be_chosen(api: Api) -> None:
    for sent in ({"filter": {"to": ["merged"]}}, {"if": {"stage": "merged"}}, {"if": {"from": "merged"}}):
        await api.post(f"{PATH}/preview", {"types": ["lead.*"], **sent}, status=200)


@pytest.mark.parametrize("condition", CAN_BE, ids=str)
async def test_values_that_a_lead_may_have_are_taken(api: Api, condition: dict[str, Any]) -> None:
    assert (await api.post(f"{PATH}/preview", {"if": condition}, status=200))["warnings"] == []


async def test_a_country_that_is_kept_as_it_was_typed_can_be_asked_for_with_a_warning(delivering: Api) -> None:
    api = delivering
    lead = await api.lead(country="Zamunda")
    assert lead["fields"]["country"] == "Zamunda"
    made = await subscribe(api, URL, {"field": "country", "is": "Zamunda"})
    assert [(one["field"], one["code"]) for one in made["warnings"]] == [("if.is", "unknown_value")]

    async def is_found() -> bool:
        found = await api.post(f"{PATH}/preview", {"if": made["if"], "types": ["lead.captured"]}, status=200)
        return [one["data"]["lead_id"] for one in found["samples"]] == [lead["id"]]

    await until(is_found)


async def test_what_no_lead_reaches_under_the_policy_of_now_is_saved_and_warned_of(api: Api) -> None:
    made = await subscribe(api, URL, {"fit": {"at_least": 900_000}})
    assert [(one["field"], one["code"]) for one in made["warnings"]] == [("if", "never_true")]
    assert made["if"] == {"fit": {"at_least": 900_000}}
    changed = await api.call("PATCH", f"{PATH}/{made['id']}", {"if": {"any": [ROMANIAN, made["if"]]}})
    assert [(one["field"], one["code"]) for one in changed.json()["warnings"]] == [("if.any.1", "never_true")]
    changed = await api.call("PATCH", f"{PATH}/{made['id']}", {"if": {}, "mode": "thin"})
    assert (changed.json()["warnings"], changed.json()["if"], changed.json()["mode"]) == ([], {}, "thin")
    assert (await api.get(f"{PATH}/{made['id']}"))["schema_version"] == 1


async def test_a_filter_of_an_older_release_goes_on_and_is_told_only_when_it_is_changed(api: Api) -> None:
    made = await api.post(PATH, {"url": URL})
    async with api.app.state.engine.begin() as tx:
        await tx.driver.execute("UPDATE subscriptions SET filter = '{\"gone\": [1]}'")
    path = f"{PATH}/{made['id']}"
    assert (await api.call("PATCH", path, {"url": f"{URL}/2"})).status_code == 200
    answer = await api.call("PATCH", path, {"types": ["lead.*"]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "filter.gone")
    assert (await api.call("PATCH", path, {"types": ["lead.*"], "filter": {}})).status_code == 200


async def test_a_condition_about_leads_needs_the_scope_to_read_them_whatever_is_changed(api: Api) -> None:
    made, key = await subscribe(api, URL, ROMANIAN), await key_with(api, "subscriptions")
    of_event = {"field": "data.to", "is": "mql"}
    for method, path, body, status in (
        ("POST", PATH, {"url": URL, "if": ROMANIAN}, 403),
        ("POST", f"{PATH}/preview", {"if": ROMANIAN}, 403),
        ("PATCH", f"{PATH}/{made['id']}", {"url": f"{URL}/2"}, 403),
        ("POST", PATH, {"url": URL, "if": of_event}, 201),
        ("POST", f"{PATH}/preview", {"if": of_event}, 200),
        ("PATCH", f"{PATH}/{made['id']}", {"if": of_event}, 200),
    ):
        answer = await api.call(method, path, body, key=key)
        assert answer.status_code == status, (method, path, answer.text)


async def test_subscriptions_are_listed_by_state_and_those_whose_receiver_is_down(delivering: Api) -> None:
    api = delivering
    async with inbox(lambda _: 500) as down, inbox() as well:
        failing = await subscribe(api, down.url, {}, limits={"retry_schedule": [0] * 9})
        active, paused = await subscribe(api, well.url, {}), await subscribe(api, well.url, {})
        await api.post(f"{PATH}/{paused['id']}/pause", None, status=200)
        for _ in range(6):
            await api.lead()

        async def listed(state: str) -> set[str]:
            return {one["id"] for one in (await api.get(f"{PATH}?state={state}"))["data"]}

        async def is_failing() -> bool:
            return await listed("failing") == {failing["id"]}

        await until(is_failing)
        assert await listed("active") == {failing["id"], active["id"]}
        assert (await listed("paused"), await listed("disabled")) == ({paused["id"]}, set())
        first = await api.get(f"{PATH}?state=active&limit=1")
        second = await api.get(f"{PATH}?state=active&limit=1&cursor={first['next']}")
        assert {one["id"] for page in (first, second) for one in page["data"]} == {failing["id"], active["id"]}
        other = await api.call("GET", f"{PATH}?state=paused&cursor={first['next']}")
        assert (other.status_code, other.json()["code"]) == (422, "cursor_invalid")
        assert (await api.call("GET", f"{PATH}?state=broken")).status_code == 422


async def test_the_names_below_data_lead_are_those_of_a_shown_lead(api: Api) -> None:
    lead = await api.mql(country="RO")
    assert set(OF_LEAD) == set(lead)
    assert set(OF_LEAD["score"]) == set(lead["score"])
    for name in ("fields", "links", "bant", "attribution"):
        assert set(OF_LEAD[name]) == set(lead[name]), name


async def test_an_attempt_shows_the_first_kilobyte_of_the_answer(delivering: Api) -> None:
    api = delivering
    text = b"no: " + b"x" * 3000
    response = b"HTTP/1.1 400 X\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
    async with inbox(lambda _: response) as box:
        made = await subscribe(api, box.url, {}, types=["lead.captured"], limits={"retry_schedule": [0]})
        for _ in range(2):
            await api.lead()

        async def dead() -> list[str]:
            return [one["position"] for one in (await api.get(f"{PATH}/{made['id']}/deliveries?state=dead"))["data"]]

        async def both_are_dead() -> bool:
            return len(await dead()) == 2

        await until(both_are_dead)
        path = f"{PATH}/{made['id']}/attempts"
        for position in await dead():
            [attempt] = (await api.get(f"{path}?position={position}"))["data"]
            assert attempt["position"] == position
        assert (await api.get(f"{path}?position=1000000"))["data"] == []
        assert (await api.call("GET", f"{path}?position=0")).status_code == 422
        page = await api.get(f"{path}?limit=1")
        other = await api.call("GET", f"{path}?position={position}&cursor={page['next']}")
        assert (other.status_code, other.json()["code"]) == (422, "cursor_invalid")
    assert (attempt["code"], attempt["response_head"]) == (400, text[:1024].decode())
