"""A submission key or a content that comes again: a duplicate, a revision, or a submission of somebody else."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import yaml
from sqlalchemy import text

from app import ids
from app.matching.identity import is_one_person
from app.matching.normalize import normalize
from app.submissions import process
from tests.api import Api
from tests.payloads.samples import FOLDER
from tests.submissions.sender import Sender, count, make_sender
from tests.submissions.sender import process as process_all

ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("repeats.yaml").read_text("utf-8"))
DOORS = ["one by one", "in one batch", "in one body"]


async def send(api: Api, sender: Sender, bodies: list[dict[str, Any]], door: str = "one by one") -> list[Any]:
    """Sends the bodies and returns their items."""
    if door == "in one body":
        made = await sender.post_and_process(json.dumps(bodies), Content_Type="application/json")
        return list(made["items"])
    answers = []
    for body in bodies:
        answers.append((await sender.post(dict(body))).json()["submission"]["id"])
        if door == "one by one":
            await process_all(api)
    await process_all(api)
    return [(await sender.submission(one))["items"][0] for one in answers]


async def submission_ids(api: Api) -> list[UUID]:
    return [ids.read("submission", row["id"]) for row in (await api.get("/v1/submissions"))["data"]]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row["send"]))
def test_two_submissions_with_one_key_are_of_one_person_by_the_table(row: dict[str, Any]) -> None:
    if row["then"] == "duplicate":
        return
    one, other = (normalize({"full_name": body.get("name"), **body}, body.get("ids", {}), None) for body in row["send"])
    assert is_one_person(one, other) == is_one_person(other, one) == (row["then"] == "revised")


@pytest.mark.parametrize("door", DOORS)
async def test_the_second_submission_with_a_key_is_what_the_table_says(api: Api, door: str) -> None:
    sender = await make_sender(api)
    for n, row in enumerate(ROWS):
        one, other = (
            {**body, "external_ids": body.get("ids", {}), "id": 1000 + n, "consents": {"email_marketing": "yes"}}
            for body in row["send"]
        )
        first, second, again = await send(api, sender, [one, other, other], door)
        assert {item["submission_key"] for item in (first, second, again)} == {str(1000 + n)}
        lead = await api.get(f"/v1/leads/{first['lead_id']}")
        assert (again["verdict"], again["lead_id"]) == ("duplicate", second["lead_id"]), row
        if row["then"] == "reused":
            assert (second["verdict"], second["reason"]) == ("lead", "key_reused"), row
            assert second["lead_id"] != first["lead_id"]
        else:
            assert (second["verdict"], second["reason"]) == (row["then"], None), row
            assert second["lead_id"] == first["lead_id"]
            activities = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
            assert len(activities) == 1
        if row["then"] == "revised" and "phone" in other:
            assert other["phone"] in [one["value"] for one in lead["identities"]]


async def test_a_reused_key_is_flagged_and_the_next_ones_of_each_person_go_to_their_own_lead(api: Api) -> None:
    sender = await make_sender(api)
    ana, ion = {"id": 7, "email": "ana@a.example"}, {"id": 7, "email": "ion@b.example"}
    bodies = [ana, ion, ana, ion, {**ion, "phone": "+40722123456"}, {**ana, "phone": "+40722123457"}, ion]
    items = await send(api, sender, bodies)
    assert [item["verdict"] for item in items] == [
        "lead",
        "lead",
        "duplicate",
        "duplicate",
        "revised",
        "revised",
        "duplicate",
    ]
    assert [item["lead_id"] == items[0]["lead_id"] for item in items] == [True, False, True, False, False, True, False]
    assert items[1]["mapped"]["flags"] == ["key_reused"]
    assert len({item["lead_id"] for item in items}) == 2
    for one in {item["lead_id"] for item in items}:
        assert len((await api.get(f"/v1/leads/{one}/activities"))["data"]) == 1


async def test_a_revision_counts_as_a_later_form_but_makes_no_activity_touch_or_score(api: Api) -> None:
    sender = await make_sender(api)
    first = {"submission_id": "s1", "email": "ana@a.example", "name": "Ana Pop", "newsletter": "yes"}
    last = {**first, "newsletter": "no", "company": "Acme", "job_title": "CEO", "phone": "+40722123456"}
    one = (await send(api, sender, [first]))[0]
    before = await api.get(f"/v1/leads/{one['lead_id']}")
    (two,) = await send(api, sender, [last])
    lead = await api.get(f"/v1/leads/{one['lead_id']}")
    assert (two["verdict"], two["lead_id"]) == ("revised", one["lead_id"])
    assert (lead["fields"]["company"], lead["fields"]["phone"]) == ("Acme", "+40722123456")
    assert (before["consents"]["email_marketing"], lead["consents"]["email_marketing"]) == ("given", "refused")
    assert lead["score"]["engagement"] == before["score"]["engagement"]
    assert await count(api, "SELECT count(*) FROM touches") == await count(api, "SELECT count(*) FROM activities") == 1
    rows = (await api.get("/v1/submissions"))["data"]
    bodies = [(await api.get(f"/v1/submissions/{row['id']}/raw"))["body"] for row in rows]
    assert [json.loads(body) for body in bodies] == [last, first]


async def test_a_corrected_address_of_the_same_name_revises_the_same_lead(api: Api) -> None:
    sender = await make_sender(api)
    items = await send(api, sender, [{"id": 7, "email": f"{n}@a.example", "name": "Ana Pop"} for n in ("an", "ana")])
    assert [item["verdict"] for item in items] == ["lead", "revised"]
    (lead,) = (await api.get("/v1/leads"))["data"]
    assert {one["value"] for one in lead["identities"]} == {"an@a.example", "ana@a.example"}


async def test_a_replay_gives_every_submission_with_one_key_the_same_lead_again(api: Api) -> None:
    sender = await make_sender(api)
    ana, ion = {"id": 7, "email": "ana@a.example"}, {"id": 7, "email": "ion@b.example"}
    before = await send(api, sender, [ana, ion, {**ion, "company": "B"}, ion])
    replayed = await api.post(f"/v1/sources/{sender.source['id']}/replay", {"all": True}, status=202)
    assert replayed["replayed"] == 4
    await process_all(api)
    rows = reversed((await api.get("/v1/submissions"))["data"])
    after = [row["items"][0] for row in rows]
    assert [(item["verdict"], item["lead_id"]) for item in after] == [
        (item["verdict"], item["lead_id"]) for item in before
    ]
    assert await count(api, "SELECT count(*) FROM activities") == 2


async def test_of_one_key_in_parallel_each_person_has_one_lead_and_each_content_is_kept_once(api: Api) -> None:
    sender = await make_sender(api)
    people = [{"id": 7, "email": f"p{n}@a.example", "company": company} for n in range(3) for company in ("A", "B")]
    for body in people * 2:
        await sender.post(dict(body))
    engine = api.app.state.engine
    await asyncio.gather(
        *(process.process_one(engine, api.tenant_id, one, api.clock.now) for one in await submission_ids(api))
    )
    await process_all(api)
    items = [row["items"][0] for row in (await api.get("/v1/submissions"))["data"]]
    assert sorted(item["verdict"] for item in items) == ["duplicate"] * 6 + ["lead"] * 3 + ["revised"] * 3
    assert await count(api, "SELECT count(*) FROM leads") == await count(api, "SELECT count(*) FROM activities") == 3


@pytest.mark.parametrize("key", ["0", -1, "null", "unknown", "{{id}}", "00000000-0000-0000-0000-000000000000"])
async def test_a_key_that_stands_for_none_is_no_key(api: Api, key: Any) -> None:
    sender = await make_sender(api)
    items = await send(api, sender, [{"id": key, "email": f"{name}@a.example"} for name in ("ana", "ion", "ana")])
    assert [(item["verdict"], item["reason"]) for item in items] == [("lead", None)] * 2 + [("duplicate", None)]


SLIDING = [
    (["16:59:57", "16:59:57", "17:00:02"], ["lead", "duplicate", "duplicate"]),
    (["16:59:59", "17:09:59"], ["lead", "duplicate"]),
    (["16:59:59", "17:10:00"], ["lead", "lead"]),
    (["17:00:00", "17:09:00", "17:18:00", "17:27:00"], ["lead", "duplicate", "lead", "duplicate"]),
    (["17:00:00", "17:10:01", "17:20:01"], ["lead", "lead", "duplicate"]),
    (["17:00:00", "17:30:00"], ["lead", "lead"]),
]


async def receive_at(api: Api, sender: Sender, times: list[str], body: str) -> list[UUID]:
    """Sends one body at each time of a day."""
    sent = []
    for time in times:
        at = datetime.fromisoformat(f"2026-11-10T{time}+00:00")
        api.clock.ahead += at - api.now
        answer = await sender.post(body, Content_Type="application/x-www-form-urlencoded")
        sent.append(ids.read("submission", answer.json()["submission"]["id"]))
        async with api.app.state.engine.begin() as tx:
            await tx.execute(
                text("UPDATE submissions SET received_at = :at WHERE id = :id"), {"at": at, "id": sent[-1]}
            )
    api.clock.ahead += datetime(2026, 11, 11, tzinfo=UTC) - api.now
    return sent


async def verdicts(api: Api, sent: list[UUID]) -> list[str]:
    items = [(await api.get(f"/v1/submissions/{ids.show('submission', one)}"))["items"][0] for one in sent]
    assert len({item["lead_id"] for item in items}) == 1
    return [item["verdict"] for item in items]


@pytest.mark.parametrize(("times", "expected"), SLIDING)
@pytest.mark.parametrize("door", ["in one batch", "in batches", "in reverse", "at once"])
async def test_the_same_content_without_a_key_is_the_same_again_for_ten_minutes(
    api: Api, times: list[str], expected: list[str], door: str
) -> None:
    sender = await make_sender(api, "html-form")
    sent = await receive_at(api, sender, times, f"email=ana-{uuid4().hex[:6]}@a.example&message=hi")
    engine = api.app.state.engine
    if door == "in one batch":
        await process_all(api)
    elif door == "at once":
        await asyncio.gather(*(process.process_one(engine, api.tenant_id, one, api.clock.now) for one in sent))
        await process_all(api)
    else:
        for one in sent if door == "in batches" else reversed(sent):
            await process.process_one(engine, api.tenant_id, one, api.clock.now)
    found = await verdicts(api, sent)
    if door in ("in one batch", "in batches"):
        assert found == expected
    elif len(times) < 4:
        assert found.count("lead") == expected.count("lead")


def typeform(token: str, *, partial: bool, email: str | None = "lian@example-bio.hu", phone: str | None = None) -> Any:
    """A response of one form as its webhook sends it, partial or final."""
    response = json.loads((FOLDER / "08-typeform.json").read_bytes())["form_response"]
    given = {"email": email, "phone_number": phone}
    answers = [one for one in response["answers"] if one["type"] not in given or given[one["type"]]]
    for one in answers:
        if one["type"] in given:
            one[one["type"]] = given[one["type"]]
    word = "form_response_partial" if partial else "form_response"
    return {
        "event_id": new_event(),
        "event_type": word,
        "form_response": {**response, "token": token, "answers": answers},
    }


def new_event() -> str:
    return uuid4().hex


async def test_a_partial_response_and_the_final_one_are_one_lead_with_one_activity(api: Api) -> None:
    sender = await make_sender(api, "typeform", overrides={"verify": []})
    first = await sender.post_and_process(typeform("t1", partial=True))
    again = await sender.post_and_process(typeform("t1", partial=True))
    final = await sender.post_and_process(typeform("t1", partial=False, phone="+36301234567"))
    last = await sender.post_and_process(typeform("t1", partial=False, phone="+36301234567"))
    items = [made["items"][0] for made in (first, again, final, last)]
    assert [item["verdict"] for item in items] == ["lead", "duplicate", "revised", "duplicate"]
    lead = await api.get(f"/v1/leads/{items[0]['lead_id']}")
    assert {item["lead_id"] for item in items} == {lead["id"]}
    assert lead["fields"]["phone"] == "+36301234567"
    assert len((await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]) == 1


@pytest.mark.parametrize("answers", [{"email": "lian@example-bio.hu"}, {"phone": "+36301234567", "email": None}])
async def test_a_partial_response_of_nobody_is_ignored_and_the_final_one_is_the_lead(api: Api, answers: Any) -> None:
    sender = await make_sender(api, "typeform", overrides={"verify": []})
    sent = [typeform("t2", partial=True, email=None), typeform("t2", partial=False, **answers)]
    partial, final, again = [(await sender.post_and_process(one))["items"][0] for one in (*sent, sent[1])]
    assert (partial["verdict"], partial["lead_id"]) == ("ignore", None)
    assert (final["verdict"], final["reason"], final["submission_key"]) == ("lead", None, "t2")
    assert (again["verdict"], again["lead_id"]) == ("duplicate", final["lead_id"])
    assert final["lead_id"] is not None


async def test_what_was_ignored_under_a_key_takes_no_lead_from_an_equal_item_that_arrives_later(api: Api) -> None:
    """A sender of partial forms: both notices have the same answers, and differ in their envelope only."""
    route = [{"when": "body.trigger == 'partial'", "do": "ignore"}]
    overrides = {"items": "[body.answers]", "route": route, "submission_key": "body.id"}
    sender = await make_sender(api, overrides=overrides)
    answers = {"email": "ana@nordsoft.example"}
    bodies = [{"id": "f1", "trigger": trigger, "answers": answers} for trigger in ("partial", "done", "done")]
    bodies.append({"id": "f1", "trigger": "done", "answers": {**answers, "phone": "+40722000002"}})
    items = [(await sender.post_and_process(body))["items"][0] for body in bodies]
    assert [item["verdict"] for item in items] == ["ignore", "lead", "duplicate", "revised"]
    assert len({item["lead_id"] for item in items[1:]}) == 1
    assert [item["reason"] for item in items] == [None] * 4


A = {"id": 7, "email": "ana@a.example", "name": "Ana Pop", "company": "A", "newsletter": "yes"}
B = {**A, "company": "B", "newsletter": "no"}
# Minutes after the first, content, its own time (minutes), and what becomes of it.
GOING_BACK: dict[str, list[tuple[int, dict[str, Any], int | None, str]]] = {
    "back to what was first": [(0, A, None, "lead"), (20, B, None, "revised"), (40, A, None, "revised")],
    "back and forth": [
        (0, A, None, "lead"),
        (20, B, None, "revised"),
        (40, A, None, "revised"),
        (60, B, None, "revised"),
        (80, A, None, "revised"),
        (81, A, None, "duplicate"),
        (120, A, None, "duplicate"),
    ],
    "the delivery of the first again": [(0, A, None, "lead"), (1, B, None, "revised"), (9, A, None, "duplicate")],
    "the delivery of a revision again": [
        (0, A, None, "lead"),
        (20, B, None, "revised"),
        (22, A, None, "revised"),
        (24, B, None, "duplicate"),
    ],
    "its own time is later": [(0, A, 0, "lead"), (1, B, 1, "revised"), (2, A, 2, "revised")],
    "its own time is that of the first": [(0, A, 0, "lead"), (30, B, 29, "revised"), (60, A, 0, "duplicate")],
    "its own time is the same for all": [(0, A, 0, "lead"), (30, B, 0, "revised"), (60, A, 0, "revised")],
}


@pytest.mark.parametrize("steps", GOING_BACK.values(), ids=GOING_BACK.keys())
async def test_what_goes_back_to_an_earlier_content_is_a_revision_unless_a_delivery_is_repeated(
    api: Api, steps: list[tuple[int, dict[str, Any], int | None, str]]
) -> None:
    sender, start, before = await make_sender(api), api.now, 0
    found = []
    for minutes, content, own, _ in steps:
        api.clock.ahead += timedelta(minutes=minutes - before)
        before = minutes
        said = {} if own is None else {"occurred_at": (start + timedelta(minutes=own)).isoformat()}
        (item,) = await send(api, sender, [{**content, **said}])
        found.append(item["verdict"])
        lead = await api.get(f"/v1/leads/{item['lead_id']}")
    assert found == [verdict for *_, verdict in steps]
    last = [content for _, content, _, verdict in steps if verdict != "duplicate"][-1]
    if [own for _, _, own, _ in steps] != [0, 0, 0]:  # of answers of one instant a refusal counts
        assert lead["consents"]["email_marketing"] == ("given" if last is A else "refused")
    assert await count(api, "SELECT count(*) FROM leads") == await count(api, "SELECT count(*) FROM activities") == 1
