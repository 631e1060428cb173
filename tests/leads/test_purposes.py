"""A consent may be for any purpose that a tenant names; the purposes in use are listed."""

from __future__ import annotations

from typing import Any

import pytest

from app.matching.consent import KNOWN_PURPOSES
from tests.api import Api
from tests.submissions.sender import make_sender

VALID = ["sms_marketing", "x", "a1", "whatsapp_2", "a" * 60, "process"]
INVALID = ["", "SMS", "sms-marketing", "1st", "_a", "a" * 61, "sms marketing", "zgodą", "*", "a\n"]


async def catalogue(api: Api) -> dict[str, tuple[bool, bool]]:
    return {one["purpose"]: (one["known"], one["used"]) for one in (await api.get("/v1/consent-purposes"))["data"]}


async def test_the_catalogue_has_the_known_purposes_and_those_in_use(api: Api) -> None:
    assert await catalogue(api) == dict.fromkeys(KNOWN_PURPOSES, (True, False))
    for purpose in ("sms_marketing", "phone", "events", "sms_marketing"):
        consents = [{"purpose": purpose, "state": "given"}]
        await api.call("POST", "/v1/leads", {"fields": {"email": f"{purpose}@acme.example"}, "consents": consents})
    used = {"phone": (True, True), "events": (False, True), "sms_marketing": (False, True)}
    assert await catalogue(api) == dict.fromkeys(KNOWN_PURPOSES, (True, False)) | used


@pytest.mark.parametrize("purpose", VALID)
async def test_a_purpose_is_taken_by_every_door(api: Api, purpose: str) -> None:
    given = [{"purpose": purpose, "state": "given", "text": "Yes"}]
    lead = await api.post("/v1/leads", {"fields": {"email": "a@acme.example"}, "consents": given})
    assert lead["consents"] == {purpose: "given"}
    withdrawn = {"consents": [{"purpose": purpose, "state": "withdrawn"}]}
    put = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", withdrawn)
    assert put.json()["consents"] == {purpose: "withdrawn"}
    mapped = await mapped_consents(api, [{"purpose": purpose, "expr": "item.yes"}], {"yes": True})
    assert mapped == {purpose: "given"}


@pytest.mark.parametrize("purpose", INVALID)
async def test_what_is_no_snake_case_word_is_refused_by_name(api: Api, purpose: str) -> None:
    body = {"fields": {"email": "a@acme.example"}, "consents": [{"purpose": purpose, "state": "given"}]}
    answer = await api.call("POST", "/v1/leads", body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == "consents.0.purpose"
    assert "sms_marketing" in error["detail"]
    if purpose != "*":
        overrides = {"consent": [{"purpose": purpose, "expr": "item.yes"}]}
        refused = await api.call("POST", "/v1/sources", {"name": "s", "preset": "generic", "overrides": overrides})
        assert refused.status_code == 422
        assert "purpose" in refused.text


async def mapped_consents(api: Api, rules: list[dict[str, Any]] | None, body: dict[str, Any]) -> dict[str, str]:
    sender = await make_sender(api, overrides={"consent": rules} if rules else {})
    (item,) = (await sender.post_and_process({"email": "m@acme.example", **body}))["items"]
    return dict((await api.get(f"/v1/leads/{item['lead_id']}"))["consents"])


async def test_the_generic_preset_takes_every_purpose_of_its_object(api: Api) -> None:
    consents = {"process": "yes", "sms_marketing": True, "phone": "no", "Bad Name": True, "unclear": "maybe"}
    expected = {"process": "given", "email_marketing": "unknown", "sms_marketing": "given", "phone": "refused"}
    assert await mapped_consents(api, None, {"consents": consents}) == expected
