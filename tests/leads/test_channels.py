"""Through which channel a lead came: a word of a list, said or by default, with who referred and which partner."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from app import ids
from app.matching.channel import CHANNELS, DOORS, read_channel
from app.sources.preset import make_document, preset_names
from tests.api import Api
from tests.contract.world import second_tenant
from tests.submissions.sender import make_sender

OUTSIDE = ("fax", "Billboard", "web form 2", "канал", "web", "ref", "e_mail_list")


async def found(api: Api, channel: str) -> set[str]:
    return {lead["id"] for lead in (await api.get("/v1/leads", params={"channel": channel}))["data"]}


async def arrive(api: Api, email: str, status: int = 201, **attribution: Any) -> dict[str, Any]:
    return dict(await api.post("/v1/leads", {"fields": {"email": email}, "attribution": attribution}, status=status))


async def ingested(api: Api, body: dict[str, Any], **members: Any) -> dict[str, Any]:
    sender = await make_sender(api, **members)
    made = await sender.post_and_process({"email": "ana@nordsoft.example", **body})
    return dict(await api.get(f"/v1/leads/{made['items'][0]['lead_id']}"))


async def test_a_lead_is_recorded_and_found_by_each_channel(api: Api) -> None:
    leads = {channel: await arrive(api, f"{channel}@nordsoft.example", channel=channel) for channel in CHANNELS}
    for channel, lead in leads.items():
        assert lead["channel"] == lead["attribution"]["first"]["channel"] == channel
        assert await found(api, channel) == {lead["id"]}


async def test_a_channel_may_stand_beside_the_fields_or_in_the_attribution_but_not_be_two(api: Api) -> None:
    body: dict[str, Any] = {"fields": {"email": "ana@nordsoft.example"}, "channel": "phone"}
    for attribution, status in (({}, 201), ({"channel": "phone"}, 200), ({"channel": "chat"}, 422)):
        answer = await api.call("POST", "/v1/leads", {**body, "attribution": attribution})
        assert answer.status_code == status, answer.text
    (lead,) = (await api.get("/v1/leads"))["data"]
    assert lead["channel"] == lead["attribution"]["first"]["channel"] == "phone"
    assert (await api.call("POST", "/v1/leads", {**body, "channel": "fax"})).status_code == 422


async def test_a_lead_without_a_channel_came_by_the_api(api: Api) -> None:
    lead = await arrive(api, "ana@nordsoft.example")
    assert (lead["channel"], lead["attribution"]) == ("api", {"first": {}, "last": {}})
    assert await found(api, "api") == {lead["id"]}


async def test_a_lead_keeps_the_channel_by_which_it_came_first(api: Api) -> None:
    lead = await arrive(api, "ana@nordsoft.example", channel="trade_show")
    for channel in ("chat", "webinar"):
        again = await arrive(api, "ana@nordsoft.example", 200, channel=channel)
        assert again["channel"] == again["attribution"]["first"]["channel"] == "trade_show"
        assert again["attribution"]["last"]["channel"] == channel
    assert [channel for channel in CHANNELS if await found(api, channel)] == ["trade_show"]
    assert await found(api, "trade_show") == {lead["id"]}


@pytest.mark.parametrize("said", [*OUTSIDE, "Phone", "phone ", "web-form"])
async def test_the_api_refuses_what_is_no_channel(api: Api, said: str) -> None:
    body = {"fields": {"email": "ana@nordsoft.example"}, "attribution": {"channel": said}}
    refused = await api.call("POST", "/v1/leads", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")
    assert refused.json()["errors"][0]["field"] == "attribution.channel"
    assert "phone" in refused.json()["detail"]
    assert (await api.call("GET", "/v1/leads", params={"channel": said})).status_code == 422
    source = {"name": "Form", "preset": "generic", "defaults": {"channel": said}}
    assert (await api.call("POST", "/v1/sources", source)).status_code == 422


def test_a_channel_is_read_whatever_its_case_blanks_and_hyphens() -> None:
    for channel in CHANNELS:
        for written in (channel, channel.upper(), channel.title().replace("_", " "), channel.replace("_", "-")):
            assert read_channel(f" {written} ") == channel
    assert read_channel("E-Mail") == "email"
    assert [read_channel(text) for text in OUTSIDE] == [None] * len(OUTSIDE)


@pytest.mark.parametrize("said", OUTSIDE)
async def test_the_ingest_door_keeps_what_is_no_channel_and_takes_the_default(api: Api, said: str) -> None:
    lead = await ingested(api, {"channel": said}, defaults={"channel": "event"})
    assert lead["channel"] == "event"
    assert lead["attribution"]["first"] == {"channel": "event", "channel_raw": said}
    assert "channel" not in lead["custom"]


@pytest.mark.parametrize(
    ("said", "of_source", "expected"),
    [
        (None, None, "web_form"),
        (None, "trade_show", "trade_show"),
        ("Chat", None, "chat"),
        ("chat", "trade_show", "chat"),
    ],
)
async def test_what_is_said_comes_before_the_source_and_the_source_before_the_preset(
    api: Api, said: str | None, of_source: str | None, expected: str
) -> None:
    lead = await ingested(api, {"channel": said}, defaults={"channel": of_source})
    assert lead["channel"] == lead["attribution"]["first"]["channel"] == expected
    assert await found(api, expected) == {lead["id"]}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_names_its_channel(name: str) -> None:
    assert make_document(name, {}).defaults.channel in CHANNELS


async def test_a_request_with_a_source_has_its_channel(api: Api) -> None:
    source = await api.post("/v1/sources", {"name": "s", "preset": "generic", "defaults": {"channel": "social"}})
    body = {"fields": {"email": "ana@nordsoft.example"}, "source_id": source["id"]}
    assert (await api.post("/v1/leads", body))["attribution"]["first"] == {"channel": "social"}


@pytest.mark.parametrize(("channel", "type_"), [("phone", "call"), ("chat", "chat"), ("webinar", "form_fill")])
async def test_a_call_or_chat_is_recorded_as_easily_as_a_form(api: Api, channel: str, type_: str) -> None:
    lead = await arrive(api, "ana@nordsoft.example", channel=channel)
    (activity,) = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
    assert (activity["type"], activity["kind"], lead["stage"]) == (type_, "interest", "inquiry")
    named = {"fields": {"email": "b@nordsoft.example"}, "attribution": {"channel": channel}}
    other = await api.post("/v1/leads", {**named, "activity": {"type": "demo_request"}})
    (activity,) = (await api.get(f"/v1/leads/{other['id']}/activities"))["data"]
    assert activity["type"] == "demo_request"


REFERENCES = [("referred_by_contact_id", "referral", "contacts"), ("partner_account_id", "partner", "accounts")]
RECORD = {"contacts": {"email": "mihai@acme.example"}, "accounts": {"name": "Acme", "domain": "acme.example"}}


@pytest.mark.parametrize(("member", "channel", "kind"), REFERENCES)
async def test_a_referral_names_who_referred_and_a_partner_which_partner(
    api: Api, member: str, channel: str, kind: str
) -> None:
    record = await api.post(f"/v1/{kind}", RECORD[kind])
    given = {member: record["id"]}
    for n, attribution in enumerate([given, {**given, "channel": channel}]):
        lead = await arrive(api, f"ana{n}@nordsoft.example", **attribution)
        assert lead["attribution"]["first"] == {**given, "channel": channel}
        assert lead["channel"] == channel
    said = await arrive(api, "mara@nordsoft.example", **given, channel="phone")
    assert (said["channel"], said["attribution"]["first"][member]) == ("phone", record["id"])
    by_form = await ingested(api, given)
    assert by_form["attribution"]["first"] == {**given, "channel": channel}
    by_source = await ingested(api, {"email": "ion@nordsoft.example"}, defaults=given)
    assert by_source["attribution"]["first"] == {**given, "channel": channel}


@pytest.mark.parametrize(("member", "channel", "kind"), REFERENCES)
async def test_a_referral_by_nobody_is_refused_at_the_api_and_kept_at_the_ingest_door(
    api: Api, member: str, channel: str, kind: str
) -> None:
    rival = await second_tenant(api)
    theirs = (await rival.post(f"/v1/{kind}", RECORD[kind]))["id"]
    unknown = ids.show(kind.removesuffix("s"), ids.new_id())
    expected = {theirs: 404, unknown: 404, "Mihai": 422, ids.show("lead", ids.new_id()): 422}
    for given, status in expected.items():
        body = {"fields": {"email": "ana@nordsoft.example"}, "attribution": {member: given}}
        refused = await api.call("POST", "/v1/leads", body)
        assert (refused.status_code, given in refused.text or status == 422) == (status, True)
        assert f"attribution.{member}" in refused.json()["detail"]
        source = {"name": "Form", "preset": "generic", "defaults": {member: given}}
        assert (await api.call("POST", "/v1/sources", source)).status_code == status
    assert (await api.get("/v1/leads"))["data"] == []
    for n, given in enumerate(expected):
        lead = await ingested(api, {"email": f"ana{n}@nordsoft.example", member: given})
        assert lead["attribution"]["first"] == {f"{member}_raw": given, "channel": channel}


UTM, FORM = {"source": "google"}, {"form_id": "7"}
TOUCHES: list[dict[str, str]] = [{}, {"channel": "web_form"}, {"channel": "phone"}, FORM, {**FORM, "channel": "api"}]
TOUCHES += [UTM, {**UTM, "channel": "web_form"}]


def expected_first(touches: tuple[dict[str, str], ...]) -> dict[str, str]:
    """The first touch that says more than its door, else the first that says anything."""
    told = [one for one in touches if one.get("channel", "api") not in DOORS or one.keys() - {"channel"}]
    return next(iter([*told, *filter(None, touches)]), {})


async def test_a_door_alone_is_no_first_touch_and_replaces_no_last_one_and_the_past_agrees(api: Api) -> None:
    for n, touches in enumerate(product(TOUCHES, repeat=2)):
        for touch in touches:
            body = {"fields": {"email": f"ana{n}@acme.com"}, "attribution": touch}
            lead = (await api.call("POST", "/v1/leads", body)).json()
        first, last = lead["attribution"]["first"], lead["attribution"]["last"]
        assert first == expected_first(touches)
        assert last in touches
        assert last == touches[1] or not touches[1].keys() - {"channel", "form_id"}
        at = lead["updated_at"]
        await arrive(api, f"ana{n}@acme.com", 200, source="later", channel="event")
        past = await api.get(f"/v1/leads/{lead['id']}", params={"as_of": at})
        assert past["attribution"] == {"first": first, "last": last}, touches
        assert past["channel"] == lead["channel"] == touches[0].get("channel", "api")
