"""Processing: each submission becomes leads exactly once, also with duplicates, failures and killed workers."""

import asyncio
import json
import sys
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import text

from app import ids, metrics
from app.database import engine as database
from app.submissions import across, process
from tests.api import Api
from tests.submissions.sender import count, make_sender, person, typeform_signature
from tests.submissions.sender import process as process_all
from tests.waiting import until

FORM = "application/x-www-form-urlencoded"


async def test_thirty_parallel_posts_of_one_new_person_make_one_lead(api: Api) -> None:
    sender = await make_sender(api)
    posts = [sender.post(person(email="ana@nordsoft.example", submission_key=f"k{n}")) for n in range(30)]
    assert {answer.status_code for answer in await asyncio.gather(*posts)} == {202}
    engine = api.app.state.engine
    await asyncio.gather(*(process.process_batch(engine, api.clock.now) for _ in range(4)))
    await process_all(api)
    assert await count(api, "SELECT count(*) FROM leads") == 1
    assert (
        await count(api, "SELECT count(*) FROM submission_items WHERE verdict = 'lead' AND lead_id IS NOT NULL") == 30
    )
    assert await count(api, "SELECT count(*) FROM activities") == 30


async def test_thirty_parallel_posts_with_prefer_wait_make_one_lead(api: Api) -> None:
    rule = {"kind": "token", "in": "header", "name": "X-Api-Key"}
    sender = await make_sender(api, overrides={"verify": [rule]}, secrets={"token": "t-1"})
    posts = [
        sender.post(person(email="ana@nordsoft.example", submission_key=f"k{n}"), X_Api_Key="t-1", Prefer="wait=9")
        for n in range(30)
    ]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} <= {200, 202}
    await process_all(api)
    assert await count(api, "SELECT count(*) FROM leads") == 1
    assert await count(api, "SELECT count(*) FROM submissions WHERE state = 'processed'") == 30


async def test_a_second_delivery_is_2xx_and_a_duplicate_of_the_first(api: Api) -> None:
    sender = await make_sender(api)
    body = person(submission_key="once")
    first = await sender.post_and_process(body)
    second = await sender.post_and_process(body)
    assert (second["state"], second["items"][0]["verdict"]) == ("processed", "duplicate")
    assert second["items"][0]["lead_id"] == first["items"][0]["lead_id"] is not None
    assert await count(api, "SELECT count(*) FROM activities") == 1


async def test_of_duplicates_in_parallel_batches_exactly_one_makes_the_lead(api: Api) -> None:
    sender = await make_sender(api)
    body = person(submission_key="once")
    await asyncio.gather(*(sender.post(body) for _ in range(12)))
    rows = (await api.get("/v1/submissions"))["data"]
    one_each = [
        process.process_one(api.app.state.engine, api.tenant_id, _uuid(row["id"]), api.clock.now) for row in rows
    ]
    await asyncio.gather(*one_each)
    await process_all(api)
    items = [row["items"][0] for row in (await api.get("/v1/submissions"))["data"]]
    assert sorted(item["verdict"] for item in items) == ["duplicate"] * 11 + ["lead"]
    assert len({item["lead_id"] for item in items}) == 1


async def test_two_items_of_one_new_person_in_one_batch_make_one_lead(api: Api) -> None:
    sender = await make_sender(api, overrides={"items": "body"})
    body = [
        person(email="ana@nordsoft.example", id="1"),
        person(email="ana@nordsoft.example", id="2", phone="+40787546854"),
    ]
    made = await sender.post_and_process(json.dumps(body), Content_Type="application/json")
    assert [item["verdict"] for item in made["items"]] == ["lead", "lead"]
    assert made["items"][0]["lead_id"] == made["items"][1]["lead_id"]
    assert await count(api, "SELECT count(*) FROM leads") == 1


async def test_a_post_may_hold_any_number_of_items_and_each_has_its_own_verdict(api: Api) -> None:
    sender = await make_sender(api, overrides={"items": "body", "route": [{"when": "item.test", "do": "test"}]})
    empty = await sender.post_and_process("[]", Content_Type="application/json")
    mixed = await sender.post_and_process(
        json.dumps([person(), {"name": "Nobody"}, person(test=1), person()]), Content_Type="application/json"
    )
    assert (empty["state"], empty["items"]) == ("processed", [])
    assert mixed["state"] == "quarantined"
    assert [item["verdict"] for item in mixed["items"]] == ["lead", "quarantined", "test", "lead"]
    assert mixed["items"][1]["reason"] == "identity_required"
    assert mixed["items"][2]["lead_id"] is None


