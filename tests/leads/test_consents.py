"""Which consent of a lead counts, in whatever order they come; and what may record one."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations, permutations
from typing import Any

import pytest

from tests.api import Api
from tests.imports.lists import lead_of, make_lists, table
from tests.submissions.sender import Sender, count, make_sender, process

MARKETING = "email_marketing"
Entry = tuple[str, str, int]  # who said it, what, and how many days ago
OTHERS = [("person", "given", 3), ("person", "withdrawn", 5), ("list", "given", 1), ("list", "given", 4)]


def counting(entries: tuple[Entry, ...]) -> str:
    """What counts of a person: the last thing said, a refusal at the same instant; else what a list claims."""
    own = [one for one in entries if one[0] == "person"] or list(entries)
    return max(own, key=lambda one: (-one[2], one[1] != "given"))[1]


@pytest.mark.parametrize("first", [("person", "given", 4), ("person", "refused", 3), ("person", "withdrawn", 4)])
async def test_the_order_in_which_consents_are_recorded_does_not_count(api: Api, first: Entry) -> None:
    defaults = {"entry": "suspect"}
    bought = await api.post("/v1/sources", {"name": "list", "preset": "generic", "defaults": defaults})
    ago = {days: api.ago(days=days) for days in (1, 3, 4, 5)}
    ordered = [one for others in combinations(OTHERS, 2) for one in permutations((first, *others))]
    for n, entries in enumerate(ordered):
        body: dict[str, Any] = {"fields": {"email": f"p{n}@nordsoft.example"}}
        for who, state, days in entries:
            said = [{"purpose": MARKETING, "state": state, "occurred_at": ago[days]}]
            source = {"source_id": bought["id"]} if who == "list" else {}
            answer = await api.call("POST", "/v1/leads", {**body, **source, "consents": said})
        lead = answer.json()
        assert lead["consents"] == {MARKETING: counting(entries)}, entries
        if n % 3 == 0:
            await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"company": "Later"}})
            past = await api.get(f"/v1/leads/{lead['id']}", params={"as_of": lead["updated_at"]})
            assert past["consents"] == lead["consents"], entries


@pytest.mark.parametrize("door", ["PUT", "POST"])
async def test_a_consent_of_a_clock_that_is_fast_does_not_win_over_what_the_person_says_next(
    api: Api, door: str
) -> None:
    ahead = {"purpose": MARKETING, "state": "given", "occurred_at": api.ago(minutes=-4)}
    lead = await api.lead(email="ana@nordsoft.example")
    path = f"/v1/leads/{lead['id']}/consents"
    if door == "PUT":
        first = await api.call("PUT", path, {"consents": [ahead]})
    else:
        first = await api.call("POST", "/v1/leads", {"fields": {"email": "ana@nordsoft.example"}, "consents": [ahead]})
    assert first.status_code == 200, first.text
    withdrawn = await api.call("PUT", path, {"consents": [{"purpose": MARKETING, "state": "withdrawn"}]})
    assert withdrawn.json()["consents"] == {MARKETING: "withdrawn"}


async def test_a_consent_has_its_own_time_and_none_in_the_future(api: Api) -> None:
    lead = await api.lead()
    path = f"/v1/leads/{lead['id']}/consents"
    for state, days in (("withdrawn", 1), ("given", 2)):
        said = {"consents": [{"purpose": MARKETING, "state": state, "occurred_at": api.ago(days=days)}]}
        assert (await api.call("PUT", path, said)).status_code == 200
    shown = await api.get(path)
    assert shown["consents"] == {MARKETING: "withdrawn"}
    assert [one["state"] for one in shown["log"]] == ["withdrawn", "given"]
    ahead = [{"purpose": "phone", "state": "given"}, {"purpose": "phone", "state": "given"}]
    ahead[1]["occurred_at"] = "2199-01-01T00:00:00Z"
    for method, where, body in (
        ("PUT", path, {"consents": ahead}),
        ("POST", "/v1/leads", {"fields": {"email": "b@b.example"}, "consents": ahead}),
    ):
        refused = await api.call(method, where, body)
        assert (refused.status_code, refused.json()["code"]) == (422, "out_of_order"), refused.text
        assert refused.json()["errors"][0]["field"] == "consents.1.occurred_at"
    assert (await api.get(path))["log"] == shown["log"]


@pytest.mark.parametrize("seconds", [1, 60, 280, 290])
@pytest.mark.parametrize("door", ["consents", "leads"])
@pytest.mark.parametrize(("first", "then"), [("given", "withdrawn"), ("given", "refused"), ("withdrawn", "given")])
async def test_a_consent_dated_ahead_of_the_clock_counts_from_its_receipt_and_not_longer_than_the_next(
    api: Api, seconds: int, door: str, first: str, then: str
) -> None:
    lead = await api.lead(email="ana@nordsoft.example")
    path = f"/v1/leads/{lead['id']}/consents"
    ahead = (api.now + timedelta(seconds=seconds)).isoformat()
    said = [{"purpose": MARKETING, "state": first, "occurred_at": ahead}]
    if door == "consents":
        assert (await api.call("PUT", path, {"consents": said})).status_code == 200
    else:
        await api.call("POST", "/v1/leads", {"fields": {"email": "ana@nordsoft.example"}, "consents": said})
    shown = await api.get(path)
    assert shown["consents"] == {MARKETING: first}
    assert datetime.fromisoformat(shown["log"][0]["occurred_at"]) <= api.now
    later = await api.call("PUT", path, {"consents": [{"purpose": MARKETING, "state": then}]})
    assert later.status_code == 200
    assert (await api.get(path))["consents"] == {MARKETING: then}


async def unsubscribing(api: Api) -> Sender:
    overrides = {
        "route": [{"when": "item.type == 'unsubscribe'", "do": "consent"}],
        "consent": [
            {"purpose": MARKETING, "expr": "item.type == 'unsubscribe'", "if_yes": "withdrawn", "if_no": "given"}
        ],
        "submission_key": "join('|', [item.type, item.email, item.fired_at])",
        "occurred_at": {"expr": "item.fired_at", "formats": ["iso"]},
    }
    return await make_sender(api, overrides=overrides)


async def test_an_unsubscribe_of_somebody_unknown_makes_no_lead(api: Api) -> None:
    sender = await unsubscribing(api)
    body = {"type": "unsubscribe", "email": "ana@nordsoft.example", "name": "Ana", "fired_at": api.ago(days=1)}
    for verdict in ("consent", "duplicate"):
        (item,) = (await sender.post_and_process(body))["items"]
        assert (item["verdict"], item["lead_id"]) == (verdict, None)
    assert (await api.get("/v1/leads"))["data"] == []
    assert await count(api, "SELECT count(*) FROM events WHERE type LIKE 'lead.%'") == 0


async def test_an_unsubscribe_withdraws_the_consent_of_a_known_person_and_nothing_else(api: Api) -> None:
    sender = await unsubscribing(api)
    given = {"fields": {"email": "ana@nordsoft.example"}, "consents": [{"purpose": MARKETING, "state": "given"}]}
    lead = await api.post("/v1/leads", {**given, "occurred_at": api.ago(days=9)})
    body = {"type": "unsubscribe", "email": "ana@nordsoft.example", "fired_at": api.ago(days=1)}
    made = await sender.post_and_process(body)
    assert made["items"][0]["lead_id"] == lead["id"]
    after = await api.reload(lead)
    assert after["consents"] == {MARKETING: "withdrawn"}
    assert after["attribution"] == lead["attribution"]
    assert len((await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]) == 1
    *_, entry = (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"]
    assert (entry["submission_id"], entry["source_id"]) == (made["id"], sender.source["id"])
    assert entry["bought"] is False


@pytest.mark.parametrize("days", [0.5, 3])
async def test_a_withdrawal_beats_a_list_that_was_bought_before_or_after_it(api: Api, days: float) -> None:
    sender = await unsubscribing(api)
    source = await api.post("/v1/sources", {"name": "list", "preset": "generic", "defaults": {"entry": "suspect"}})
    row = {"fields": {"email": "ana@nordsoft.example"}, "source_id": source["id"], "occurred_at": api.ago(days=days)}
    row["consents"] = [{"purpose": MARKETING, "state": "given"}]
    lead = await api.post("/v1/leads", row)
    assert lead["consents"] == {MARKETING: "given"}
    await sender.post_and_process({"type": "unsubscribe", "email": "ana@nordsoft.example", "fired_at": api.ago(days=1)})
    assert (await api.reload(lead))["consents"] == {MARKETING: "withdrawn"}
    again = await api.post("/v1/leads", {**row, "occurred_at": api.ago(days=0.1)}, status=200)
    assert again["consents"] == {MARKETING: "withdrawn"}


BOUGHT = {"defaults": {"entry": "suspect"}}
LATER: dict[str, tuple[dict[str, Any], str]] = {
    "a form that says nothing of consent": ({}, "withdrawn"),
    "a form that gives it later": ({"email_marketing": "yes"}, "given"),
    "a form that gave it before": ({"email_marketing": "yes", "days": 3}, "withdrawn"),
    "a form that refuses it": ({"email_marketing": "no"}, "refused"),
    "the address in other letters": ({"email": "Ana@NordSoft.Example"}, "withdrawn"),
    "a bought list that claims it": ({"email_marketing": "yes", **BOUGHT}, "withdrawn"),
    "another address": ({"email": "jan@nordsoft.example"}, "unknown"),
}


@pytest.mark.parametrize("kind", LATER)
@pytest.mark.parametrize("together", [False, True])
async def test_who_withdrew_before_being_a_lead_has_withdrawn_afterwards(api: Api, kind: str, together: bool) -> None:
    values, expected = LATER[kind]
    unsubscriber = await unsubscribing(api)
    moment = {"occurred_at": {"expr": "item.at", "formats": ["iso"]}}
    form = await make_sender(api, overrides=moment, defaults=values.get("defaults", {}))
    unsubscribe = {"type": "unsubscribe", "email": "ana@nordsoft.example", "fired_at": api.ago(days=1)}
    left = (await unsubscriber.post(unsubscribe)).json()["submission"]["id"]
    if not together:
        await process(api)
    said = {name: value for name, value in values.items() if name in ("email", "email_marketing")}
    fill = {"email": "ana@nordsoft.example", **said, "at": api.ago(days=values.get("days", 0.5))}
    filled = (await form.post(fill)).json()["submission"]["id"]
    await process(api)
    assert (await api.get(f"/v1/submissions/{left}"))["items"][0]["lead_id"] is None
    (item,) = (await api.get(f"/v1/submissions/{filled}"))["items"]
    lead = await api.get(f"/v1/leads/{item['lead_id']}")
    assert lead["consents"][MARKETING] == expected
    log = (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"]
    if expected != "unknown":
        assert (log[0]["state"], log[0]["submission_id"]) == ("withdrawn", left)


async def test_a_list_whose_people_are_said_to_have_consented_gives_no_consent_that_was_withdrawn(api: Api) -> None:
    sender = await unsubscribing(api)
    await sender.post_and_process({"type": "unsubscribe", "email": "ana@nordsoft.example", "fired_at": api.ago(days=1)})
    lists = await make_lists(api)
    options = {"consent": MARKETING, "consent_evidence": "a talk at the fair"}
    await lists.import_list(table(("email",), ("ana@nordsoft.example",), ("jan@nordsoft.example",)), **options)
    states = [(await lead_of(api, f"{one}@nordsoft.example"))["consents"][MARKETING] for one in ("ana", "jan")]
    assert states == ["withdrawn", "given"]


async def test_an_address_that_a_lead_gets_by_a_change_brings_what_was_withdrawn_with_it(api: Api) -> None:
    sender = await unsubscribing(api)
    await sender.post_and_process({"type": "unsubscribe", "email": "ana@nordsoft.example", "fired_at": api.ago(days=1)})
    lead = await api.lead(email="other@nordsoft.example")
    changed = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"email": "ana@nordsoft.example"}})
    assert changed.json()["consents"] == {MARKETING: "withdrawn"}


async def test_of_several_withdrawals_of_somebody_unknown_the_latest_is_kept_and_without_the_address(api: Api) -> None:
    sender = await unsubscribing(api)
    for days in (2, 1, 3):
        body = {"type": "unsubscribe", "email": "ana@nordsoft.example", "fired_at": api.ago(days=days)}
        await sender.post_and_process(body)
    assert await count(api, "SELECT count(*) FROM withdrawals") == 1
    assert await count(api, "SELECT count(*) FROM withdrawals w WHERE w::text LIKE '%ana@%'") == 0
    lead = await api.lead(email="ana@nordsoft.example")
    (entry,) = (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"]
    assert entry["occurred_at"][:10] == api.ago(days=1)[:10]
