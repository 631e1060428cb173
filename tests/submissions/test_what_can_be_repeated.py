"""Only what was taken can be repeated; what protects a form is no content of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from app import ids
from app.submissions import process
from tests.api import Api
from tests.submissions.sender import Sender, count, make_sender
from tests.submissions.sender import process as process_all

SITE = "https://www.acme.example"
VERDICTS = ("test", "ignore", "spam", "erase", "activity", "consent")
# What is sent beside the genuine form so that it is not taken, with the verdict that it has then.
IDLE: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "from another origin": ({}, {"Origin": "https://evil.example"}, "spam"),
    "with a filled trap": ({"_gotcha": "x"}, {}, "spam"),
    "too fast": ({"_ts": "0"}, {}, "spam"),
    "not mapped": ({}, {"X-Kind": "broken"}, "quarantined"),
    **{f"with the verdict {verdict}": ({}, {"X-Kind": verdict}, verdict) for verdict in VERDICTS},
}
KEYS: list[dict[str, str]] = [{}, {"_submission_id": "s-1"}]


async def form(api: Api) -> Sender:
    """A form of which a header says what becomes of it, so that equal contents have any verdict."""
    route = [{"when": f"headers.\"x-kind\" == '{verdict}'", "do": verdict} for verdict in VERDICTS]
    overrides = {"route": route, "items": "not_null(headers.\"x-kind\", 'none') != 'broken' && body || `null`"}
    return await make_sender(api, "html-form", overrides=overrides, defaults={"allowed_origins": [SITE]})


async def send(api: Api, sender: Sender, values: dict[str, str], headers: dict[str, str] | None = None) -> str:
    stamped = {**values, "_ts": str(api.now.timestamp() - float(values.get("_ts", "30")))}
    encoded = urlencode({"email": "ana@nordsoft.example", "message": "Hello", **stamped})
    answer = await sender.post(encoded, Content_Type="application/x-www-form-urlencoded", **(headers or {}))
    return str(answer.json()["submission"]["id"])


async def verdicts(sender: Sender, sent: list[str]) -> list[str]:
    return [(await sender.submission(one))["items"][0]["verdict"] for one in sent]


@pytest.mark.parametrize("key", KEYS, ids=["without a key", "with a key"])
@pytest.mark.parametrize("kind", IDLE)
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
async def test_what_made_no_lead_is_not_in_the_way_of_a_genuine_one(
    api: Api, kind: str, key: dict[str, str], together: bool
) -> None:
    sender, (values, headers, verdict) = await form(api), IDLE[kind]
    sent: list[str] = []
    for beside in ((values, headers), (values, headers), ({}, {}), ({}, {}), ({}, {})):
        sent.append(await send(api, sender, {**key, **beside[0]}, beside[1]))
        if not together:
            await process_all(api)
    await process_all(api)
    again = "quarantined" if verdict == "quarantined" else "duplicate"
    assert await verdicts(sender, sent) == [verdict, again, "lead", "duplicate", "duplicate"]
    shown = [(await sender.submission(one))["items"][0] for one in sent]
    assert len({item["lead_id"] for item in shown[2:]}) == 1
    assert {item["submission_key"] for item in shown if key and item["verdict"] != "quarantined"} <= {"s-1"}
    assert await count(api, "SELECT count(*) FROM activities") == 1


@pytest.mark.parametrize("key", KEYS, ids=["without a key", "with a key"])
@pytest.mark.parametrize("kind", [kind for kind, (_, _, verdict) in IDLE.items() if verdict != "quarantined"])
async def test_what_was_taken_is_repeated_by_equal_content_whatever_its_verdict_would_be(
    api: Api, kind: str, key: dict[str, str]
) -> None:
    sender, (values, headers, verdict) = await form(api), IDLE[kind]
    sent = [await send(api, sender, key), await send(api, sender, {**key, **values}, headers)]
    await process_all(api)
    has_other_content = "_gotcha" in values and not key
    assert await verdicts(sender, sent) == ["lead", verdict if has_other_content else "duplicate"]
    api.clock.ahead += timedelta(minutes=10, seconds=1)
    sent = [await send(api, sender, key)]
    await process_all(api)
    assert await verdicts(sender, sent) == ["duplicate" if key else "lead"]


TOKENS = ("_token", "csrf_token", "authenticity_token", "cf-turnstile-response", "h-captcha-response")
PROTECTION: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "another time at which the page was shown": ({"_ts": "30"}, {"_ts": "31"}),
    "a trap that is empty or left out": ({"_gotcha": ""}, {}),
    "two traps that are empty or left out": ({"baton_trap": ""}, {"_gotcha": "", "baton_trap": ""}),
    **{f"another {name}": ({name: "a1"}, {name: "b2"}) for name in TOKENS},
    "a token or none": ({"_token": "a1"}, {}),
}


@pytest.mark.parametrize("key", KEYS, ids=["without a key", "with a key"])
@pytest.mark.parametrize("kind", PROTECTION)
async def test_a_form_that_differs_in_its_protection_only_is_a_repeat(api: Api, kind: str, key: dict[str, str]) -> None:
    sender = await form(api)
    sent = [await send(api, sender, {**key, **values}) for values in PROTECTION[kind]]
    sent.append(await send(api, sender, {**key, "company": "Nordsoft"}))
    await process_all(api)
    assert await verdicts(sender, sent) == ["lead", "duplicate", "revised" if key else "lead"]
    (lead,) = (await api.get("/v1/leads"))["data"]
    assert lead["custom"] == {}


async def test_traps_and_times_of_any_source_are_no_content(api: Api) -> None:
    spam = {"honeypot": ["item.meta.hp", "item.fax"], "rendered_at": "item.meta.shown"}
    sender = await make_sender(api, overrides={"spam": spam, "bot_check": None})
    person = {"email": "ana@nordsoft.example"}
    shown = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:07Z", None]
    bodies: list[dict[str, Any]] = [{**person, "meta": {"hp": "", "shown": at, "page": "a"}} for at in shown]
    bodies += [{**person, "fax": "no", "meta": {"page": "a"}}, {**person, "meta": {"page": "b"}}]
    items = [(await sender.post_and_process(body))["items"][0] for body in bodies]
    assert [item["verdict"] for item in items] == ["lead", "duplicate", "duplicate", "duplicate", "lead"]


async def test_an_activity_of_somebody_unknown_counts_when_it_is_sent_again_after_they_are_known(api: Api) -> None:
    sender = await make_sender(api, overrides={"route": [{"when": "item.kind == 'visit'", "do": "activity"}]})
    visit = {"email": "ana@nordsoft.example", "kind": "visit", "id": "v-1"}
    items = [(await sender.post_and_process(visit))["items"][0] for _ in range(2)]
    lead = await api.lead(email="ana@nordsoft.example")
    items += [(await sender.post_and_process(visit))["items"][0] for _ in range(2)]
    assert [item["verdict"] for item in items] == ["activity", "duplicate", "activity", "duplicate"]
    assert [item["lead_id"] for item in items] == [None, None, lead["id"], lead["id"]]


@pytest.mark.parametrize("key", KEYS, ids=["without a key", "with a key"])
async def test_of_spam_and_genuine_forms_at_once_one_is_the_lead(api: Api, key: dict[str, str]) -> None:
    sender = await form(api)
    kinds: list[dict[str, str]] = [{"Origin": "https://evil.example"}, {}] * 3
    sent = [await send(api, sender, key, headers) for headers in kinds]
    engine = api.app.state.engine
    await asyncio.gather(
        *(process.process_one(engine, api.tenant_id, ids.read("submission", one), api.clock.now) for one in sent)
    )
    await process_all(api)
    assert sorted(await verdicts(sender, sent[1::2])) == ["duplicate", "duplicate", "lead"]
    assert await count(api, "SELECT count(*) FROM activities") == 1


async def test_spam_that_is_none_after_all_is_a_repeat_of_the_genuine_form_that_came_after_it(api: Api) -> None:
    sender = await form(api)
    sent = [await send(api, sender, {}, {"Origin": "https://evil.example"}), await send(api, sender, {})]
    await process_all(api)
    await api.post(f"/v1/sources/{sender.source['id']}/replay", {"all": True}, status=202)
    await process_all(api)
    assert await verdicts(sender, sent) == ["spam", "lead"]
    await api.call("POST", f"/v1/submissions/{sent[0]}/verdict", {"verdict": "not_spam"})
    await process_all(api)
    assert await verdicts(sender, sent) == ["duplicate", "lead"]
    assert await count(api, "SELECT count(*) FROM activities") == 1