@pytest.mark.parametrize(
    ("do", "makes_a_lead", "updates_a_lead"),
    [
        ("lead", True, True),
        ("activity", False, True),
        ("consent", False, True),
        ("test", False, False),
        ("spam", False, False),
        ("ignore", False, False),
        ("erase", False, False),
        ("fetch", False, False),
    ],
)
async def test_each_verdict_creates_or_updates_leads_as_documented(
    api: Api, do: str, makes_a_lead: bool, updates_a_lead: bool
) -> None:
    known = await api.lead(email="known@nordsoft.example")
    route = [{"when": "`true`", "do": do}]
    sender = await make_sender(api, overrides={"route": route})
    unknown = await sender.post_and_process(person(email_marketing="yes"))
    matched = await sender.post_and_process({"email": "known@nordsoft.example", "email_marketing": "yes"})
    for made in (unknown, matched):
        assert (made["state"], made["items"][0]["verdict"]) == ("processed", do)
    assert (unknown["items"][0]["lead_id"] is not None) is makes_a_lead
    assert (matched["items"][0]["lead_id"] == known["id"]) is updates_a_lead
    consents = (await api.reload(known))["consents"]
    assert (consents.get("email_marketing") == "given") is updates_a_lead
    if do in ("activity", "consent"):
        assert unknown["items"][0]["reason"] == "person_unknown"


async def test_an_item_makes_one_activity_under_its_submission_key(api: Api) -> None:
    sender = await make_sender(api, defaults={"activity_type": "demo_request"})
    made = await sender.post_and_process(person(submission_key="fill-1"))
    activities = (await api.get(f"/v1/leads/{made['items'][0]['lead_id']}/activities"))["data"]
    assert [(one["type"], one["kind"], one["activity_key"]) for one in activities] == [
        ("demo_request", "interest", "fill-1")
    ]


async def test_an_unparsable_body_is_202_then_quarantined_and_a_mapping_fix_makes_the_lead(api: Api) -> None:
    sender = await make_sender(api, "typeform", overrides={"verify": []})
    kept = await sender.post_and_process("email=ana%40nordsoft.example&token=1", Content_Type=FORM)
    assert kept["state"] == "quarantined"
    assert [(item["verdict"], item["reason"]) for item in kept["items"]] == [("quarantined", "parse_failed")]
    fix = {"verify": [], "parse": {"formats": ["form"]}, "items": "[body]", "fields": {"email": "item.email"}}
    await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": fix})
    answer = await api.call("POST", f"/v1/sources/{sender.source['id']}/replay")
    assert (answer.status_code, answer.json()) == (202, {"replayed": 1, "more": False})
    assert (await sender.submission(kept["id"]))["state"] == "received"
    await process_all(api)
    again = await sender.submission(kept["id"])
    assert (again["state"], again["items"][0]["verdict"]) == ("processed", "lead")
    lead = await api.get(f"/v1/leads/{again['items'][0]['lead_id']}")
    assert lead["fields"]["email"] == "ana@nordsoft.example"


async def test_a_quarantined_submission_emits_an_event_without_personal_data(api: Api) -> None:
    sender = await make_sender(api)
    kept = await sender.post_and_process({"name": "Ana Țepeș"})
    async with api.app.state.engine.connect() as tx:
        data = (await tx.execute(text("SELECT data FROM events WHERE type = 'submission.quarantined'"))).scalars()
    assert json.loads(data[0]) == {
        "submission_id": kept["id"],
        "source_id": sender.source["id"],
        "items": [{"index": 0, "reason": "identity_required"}],
    }


