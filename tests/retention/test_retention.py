"""What a tenant keeps only for a time is removed when the time is over, and nothing else is (docs/retention.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

import pytest
from sqlalchemy import text

from app import ids
from app.commands.administration import verify_all
from app.retention import run
from app.retention.run import run_due
from app.tenants.audit_chain import audit_faults
from tests.api import Api
from tests.submissions.sender import Sender, count, make_sender, person, process

SECONDS: Final = (-1, 0, 1)  # before and after the instant at which the time is over
RECEIVED: Final = "SELECT max(received_at) FROM submissions"
KINDS: Final = ("raw", "quarantined", "spam", "attempts", "audit", "unqualified")
Make = Callable[[Sender], Awaitable[dict[str, Any]]]


async def keep(api: Api, **days: int | None) -> None:
    answer = await api.call("PUT", "/v1/retention", {"raw_days": None, **days})
    assert answer.status_code == 200, answer.text


async def run_all(api: Api) -> Mapping[str, int]:
    """A whole run of the tenant now, in as many parts as it takes; what it removed."""
    while await run_due(api.app.state.engine, api.now, api.tenant_id):
        if not await count(api, "SELECT count(retention_run) FROM tenants WHERE id = :id", id=api.tenant_id):
            break
    return dict((await api.get("/v1/retention"))["latest"]["removed"])


async def would_remove(api: Api) -> dict[str, Any]:
    return dict((await api.post("/v1/retention/preview", None, status=200))["would_remove"])


async def move_to(api: Api, since: str, **after: int) -> None:
    """Moves the clock to a time after the instant that a query returns."""
    async with api.app.state.engine.connect() as tx:
        at = (await tx.execute(text(since))).scalar_one()
    api.clock.ahead += at + timedelta(**after) - api.now


async def change(api: Api, statement: str, **values: Any) -> None:
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text(statement), {"tenant_id": api.tenant_id, **values})


async def a_lead(sender: Sender) -> dict[str, Any]:
    return await sender.post_and_process(person())


async def an_unreadable_one(sender: Sender) -> dict[str, Any]:
    return await sender.post_and_process("{", Content_Type="application/json")


async def spam(sender: Sender) -> dict[str, Any]:
    return await sender.post_and_process(person(_gotcha="x"))


async def sender_of(api: Api) -> Sender:
    return await make_sender(api, "html-form", secrets={})


SUBMISSIONS: Final = [(a_lead, "raw"), (an_unreadable_one, "quarantined"), (spam, "spam")]
OF_KIND: Final = [kind for _, kind in SUBMISSIONS]


@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize(("make", "kind"), SUBMISSIONS, ids=OF_KIND)
async def test_a_request_is_removed_when_its_days_are_over_and_not_before(
    api: Api, make: Make, kind: str, seconds: int
) -> None:
    made = await make(await sender_of(api))
    await keep(api, **{f"{kind}_days": 30})
    await move_to(api, RECEIVED, days=30, seconds=seconds)
    over = seconds >= 0
    assert await would_remove(api) == {**dict.fromkeys(KINDS), kind: int(over)}
    assert await run_all(api) == ({kind: 1} if over else {})
    assert await would_remove(api) == {**dict.fromkeys(KINDS), kind: 0}
    full = "SELECT count(*) FROM submissions WHERE body <> '' OR query <> '' OR headers <> '{}'"
    assert await count(api, full) == (not over)
    shown = await api.get(f"/v1/submissions/{made['id']}")
    assert (shown["emptied_at"] is not None) == over
    assert shown["state"] == ("expired" if over and kind == "quarantined" else made["state"])
    if over and kind != "raw":
        assert [item["mapped"] for item in shown["items"]] == [None]


@pytest.mark.parametrize(("make", "kind"), SUBMISSIONS, ids=OF_KIND)
async def test_what_needs_a_request_that_was_removed_is_told_so(api: Api, make: Make, kind: str) -> None:
    sender = await sender_of(api)
    made = await make(sender)
    await keep(api, **{f"{kind}_days": 1})
    await move_to(api, RECEIVED, days=1)
    await run_all(api)
    of_it = f"/v1/submissions/{made['id']}"
    asked = [("GET", "/raw", None), ("POST", "/replay", None), ("POST", "/verdict", {"verdict": "not_spam"})]
    answers = [await api.call(method, of_it + path, body) for method, path, body in asked]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(410, "request_removed")] * 3
    again = await api.post(f"/v1/sources/{sender.source['id']}/replay", {"all": True}, status=202)
    assert again == {"replayed": 0, "more": False}
    assert (await api.get(of_it))["items"][0]["verdict"] == made["items"][0]["verdict"], (
        "it still counts as what it was"
    )


@pytest.mark.parametrize("state", ["received", "listed", "arriving"])
async def test_a_submission_that_waits_keeps_its_request(api: Api, state: str) -> None:
    await a_lead(await sender_of(api))
    await change(api, "UPDATE submissions SET state = :state", state=state)
    await keep(api, raw_days=1, quarantined_days=1, spam_days=1)
    await move_to(api, RECEIVED, days=400)
    assert await run_all(api) == {}


@pytest.mark.parametrize("state", ["processed", "quarantined"])
async def test_a_submission_of_which_a_record_is_still_to_be_fetched_keeps_its_request(api: Api, state: str) -> None:
    await a_lead(await sender_of(api))
    await change(api, "UPDATE submissions SET state = :state", state=state)
    await change(api, "UPDATE submission_items SET verdict = 'fetch', fetch_at = now()")
    await keep(api, raw_days=1, quarantined_days=1)
    await move_to(api, RECEIVED, days=400)
    assert await run_all(api) == {}


async def test_without_settings_requests_are_kept_for_ninety_days_and_the_rest_for_good(api: Api) -> None:
    shown = await api.get("/v1/retention")
    assert {name: shown[name] for name in (f"{kind}_days" for kind in KINDS)} == {
        **{f"{kind}_days": None for kind in KINDS},
        "raw_days": 90,
    }
    await a_lead(await sender_of(api))
    await move_to(api, RECEIVED, days=90, seconds=-1)
    assert await run_all(api) == {}
    await move_to(api, RECEIVED, days=90)
    assert await run_all(api) == {"raw": 1}


async def test_a_lead_keeps_everything_when_the_request_of_its_form_is_removed(api: Api) -> None:
    sender = await sender_of(api)
    made = await a_lead(sender)
    lead = f"/v1/leads/{made['items'][0]['lead_id']}"
    paths = (lead, f"{lead}/fields", f"{lead}/timeline", f"{lead}/consents")
    await keep(api, raw_days=1)
    await move_to(api, RECEIVED, days=1)
    before = [await api.get(path) for path in paths]
    await run_all(api)
    assert [await api.get(path) for path in paths] == before
    assert await verify_all(api.app.state.engine) == 0


async def attempts(api: Api, *, position: int, waits: bool = False) -> None:
    """A subscription with an attempt at position 5 of its log, of which the lane is at `position`."""
    target = {"url": "https://hooks.acme.example/in", "types": ["lead.*"]}
    made = await api.post("/v1/subscriptions", target)
    values = {"subscription_id": ids.read("subscription", made["id"])}
    await change(
        api,
        "INSERT INTO attempts (tenant_id, subscription_id, position, n, at, event_id, ms, code, trigger)"
        " VALUES (:tenant_id, :subscription_id, 5, 1, now(), :subscription_id, 3, 200, 'live')",
        **values,
    )
    await change(
        api,
        "INSERT INTO lanes AS l (tenant_id, subscription_id, lane_no, position)"
        " VALUES (:tenant_id, :subscription_id, 0, :position)"
        " ON CONFLICT (tenant_id, subscription_id, lane_no) DO UPDATE SET position = excluded.position",
        position=position,
        **values,
    )
    if waits:
        await change(
            api,
            "INSERT INTO delivery_retries (tenant_id, subscription_id, position, order_key, event_id, state)"
            " VALUES (:tenant_id, :subscription_id, 5, :subscription_id, :subscription_id, 'dead')",
            **values,
        )


@pytest.mark.parametrize("seconds", SECONDS)
async def test_attempts_are_removed_when_their_days_are_over_and_not_before(api: Api, seconds: int) -> None:
    await attempts(api, position=5)
    await keep(api, attempts_days=14)
    await move_to(api, "SELECT max(at) FROM attempts", days=14, seconds=seconds)
    over = int(seconds >= 0)
    assert (await would_remove(api))["attempts"] == over
    assert (await run_all(api)).get("attempts", 0) == over
    assert await count(api, "SELECT count(*) FROM attempts") == 1 - over


@pytest.mark.parametrize(("position", "waits"), [(5, True), (4, False)], ids=["a dead letter", "not passed yet"])
async def test_attempts_of_deliveries_that_are_not_resolved_stay(api: Api, position: int, waits: bool) -> None:
    await attempts(api, position=position, waits=waits)
    await keep(api, attempts_days=1)
    await move_to(api, "SELECT max(at) FROM attempts", days=400)
    assert (await would_remove(api))["attempts"] == 0
    assert await run_all(api) == {}


async def test_attempts_of_a_subscription_that_was_deleted_are_removed_too(api: Api) -> None:
    await attempts(api, position=5)
    (made,) = (await api.get("/v1/subscriptions"))["data"]
    await api.call("DELETE", f"/v1/subscriptions/{made['id']}")
    await keep(api, attempts_days=1)
    await move_to(api, "SELECT max(at) FROM attempts", days=1)
    assert await run_all(api) == {"attempts": 1}


async def faults(api: Api) -> list[str]:
    async with api.app.state.engine.connect() as tx:
        return await audit_faults(tx, api.tenant_id)


async def acts(api: Api) -> list[str]:
    return [row["act"] for row in (await api.get("/v1/audit?limit=200"))["data"]]


async def some_acts(api: Api, number: int) -> None:
    for _ in range(number):
        await api.user("sdr")


@pytest.mark.parametrize("seconds", SECONDS)
async def test_audit_rows_are_removed_when_their_days_are_over_and_the_log_is_whole_after_it(
    api: Api, seconds: int
) -> None:
    await some_acts(api, 3)
    await keep(api, audit_days=30)
    end = "min" if seconds < 0 else "max"  # all rows are over, or none
    await move_to(api, f"SELECT {end}(recorded_at) FROM audit", days=30, seconds=seconds)
    rows = await count(api, "SELECT count(*) FROM audit")
    over = 0 if seconds < 0 else rows
    assert (await would_remove(api))["audit"] == over
    assert await run_all(api) == ({"audit": over} if over else {})
    assert len(await acts(api)) == rows - over + 1
    assert await faults(api) == []
    await some_acts(api, 2)
    assert await faults(api) == []
    assert (await api.get("/v1/audit?limit=1"))["head"]["number"] == rows + 3, "numbers go on"


async def test_a_row_of_the_audit_log_cannot_be_deleted_before_its_time_nor_after_it_by_hand(api: Api) -> None:
    await some_acts(api, 3)
    with pytest.raises(Exception, match="append-only"):
        await change(api, "DELETE FROM audit WHERE number = 1")
    with pytest.raises(Exception, match="append-only"):
        await change(api, "UPDATE audit SET act = 'nothing'")


@pytest.mark.parametrize("gone", [1, 2])
async def test_rows_that_somebody_removed_with_the_beginning_of_the_log_moved_are_found(api: Api, gone: int) -> None:
    await some_acts(api, 3)
    await change(
        api,
        "UPDATE audit_heads h SET begins_after = a.number, begins_hash = a.hash FROM audit a"
        " WHERE a.tenant_id = h.tenant_id AND a.number = :gone",
        gone=gone,
    )
    await change(api, "DELETE FROM audit WHERE number <= :gone", gone=gone)
    assert await faults(api) == [f"the rows up to {gone} are gone, and no run of retention says that it removed them"]


async def test_rows_that_somebody_removed_after_a_run_are_found(api: Api) -> None:
    await some_acts(api, 3)
    await keep(api, audit_days=1)
    await move_to(api, "SELECT max(recorded_at) FROM audit", days=1)
    await run_all(api)
    await some_acts(api, 2)
    await change(
        api,
        "UPDATE audit_heads h SET begins_after = a.number, begins_hash = a.hash FROM audit a"
        " WHERE a.tenant_id = h.tenant_id AND a.act = 'user.created'",
    )
    await change(api, "DELETE FROM audit a USING audit_heads h WHERE a.number <= h.begins_after")
    assert len(await faults(api)) == 1


async def test_a_log_from_which_retention_removed_everything_again_and_again_is_whole(api: Api) -> None:
    await keep(api, audit_days=1)
    for _ in range(3):
        await some_acts(api, 2)
        api.clock.ahead += timedelta(days=1, seconds=1)
        await run_all(api)
        assert await acts(api) == ["retention.run"]
        assert await faults(api) == []
    assert await verify_all(api.app.state.engine) == 0


async def test_each_run_is_told_in_the_audit_log_with_what_it_removed(api: Api) -> None:
    sender = await sender_of(api)
    await a_lead(sender)
    await keep(api, raw_days=1)
    await move_to(api, RECEIVED, days=1)
    await run_all(api)
    (told,) = (await api.get("/v1/audit?act=retention.run"))["data"]
    assert told["detail"]["removed"] == {"raw": 1}
    assert told["actor"] == {"id": None, "kind": "service", "role": "service"}
    await run_all(api)
    assert [row["detail"]["removed"] for row in (await api.get("/v1/audit?act=retention.run"))["data"]] == [
        {},
        {"raw": 1},
    ]


async def test_a_run_in_many_parts_removes_what_was_counted_and_not_what_came_over_meanwhile(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TOGETHER", 2)
    sender = await sender_of(api)
    for _ in range(5):
        await a_lead(sender)
    await spam(sender)
    await keep(api, raw_days=1, spam_days=1)
    await move_to(api, RECEIVED, days=1)
    expected = {kind: number for kind, number in (await would_remove(api)).items() if number}
    assert expected == {"raw": 6, "spam": 1}
    assert await run_due(api.app.state.engine, api.now, api.tenant_id) == 1
    late = await a_lead(sender)
    api.clock.ahead += timedelta(days=2)
    assert await run_all(api) == expected
    assert (await api.get(f"/v1/submissions/{late['id']}"))["emptied_at"] is None
    assert await run_all(api) == {"raw": 1}


async def test_a_run_begins_a_day_after_the_one_before_and_its_parts_follow_each_other(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TOGETHER", 1)
    sender = await sender_of(api)
    await a_lead(sender)
    await a_lead(sender)
    await keep(api, raw_days=1)
    engine = api.app.state.engine
    assert await run_due(engine, api.now) == 0, "a new tenant has a day to choose"
    await move_to(api, "SELECT retention_due_at FROM tenants", seconds=-1)
    assert await run_due(engine, api.now) == 0
    await move_to(api, "SELECT retention_due_at FROM tenants", hours=1)
    began = api.now
    assert [await run_due(engine, api.now) for _ in range(4)] == [1, 1, 1, 0]
    api.clock.ahead += began + timedelta(days=1, seconds=-1) - api.now
    assert await run_due(engine, api.now) == 0
    api.clock.ahead += timedelta(seconds=2)
    assert await run_due(engine, api.now) == 1


async def test_workers_at_the_same_time_remove_and_count_each_row_once(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "TOGETHER", 3)
    sender = await sender_of(api)
    for _ in range(20):
        await sender.post(person())
    await process(api)
    await keep(api, raw_days=1)
    await move_to(api, RECEIVED, days=2)

    async def worker() -> None:
        while await count(api, "SELECT count(*) FROM tenants WHERE retention_latest IS NULL"):
            await run_due(api.app.state.engine, api.now)

    await asyncio.gather(*(worker() for _ in range(4)))
    assert (await api.get("/v1/retention"))["latest"]["removed"] == {"raw": 20}
    assert len((await api.get("/v1/audit?act=retention.run"))["data"]) == 1


async def test_a_part_that_is_interrupted_is_done_again_as_a_whole(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await a_lead(await sender_of(api))
    await keep(api, raw_days=1)
    await move_to(api, RECEIVED, days=1)

    async def killed(*_: Any) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as broken:
        broken.setattr(run, "update_retention", killed)
        with pytest.raises(asyncio.CancelledError):
            await run_due(api.app.state.engine, api.now, api.tenant_id)
    assert (await would_remove(api))["raw"] == 1
    assert await run_all(api) == {"raw": 1}


async def test_a_tenant_whose_run_fails_does_not_stop_the_others(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "Other"})
    await change(api, 'UPDATE tenants SET retention = \'{"raw_days": "x"}\' WHERE id = :tenant_id')
    api.clock.ahead += timedelta(days=2)
    assert [await run_due(api.app.state.engine, api.now) for _ in range(3)] == [1, 1, 0]
    shown = await api.get("/v1/retention", key=other["key"]["secret"])
    assert shown["latest"]["removed"] == {}


@pytest.mark.parametrize("days", [0, -1, 36_501, 1.5, "90", True])
@pytest.mark.parametrize("name", [f"{kind}_days" for kind in KINDS])
async def test_a_period_that_is_no_number_of_days_is_refused_by_its_name(api: Api, name: str, days: Any) -> None:
    for method, path in (("PUT", "/v1/retention"), ("POST", "/v1/retention/preview")):
        answer = await api.call(method, path, {name: days})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, name)


async def test_periods_are_set_with_the_version_that_was_read_and_told_in_the_audit_log(api: Api) -> None:
    read = await api.call("GET", "/v1/retention")
    tag = {"If-Match": read.headers["ETag"]}
    assert (await api.call("PUT", "/v1/retention", {"spam_days": 7}, headers=tag)).status_code == 200
    assert (await api.call("PUT", "/v1/retention", {"spam_days": 8}, headers=tag)).status_code == 412
    (told,) = (await api.get("/v1/audit?act=tenant.retention_set"))["data"]
    assert told["detail"]["spam_days"] == 7


async def test_a_preview_of_other_periods_counts_by_these(api: Api) -> None:
    await a_lead(await sender_of(api))
    await move_to(api, RECEIVED, days=10)
    counts = [
        (await api.post("/v1/retention/preview", {"raw_days": days}, status=200))["would_remove"]["raw"]
        for days in (9, 10, 11, None)
    ]
    assert counts == [1, 1, 0, None]
