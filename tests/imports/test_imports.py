"""`POST /v1/imports`: the rows of a list become leads, each once, with a verdict of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.commands.worker import ABANDONED
from app.imports import rows, store
from app.imports.across import sweep_abandoned
from app.imports.rows import ERROR_COLUMN
from app.submissions import across
from app.submissions.process import process_batch
from tests.api import Api
from tests.imports.lists import PEOPLE, lead_of, make_lists, process_lists, table
from tests.payloads.samples import FOLDER
from tests.submissions.sender import count


async def test_the_rows_of_a_list_become_leads_and_each_has_a_verdict(api: Api) -> None:
    lists = await make_lists(api)
    made = await lists.post(PEOPLE, name="people.csv")
    assert (made["state"], made["rows"], made["name"]) == ("processing", 3, "people.csv")
    assert made["columns"] == ["First name", "Last name", "E-mail", "Company"]
    await process_lists(api)
    done = await lists.found(made)
    assert (done["state"], done["rows_done"], done["counts"]) == ("completed", 3, {"lead": 2, "quarantined": 1})
    assert done["completed_at"] is not None
    rows = await lists.rows(made)
    assert [(row["row"], row["verdict"], row["reason"]) for row in rows] == [
        (2, "lead", None),
        (3, "lead", None),
        (4, "quarantined", "identity_required"),
    ]
    lead = await lead_of(api, "jan@acme.example")
    assert lead["id"] == rows[1]["lead_id"]
    assert (lead["fields"]["last_name"], lead["fields"]["company"]) == ("Łuk", "Acme")


async def test_the_same_file_again_makes_duplicates_and_changes_no_lead(api: Api) -> None:
    lists = await make_lists(api)
    await lists.import_list(PEOPLE)
    before = await lead_of(api, "ana@nordsoft.example")
    again = await lists.import_list(PEOPLE)
    assert again["counts"] == {"duplicate": 2, "quarantined": 1}
    assert await lead_of(api, "ana@nordsoft.example") == before
    assert await count(api, "SELECT count(*) FROM activities") == 2


async def test_equal_rows_of_one_list_are_rows_of_their_own_of_one_lead(api: Api) -> None:
    lists = await make_lists(api)
    row = ("Ana", "ana@nordsoft.example")
    assert (await lists.import_list(table(("Name", "E-mail"), row, row)))["counts"] == {"lead": 2}
    assert await count(api, "SELECT count(*) FROM leads") == 1


async def test_one_idempotency_key_stores_a_list_once(api: Api) -> None:
    lists = await make_lists(api)
    key = {"Idempotency-Key": "list-1"}
    first, again = await lists.send(PEOPLE, headers=key), await lists.send(PEOPLE, headers=key)
    assert (first.status_code, again.status_code, first.json()) == (202, 202, again.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert await count(api, "SELECT count(*) FROM imports") == 1
    assert await count(api, "SELECT count(*) FROM submissions") == 1
    other = await lists.send(PEOPLE + "x,y,z@x.example\n", headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await count(api, "SELECT count(*) FROM imports") == 1


async def test_the_file_of_errors_has_the_columns_of_the_list_and_is_posted_again_once_corrected(api: Api) -> None:
    lists = await make_lists(api)
    head = ("Name", "E-mail", "Company", "Notes")
    sent = table(
        head,
        ("Ana", "ana@nordsoft.example", "Nordsoft", ""),
        ("Bob", "bob(at)acme.example", "Acme", "=1+1"),
        ("Eva", "eva@acme.example", "Acme", "said", "more"),
        delimiter=";",
    )
    made = await lists.import_list(sent)
    assert made["counts"] == {"lead": 1, "quarantined": 2}
    file = (await lists.errors(made)).decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(file), delimiter=";"))
    assert rows[0] == ["Import row", "Import error", *head]
    assert [row[0] for row in rows[1:]] == ["3", "4"]
    assert rows[1][2:] == ["Bob", "bob(at)acme.example", "Acme", "'=1+1"]
    assert "identity_required" in rows[1][1]
    assert "5 cells" in rows[2][1]
    assert rows[2][2:] == ["Eva", "eva@acme.example", "Acme", "said", "more"]
    corrected = file.replace("(at)", "@").replace("said;more", "said and more")
    again = await lists.import_list(corrected)
    assert (again["counts"], again["columns"][:2]) == ({"lead": 2}, ["Import row", "Import error"])
    bob = await lead_of(api, "bob@acme.example")
    assert bob["fields"]["message"] == "=1+1"
    assert ERROR_COLUMN not in bob["custom"]
    assert (await lists.errors(again)).decode("utf-8-sig").strip() == rows_as_text(rows[0])


async def test_no_name_of_a_column_in_the_file_of_errors_is_a_formula_and_it_is_the_same_column_again(api: Api) -> None:
    lists = await make_lists(api)
    head = ("E-mail", "=1+1", "+2", "-3", "@4", "＝5")
    made = await lists.import_list(table(head, ("bob(at)acme.example", *"abcde")))
    assert made["columns"] == list(head)
    file = (await lists.errors(made)).decode("utf-8-sig")
    names = next(csv.reader(io.StringIO(file)))
    assert names[2:] == ["E-mail", *(f"'{name}" for name in head[1:])]
    again = await lists.import_list(file)
    assert again["columns"][2:] == list(head)


def rows_as_text(head: list[str]) -> str:
    return ";".join(head)


async def test_a_list_of_more_rows_than_a_submission_holds_is_processed_in_parts(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROWS_TOGETHER", 5)
    monkeypatch.setattr(store, "STORED_TOGETHER", 2)
    lists = await make_lists(api)
    people = [(f"P{n}", f"p{n}@nordsoft.example" if n % 4 else "") for n in range(53)]
    made = await lists.post(table(("Name", "E-mail"), *people))
    assert await process_batch(api.app.state.engine, api.clock.now) == 0, "rows of lists wait in a queue of their own"
    assert await process_lists(api) == 11
    assert (await lists.found(made))["counts"] == {"lead": 39, "quarantined": 14}
    rows = await lists.rows(made)
    assert [row["row"] for row in rows] == list(range(2, 55))
    assert [row["row"] for row in rows if row["verdict"] == "quarantined"] == list(range(2, 55, 4))
    found, cursor = [], ""
    while True:
        page = await api.get(f"/v1/imports/{made['id']}/rows?verdict=quarantined&limit=4{cursor}")
        found += [row["row"] for row in page["data"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert found == list(range(2, 55, 4))


async def test_a_cancelled_import_leaves_its_leads_and_processes_no_further_row(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "ROWS_TOGETHER", 2)
    lists = await make_lists(api)
    made = await lists.post(table(("E-mail",), *((f"p{n}@nordsoft.example",) for n in range(6))))
    assert await process_batch(api.app.state.engine, api.clock.now, across.claim_listed) == 1
    cancelled = await api.post(f"/v1/imports/{made['id']}/cancel", None, status=200)
    assert (cancelled["state"], cancelled["rows_done"]) == ("cancelled", 2)
    assert await process_lists(api) == 0
    assert await count(api, "SELECT count(*) FROM leads") == 2
    again = await api.post(f"/v1/imports/{made['id']}/cancel", None, status=200)
    assert again["cancelled_at"] == cancelled["cancelled_at"]
    assert [one["state"] for one in (await api.get("/v1/imports"))["data"]] == ["cancelled"]


async def test_an_import_can_be_cancelled_while_its_list_arrives(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "ROWS_TOGETHER", 2)
    monkeypatch.setattr(store, "STORED_TOGETHER", 1)
    monkeypatch.setattr(rows, "SAMPLE", 10)
    lists = await make_lists(api)

    async def pieces() -> AsyncIterator[bytes]:
        yield PEOPLE.encode()
        yield PEOPLE.encode()
        (arriving,) = (await api.get("/v1/imports"))["data"]
        assert arriving["state"] == "receiving"
        assert arriving["rows"] > 0
        await api.post(f"/v1/imports/{arriving['id']}/cancel", None, status=200)
        yield PEOPLE.encode()

    answer = await lists.send(pieces())
    assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
    assert await count(api, "SELECT count(*) FROM submissions") == 0


async def test_a_completed_import_cannot_be_cancelled(api: Api) -> None:
    made = await (await make_lists(api)).import_list(PEOPLE)
    answer = await api.call("POST", f"/v1/imports/{made['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")


async def test_rows_of_a_corrected_mapping_are_replayed_and_counted_anew(api: Api) -> None:
    lists = await make_lists(api)
    made = await lists.import_list(table(("Who", "Where"), ("Ana", "ana@nordsoft.example")))
    assert made["counts"] == {"quarantined": 1}
    change = {"overrides": {"fields": {"email": "item.Where"}}}
    assert (await api.call("PATCH", f"/v1/sources/{lists.source['id']}", change)).status_code == 200
    await api.post(f"/v1/sources/{lists.source['id']}/replay", {}, status=202)
    assert (await lists.found(made))["state"] == "processing"
    await process_lists(api)
    done = await lists.found(made)
    assert (done["state"], done["counts"]) == ("completed", {"lead": 1})


async def test_a_dry_run_counts_all_rows_shows_the_first_and_writes_nothing(api: Api) -> None:
    lists = await make_lists(api)
    people = [(f"P{n}", f"p{n}@nordsoft.example" if n % 10 else "") for n in range(250)]
    shown = await lists.post(table(("Name", "E-mail"), *people), dry_run="true", status=200)
    assert (shown["rows"], shown["counts"]) == (250, {"lead": 225, "quarantined": 25})
    assert (shown["reasons"], shown["columns"]) == ({"identity_required": 25}, ["Name", "E-mail"])
    assert [row["row"] for row in shown["first"]] == list(range(2, 22))
    assert [row["row"] for row in shown["refused"][:3]] == [2, 12, 22]
    assert shown["first"][1]["fields"]["email"] == "p1@nordsoft.example"
    assert shown["first"][1]["submission_key"] == f"{shown['sha256']}:3"
    for name in ("imports", "submissions", "leads"):
        assert await count(api, f"SELECT count(*) FROM {name}") == 0
    made = await lists.import_list(table(("Name", "E-mail"), *people))
    assert (made["counts"], made["sha256"]) == (shown["counts"], shown["sha256"])
    assert (await lists.rows(made))[0]["row"] == 2


async def test_what_is_said_of_the_list_holds_for_its_rows(api: Api) -> None:
    lists = await make_lists(api)
    await lists.import_list(
        table(("E-mail", "Newsletter", "utm_campaign"), ("a@x.example", "", ""), ("b@x.example", "no", "own")),
        source="expo",
        medium="trade_show",
        campaign="expo-2026",
        activity_type="badge_scan",
        consent=["email_marketing", "phone"],
        consent_evidence="Signed at the booth, form 3",
    )
    first, second = await lead_of(api, "a@x.example"), await lead_of(api, "b@x.example")
    origin = first["attribution"]["first"]
    assert (origin["source"], origin["medium"], origin["campaign"]) == ("expo", "trade_show", "expo-2026")
    assert second["attribution"]["first"]["campaign"] == "own"
    assert (first["consents"]["email_marketing"], first["consents"]["phone"]) == ("given", "given")
    assert second["consents"]["email_marketing"] == "refused", "the row's own answer"
    (consent, *_) = [
        one
        for one in (await api.get(f"/v1/leads/{first['id']}/consents"))["log"]
        if one["purpose"] == "email_marketing"
    ]
    assert consent["text"] == "Signed at the booth, form 3"
    (activity,) = (await api.get(f"/v1/leads/{first['id']}/activities"))["data"]
    assert activity["type"] == "badge_scan"


async def test_a_statement_about_a_list_overrides_no_refusal_and_no_withdrawal(api: Api) -> None:
    lists = await make_lists(api)
    lead = await api.lead(email="a@x.example")
    put = {"consents": [{"purpose": "email_marketing", "state": "withdrawn"}]}
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", put)
    assert answer.status_code == 200, answer.text
    options = {"consent": "email_marketing", "consent_evidence": "bought in May"}
    await lists.import_list(table(("E-mail",), ("a@x.example",), ("b@x.example",)), **options)
    assert (await lead_of(api, "a@x.example"))["consents"]["email_marketing"] == "withdrawn"
    assert (await lead_of(api, "b@x.example"))["consents"]["email_marketing"] == "given"


async def test_the_people_of_a_bought_list_are_suspects_without_activity(api: Api) -> None:
    lists = await make_lists(api)
    await lists.import_list(table(("E-mail",), ("a@x.example",)), entry="suspect")
    assert (await lead_of(api, "a@x.example"))["stage"] == "suspect"
    assert await count(api, "SELECT count(*) FROM activities") == 0


@pytest.mark.parametrize(
    ("preset", "of_source", "options", "row", "expected"),
    [
        ("html-form", {}, {}, "", "import"),
        ("generic", {}, {}, "", "import"),
        ("csv", {}, {}, "", "import"),
        ("html-form", {}, {"entry": "suspect"}, "", "purchased_list"),
        ("csv", {}, {"entry": "suspect"}, "", "purchased_list"),
        ("html-form", {"entry": "suspect"}, {}, "", "purchased_list"),
        ("html-form", {}, {"entry": "suspect"}, "Trade show", "trade_show"),
        ("html-form", {}, {"channel": "event"}, "", "event"),
        ("html-form", {}, {"channel": "event", "entry": "suspect"}, "", "event"),
        ("html-form", {}, {"channel": "web_form"}, "", "web_form"),
        ("html-form", {}, {"channel": "event"}, "webinar", "webinar"),
        ("html-form", {"channel": "web_form"}, {}, "", "web_form"),
        ("html-form", {"channel": "partner"}, {"entry": "suspect"}, "", "partner"),
        ("html-form", {"channel": "partner"}, {"channel": "event"}, "", "event"),
        ("html-form", {}, {}, "pigeon", "import"),
        ("badge-scan", {}, {}, "", "trade_show"),
        ("webinar-attendance", {}, {}, "", "webinar"),
    ],
)
async def test_the_leads_of_a_list_have_its_channel(
    api: Api, preset: str, of_source: dict[str, str], options: dict[str, str], row: str, expected: str
) -> None:
    lists = await make_lists(api, preset, defaults=of_source)
    await lists.import_list(table(("email", "channel"), ("a@x.example", row)), **options)
    lead = await lead_of(api, "a@x.example")
    assert lead["channel"] == lead["attribution"]["first"]["channel"] == expected


async def test_a_channel_of_a_list_that_is_none_is_refused(api: Api) -> None:
    refused = await (await make_lists(api)).send(PEOPLE, channel="fax")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "channel")


async def test_badge_scans_come_out_as_expected(api: Api) -> None:
    lists = await make_lists(api, "badge-scan", defaults={"region": "DE"})
    made = await lists.import_list((FOLDER / "55-badge-scan.csv").read_bytes())
    rows = await lists.rows(made)
    assert [(row["verdict"], row["reason"]) for row in rows] == [
        ("lead", None),
        ("lead", None),
        ("quarantined", "identity_required"),
    ]
    items = (await api.get(f"/v1/submissions/{rows[0]['submission_id']}"))["items"]
    assert [item["submission_key"] for item in items[:2]] == [
        "000123|11/05/2026 10:42 AM|Tom",
        "000123|11/05/2026 10:42 AM|Eva",
    ]
    mapped = items[0]["mapped"]
    assert mapped["occurred_at"] == "2026-11-05T10:42:00Z"
    assert mapped["custom"]["Booth Rep"] == "Tom"
    lead = await lead_of(api, "h.mueller@example-ag.de")
    wanted = {
        "phone": "+4989123456",
        "country": "DE",
        "company": "Example AG, Werk 2",
        "job_title": "Head of Production",
    }
    assert {name: lead["fields"][name] for name in wanted} == wanted
    assert lead["consents"]["email_marketing"] == "given"
    activities = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
    assert [one["type"] for one in activities] == ["badge_scan", "badge_scan"]


async def test_an_import_of_another_tenant_is_a_404(api: Api) -> None:
    made = await (await make_lists(api)).import_list(PEOPLE)
    other = (await api.post("/v1/tenants", {"name": "other", "policy": "waterfall"}))["key"]["secret"]
    for method, path in (("GET", ""), ("GET", "/rows"), ("GET", "/errors"), ("POST", "/cancel")):
        answer = await api.call(method, f"/v1/imports/{made['id']}{path}", key=other)
        assert (answer.status_code, answer.json()["code"]) == (404, "import_not_found")
    assert (await api.get("/v1/imports", key=other))["data"] == []


async def test_a_list_whose_sender_goes_away_leaves_nothing(api: Api) -> None:
    lists = await make_lists(api)
    messages = [
        {"type": "http.request", "body": PEOPLE.encode() * 2_000, "more_body": True},
        {"type": "http.disconnect"},
    ]
    headers = [(b"authorization", f"Bearer {api.key}".encode()), (b"content-type", b"text/csv")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": "POST",
        "path": "/v1/imports",
        "root_path": "",
        "query_string": f"source_id={lists.source['id']}".encode(),
        "headers": headers,
    }
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await api.app(scope, receive, send)
    assert (messages, sent) == ([], [])
    assert await count(api, "SELECT (SELECT count(*) FROM imports) + (SELECT count(*) FROM submissions)") == 0


async def test_what_a_killed_process_had_received_of_a_list_is_never_processed_and_deleted_after_an_hour(
    api: Api,
) -> None:
    lists = await make_lists(api)
    made = await lists.post(PEOPLE)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE imports SET state = 'receiving'"))
        await tx.execute(text("UPDATE submissions SET state = 'arriving'"))
    assert await process_lists(api) == 0
    assert (await lists.found(made))["state"] == "receiving"
    (submission,) = (await api.get("/v1/submissions"))["data"]
    await api.post(f"/v1/submissions/{submission['id']}/replay", None, status=202)
    assert await process_lists(api) == 0, "not by a replay either"
    assert await sweep(api) == 0
    api.clock.ahead = timedelta(minutes=61)
    assert await sweep(api) == 2
    assert await count(api, "SELECT (SELECT count(*) FROM imports) + (SELECT count(*) FROM submissions)") == 0


async def sweep(api: Api) -> int:
    """Deletes what has stopped arriving; how many rows of tables that were."""
    total = 0
    while True:
        async with api.app.state.engine.begin() as tx:
            number = await sweep_abandoned(tx, api.now - ABANDONED)
        if not number:
            return total
        total += number


async def test_webinar_attendance_tells_who_came_from_who_registered(api: Api) -> None:
    lists = await make_lists(api, "webinar-attendance")
    sent = table(
        ("Attendee Report",),
        ("Attended", "User Name (Original Name)", "Email", "Join Time", "Time in Session (minutes)", "Organization"),
        ("Yes", "Ana Țepeș", "ana@nordsoft.example", "11/05/2026 10:02:11 AM", "43", "Nordsoft"),
        ("No", "Jan Łuk", "jan@acme.example", "", "", "Acme"),
    )
    assert (await lists.import_list(sent, header_row=2))["counts"] == {"lead": 2}
    found = {}
    for name in ("ana@nordsoft.example", "jan@acme.example"):
        lead = await lead_of(api, name)
        (activity,) = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
        found[name] = (activity["type"], lead["fields"]["full_name"], lead["attribution"]["first"]["medium"])
        if name.startswith("ana"):
            assert activity["occurred_at"] == "2026-11-05T10:02:11Z"
            assert lead["custom"]["Time in Session (minutes)"] == "43"
    assert found == {
        "ana@nordsoft.example": ("webinar_attended", "Ana Țepeș", "webinar"),
        "jan@acme.example": ("webinar_registered", "Jan Łuk", "webinar"),
    }


async def test_a_row_gives_one_item_whatever_the_document_makes_of_it(api: Api) -> None:
    sent = table(("E-mail",), ("a@x.example",), ("b@x.example",))
    for items, counts in (("[body, body]", {"quarantined": 2}), ("`[]`", {"ignore": 2})):
        lists = await make_lists(api, overrides={"items": items})
        assert (await lists.import_list(sent))["counts"] == counts
    assert await count(api, "SELECT count(*) FROM leads") == 0