async def test_a_replay_creates_nothing_twice_and_fills_fields_that_the_new_mapping_finds(api: Api) -> None:
    sender = await make_sender(api)
    made = await sender.post_and_process(person(submission_key="fill-1", firm="Nordsoft", newsletter="yes"))
    lead_id = made["items"][0]["lead_id"]
    await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": {"fields": {"company": "item.firm"}}})
    answer = await api.call("POST", f"/v1/submissions/{made['id']}/replay")
    assert answer.status_code == 202
    await process_all(api)
    again = await sender.submission(made["id"])
    assert [(item["verdict"], item["lead_id"]) for item in again["items"]] == [("lead", lead_id)]
    assert (await api.get(f"/v1/leads/{lead_id}"))["fields"]["company"] == "Nordsoft"
    for table in ("activities", "touches", "journeys"):
        assert await count(api, f"SELECT count(*) FROM {table}") == 1, table
    assert await count(api, "SELECT count(*) FROM consents WHERE purpose = 'email_marketing'") == 1


async def test_a_replay_selects_quarantined_or_all_submissions_in_a_time_range(api: Api) -> None:
    sender = await make_sender(api)
    await sender.post_and_process(person())
    await sender.post_and_process({"name": "Nobody"})
    path = f"/v1/sources/{sender.source['id']}/replay"
    assert (await api.post(path, {}, status=202))["replayed"] == 1
    await process_all(api)
    assert (await api.post(path, {"all": True}, status=202))["replayed"] == 2
    await process_all(api)
    early = {"all": True, "received_before": api.ago(hours=1)}
    assert (await api.post(path, early, status=202))["replayed"] == 0


async def test_an_item_with_the_key_of_a_quarantined_one_becomes_the_lead(api: Api) -> None:
    sender = await make_sender(api)
    first = await sender.post_and_process({"name": "Ana", "submission_key": "k", "firm_email": "ana@nordsoft.example"})
    second = await sender.post_and_process({"name": "Ana", "submission_key": "k", "email": "ana@nordsoft.example"})
    assert (first["state"], second["items"][0]["verdict"]) == ("quarantined", "lead")
    fix = {"fields": {"email": "item.email || item.firm_email"}}
    await api.call("PATCH", f"/v1/sources/{sender.source['id']}", {"overrides": fix})
    await api.call("POST", f"/v1/submissions/{first['id']}/replay")
    await process_all(api)
    again = await sender.submission(first["id"])
    assert (again["items"][0]["verdict"], again["items"][0]["lead_id"]) == ("duplicate", second["items"][0]["lead_id"])


async def test_an_item_that_the_database_refuses_is_quarantined_and_the_others_are_kept(api: Api) -> None:
    sender = await make_sender(api, overrides={"items": "body"})
    # A constraint that one person violates, as a bug of the application would.
    await _execute(
        api, "ALTER TABLE leads ADD CONSTRAINT no_poison CHECK (coalesce(fields ->> 'company', '') <> 'Poison')"
    )
    good = [await sender.post(json.dumps([person()]), Content_Type="application/json") for _ in range(3)]
    bad = await sender.post(json.dumps([person(), person(company="Poison"), person()]), Content_Type="application/json")
    before = metrics.SUBMISSIONS.labels("quarantined")._value.get()
    await process_all(api)
    kept = await sender.submission(bad.json()["submission"]["id"])
    assert [item["verdict"] for item in kept["items"]] == ["lead", "quarantined", "lead"]
    assert kept["items"][1]["reason"].startswith("processing_failed")
    assert "Poison" not in kept["items"][1]["reason"]
    for answer in good:
        assert (await sender.submission(answer.json()["submission"]["id"]))["state"] == "processed"
    assert metrics.SUBMISSIONS.labels("quarantined")._value.get() == before + 1
    await _execute(api, "ALTER TABLE leads DROP CONSTRAINT no_poison")
    await api.call("POST", f"/v1/submissions/{kept['id']}/replay")
    await process_all(api)
    again = await sender.submission(kept["id"])
    assert [item["verdict"] for item in again["items"]] == ["lead", "lead", "lead"]
    assert [item["lead_id"] for item in again["items"]][::2] == [item["lead_id"] for item in kept["items"]][::2]


