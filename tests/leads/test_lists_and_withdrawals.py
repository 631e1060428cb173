"""A withdrawal stands whatever lists say; only the person gives the consent again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from app.ids import new_id
from tests.api import Api
from tests.imports.lists import lead_of, make_lists, table
from tests.leads.test_consents import unsubscribing
from tests.submissions.sender import make_sender

MARKETING = "email_marketing"
ANA = "ana@nordsoft.example"
Door = Callable[[Api], Awaitable[Any]]


def list_with(**options: Any) -> Door:
    """A list in which the row itself says yes, or the list does for all of its rows."""

    async def door(api: Api) -> Any:
        lists = await make_lists(api)
        own = "" if "consent" in options else "yes"
        made = await lists.import_list(table(("E-mail", "Newsletter"), (ANA, own)), **options)
        return (await api.get(f"/v1/imports/{made['id']}/rows"))["data"][0]["reason"]

    return door


def form_with(preset: str = "generic", **source: Any) -> Door:
    async def door(api: Api) -> Any:
        sender = await make_sender(api, preset, **source)
        made = await sender.post_and_process({"email": ANA, "newsletter": "yes", "id": str(new_id())})
        return made["items"][0]["reason"]

    return door


def request_with(**source: Any) -> Door:
    async def door(api: Api) -> Any:
        body = {"name": f"s {new_id()}", "preset": "generic", **source}
        made = await api.post("/v1/sources", body)
        asked = {
            "fields": {"email": ANA},
            "source_id": made["id"],
            "consents": [{"purpose": MARKETING, "state": "given"}],
        }
        answer = await api.call("POST", "/v1/leads", asked)
        assert answer.status_code in (200, 201), answer.text

    return door


async def put(api: Api) -> Any:
    lead = await lead_of(api, ANA)
    body = {"consents": [{"purpose": MARKETING, "state": "given"}]}
    assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", body)).status_code == 200


EVIDENCE = {"consent": MARKETING, "consent_evidence": "a talk at the fair"}
LISTS: dict[str, Door] = {
    "a row of a list": list_with(),
    "a list as a whole": list_with(**EVIDENCE),
    "a row of a bought list": list_with(entry="suspect"),
    "a bought list as a whole": list_with(entry="suspect", **EVIDENCE),
    "a row of a list of a trade show": list_with(channel="trade_show"),
    "a source of bought people": form_with(defaults={"entry": "suspect"}),
    "a provider that sends lists": form_with(defaults={"channel": "import"}),
    "a provider that sends bought lists": form_with(defaults={"channel": "purchased_list"}),
    "a request for a list": request_with(defaults={"channel": "import"}),
    "a request for a bought list": request_with(defaults={"entry": "suspect"}),
}
PERSON: dict[str, Door] = {"a form": form_with(), "a request": request_with(), "PUT": put}


async def say(api: Api, state: str, days: int, *, known: bool) -> None:
    """The person refuses or withdraws, as somebody known or unknown."""
    if not known:
        sender = await unsubscribing(api)
        await sender.post_and_process({"type": "unsubscribe", "email": ANA, "fired_at": api.ago(days=days)})
        return
    said = [{"purpose": MARKETING, "state": state, "occurred_at": api.ago(days=days)}]
    await api.post("/v1/leads", {"fields": {"email": ANA}, "consents": said, "occurred_at": api.ago(days=days)})


@pytest.mark.parametrize("state", ["refused", "withdrawn", "unknown person"])
@pytest.mark.parametrize("door", LISTS)
async def test_no_list_gives_a_consent_that_was_refused_or_withdrawn(api: Api, door: str, state: str) -> None:
    known = state != "unknown person"
    expected = state if known else "withdrawn"
    await say(api, state, 30, known=known)
    reason = await LISTS[door](api)
    lead = await lead_of(api, ANA)
    shown = await api.get(f"/v1/leads/{lead['id']}/consents")
    assert shown["consents"][MARKETING] == expected
    assert [(one["state"], one["bought"]) for one in shown["log"]] == [
        (expected, False),
        ("given", True),
    ]
    if "request" not in door:
        assert reason == "consent_withdrawn"
    past = await api.get(f"/v1/leads/{lead['id']}", params={"as_of": lead["updated_at"]})
    assert past["consents"] == lead["consents"] == shown["consents"]


@pytest.mark.parametrize("door", LISTS)
async def test_a_list_gives_a_consent_until_the_person_withdraws_it(api: Api, door: str) -> None:
    assert await LISTS[door](api) is None
    lead = await lead_of(api, ANA)
    assert lead["consents"][MARKETING] == "given"
    gone = {"consents": [{"purpose": MARKETING, "state": "withdrawn", "occurred_at": api.ago(days=90)}]}
    assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", gone)).status_code == 200
    assert (await lead_of(api, ANA))["consents"][MARKETING] == "withdrawn", "however long ago that was"


@pytest.mark.parametrize("door", PERSON)
async def test_only_the_person_gives_it_again(api: Api, door: str) -> None:
    await say(api, "withdrawn", 30, known=True)
    await LISTS["a row of a list"](api)
    await PERSON[door](api)
    assert (await lead_of(api, ANA))["consents"][MARKETING] == "given"
    await LISTS["a list as a whole"](api)
    assert (await lead_of(api, ANA))["consents"][MARKETING] == "given"