async def test_a_busy_database_quarantines_a_submission_only_after_five_aborted_tries(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database.SERVER_SETTINGS, "lock_timeout", "50ms")
    sender = await make_sender(api)
    made = await sender.post(person())
    submission_id = made.json()["submission"]["id"]
    for tries in range(1, process.MAX_TRIES + 1):
        async with api.app.state.engine.begin() as tx:
            await tx.command("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE")
            await _process_by_another(api)
        shown = await sender.submission(submission_id)
        assert shown["state"] == ("quarantined" if tries == process.MAX_TRIES else "received"), tries
    await api.call("POST", f"/v1/submissions/{submission_id}/replay")
    await process_all(api)
    assert (await sender.submission(submission_id))["items"][0]["verdict"] == "lead"


async def test_a_processor_that_dies_between_claim_and_commit_loses_nothing(api: Api) -> None:
    sender = await make_sender(api)
    answers = [await sender.post(person()) for _ in range(5)]
    engine = api.app.state.engine
    async with engine.connect() as killed:
        await killed.command("BEGIN")
        rows = await across.claim(killed)
        await process._process(killed, rows, api.now, process.settle)
        assert len(rows) == 5
        assert await process.process_batch(engine, api.clock.now) == 0  # another worker does not claim locked rows
        await killed.driver.close(timeout=0.1)  # the connection closes as when a process is killed
    await _all_processed(api)
    for answer in answers:
        assert (await sender.submission(answer.json()["submission"]["id"]))["items"][0]["verdict"] == "lead"
    assert await count(api, "SELECT count(*) FROM leads") == 5


async def _all_processed(api: Api) -> None:
    """Waits until all is processed: locks of a killed worker are held until the server notices its end."""

    async def done() -> bool:
        await process_all(api)
        return await count(api, "SELECT count(*) FROM submissions WHERE state = 'received'") == 0

    await until(done, "everything is processed")


async def test_a_worker_that_is_killed_in_the_middle_of_a_batch_loses_nothing(api: Api, dsn: str) -> None:
    sender = await make_sender(api)
    answers = [await sender.post(person()) for _ in range(5)]
    script = (
        "import asyncio; from datetime import UTC, datetime; from app.database.engine import make_engine;"
        "from app.submissions.process import process_batch;"
        f"asyncio.run(process_batch(make_engine({api.app.state.settings.database_url!r}), lambda: datetime.now(UTC)))"
    )
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    async with api.app.state.engine.begin() as tx:
        await tx.command("LOCK TABLE leads IN ACCESS EXCLUSIVE MODE")  # the worker blocks at its first lead
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, cwd=Path(database.__file__).parents[2]
        )

        async def it_waits() -> bool:
            return bool(await count(api, waits))

        try:
            await until(it_waits, "the worker waits for the lock on leads")
        finally:
            worker.kill()
        await worker.wait()
    await _all_processed(api)
    for answer in answers:
        assert (await sender.submission(answer.json()["submission"]["id"]))["items"][0]["verdict"] == "lead"
    assert await count(api, "SELECT count(*) FROM leads") == 5


async def test_one_batch_processes_several_tenants_in_isolation(api: Api) -> None:
    other = await api.post("/v1/tenants", {"name": "globex"})
    theirs = Api(api.app, api.client, other["key"]["secret"], None)
    senders = await make_sender(api), await make_sender(theirs)
    for sender in senders:
        for n in range(3):
            await sender.post(person(email="ana@nordsoft.example", submission_key=f"k{n}"))
    assert await process.process_batch(api.app.state.engine, api.clock.now) == 6
    assert await count(api, "SELECT count(*) FROM leads") == 2
    mine = (await api.get("/v1/submissions"))["data"]
    assert len(mine) == 3
    assert {row["source_id"] for row in mine} == {senders[0].source["id"]}
    hidden = (await theirs.get("/v1/submissions"))["data"][0]["id"]
    for path in (hidden, f"{hidden}/raw"):
        assert (await api.call("GET", f"/v1/submissions/{path}")).status_code == 404
    assert (await api.call("POST", f"/v1/submissions/{hidden}/replay")).status_code == 404


async def test_the_worker_processes_on_wake_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "POLL_SECONDS", 600)  # without a wake-up the test would time out
    stop = asyncio.Event()
    sender = await make_sender(api)
    work = asyncio.create_task(process.process_forever(api.app.state, stop))
    try:
        await asyncio.sleep(0.05)  # the worker waits by now
        await sender.post(person())

        async def processed() -> bool:
            return bool(await count(api, "SELECT count(*) FROM submissions WHERE state = 'processed'"))

        await until(processed)
    finally:
        stop.set()
        await work


async def test_a_large_backlog_is_claimed_in_batches_of_a_hundred_and_of_bounded_size(api: Api) -> None:
    sender = await make_sender(api)
    for tens in range(13):
        await asyncio.gather(*(sender.post(person(submission_key=f"k{tens}{n}")) for n in range(10)))
    assert await process.process_batch(api.app.state.engine, api.clock.now) == 100
    assert await process.process_batch(api.app.state.engine, api.clock.now) == 30
    for n in range(4):
        await sender.post(person(submission_key=f"big{n}", message="x" * 900_000))
    assert [await process.process_batch(api.app.state.engine, api.clock.now) for _ in range(2)] == [3, 1]


async def test_submissions_are_listed_by_source_state_and_lead(api: Api) -> None:
    one, two = await make_sender(api), await make_sender(api)
    made = await one.post_and_process(person())
    lost = await two.post_and_process({"name": "Nobody"})
    lead_id = made["items"][0]["lead_id"]

    async def listed(query: str) -> list[str]:
        return [row["id"] for row in (await api.get(f"/v1/submissions?{query}"))["data"]]

    assert await listed("") == [lost["id"], made["id"]]
    assert await listed(f"source_id={one.source['id']}") == [made["id"]]
    assert await listed("state=quarantined") == [lost["id"]]
    assert await listed(f"lead_id={lead_id}") == [made["id"]]
    assert await listed(f"lead_id={lead_id}&state=quarantined") == []
    first = await api.get("/v1/submissions?limit=1")
    assert [row["id"] for row in first["data"]] == [lost["id"]]
    rest = await api.get(f"/v1/submissions?limit=1&cursor={first['next']}")
    assert ([row["id"] for row in rest["data"]], rest["next"]) == ([made["id"]], None)
    assert (await api.call("GET", "/v1/submissions?state=lost")).status_code == 422
    assert (await api.call("GET", "/v1/submissions?lead_id=lead_x")).status_code == 422


async def test_the_time_in_the_queue_is_measured_once_for_each_submission(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def measured() -> tuple[float, float]:
        lines = (await api.client.get("/metrics")).text.splitlines()
        found = dict(line.rsplit(" ", 1) for line in lines if line.startswith("baton_submission_queue_seconds_"))
        return float(found["baton_submission_queue_seconds_count"]), float(found["baton_submission_queue_seconds_sum"])

    sender, begin = await make_sender(api), api.now
    monkeypatch.setattr(api.clock, "now", lambda: begin + api.clock.ahead)
    sent = [(await sender.post(person())).json()["submission"]["id"] for _ in range(2)]
    count_before, sum_before = await measured()
    api.clock.ahead += timedelta(hours=1)
    await process_all(api)
    count_after, sum_after = await measured()
    assert count_after - count_before == 2
    assert sum_after - sum_before == pytest.approx(2 * 3600)
    await api.post(f"/v1/submissions/{sent[0]}/replay", None, status=202)
    await process_all(api)
    assert await measured() == (count_after, sum_after), "a replay is not counted: it was received long ago"


async def test_a_signature_is_verified_at_the_time_of_receipt(api: Api) -> None:
    sender = await make_sender(api, "typeform")
    body = b'{"form_response": {"token": "t", "answers": [{"type": "email", "email": "a@nordsoft.example"}]}}'
    answer = await sender.post(body, Typeform_Signature=typeform_signature(body))
    api.clock.ahead = timedelta(days=30)
    await process_all(api)
    shown = await sender.submission(answer.json()["submission"]["id"])
    assert shown["state"] == "processed"
    assert shown["processed_at"] > shown["received_at"]


def _uuid(public: str) -> UUID:
    return ids.read("submission", public)


async def _execute(api: Api, statement: str) -> None:
    async with api.app.state.engine.begin() as tx:
        await tx.command(statement)


async def _process_by_another(api: Api) -> None:
    """Processes one batch with an engine of its own."""
    engine = database.make_engine(api.app.state.settings.database_url, 2)
    try:
        await process.process_batch(engine, api.clock.now)
    finally:
        await engine.dispose()
