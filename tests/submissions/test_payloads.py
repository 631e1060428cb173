"""Every recorded request, sent to a real server with its headers, gives what its expected file says."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.settings import Settings
from app.sources.document import SignatureRule, usable_secrets
from tests.api import Api, running
from tests.payloads.samples import Sample, handshakes, samples
from tests.payloads.test_samples import differences
from tests.serving import served
from tests.submissions.sender import Sender, count, make_sender, process
from tests.waiting import TIMEOUT_SECONDS

SIGNED = [one for one in samples() if one.entry["secret"] and one.document().verify]
BY_TOKEN = [one for one in samples() if one.secrets.keys() - {"signing"}]


@pytest.fixture
async def door(settings: Settings) -> AsyncIterator[Api]:
    """The application behind a public URL, on a real socket."""
    public = settings.model_copy(update={"public_url": "https://leads.example.net"})
    async with (
        running(public) as api,
        served(api.app) as url,
        httpx.AsyncClient(base_url=url, timeout=TIMEOUT_SECONDS) as api.client,
    ):
        yield api


def signature_rules(sample: Sample) -> list[SignatureRule]:
    return [rule for rule in sample.document().verify if isinstance(rule, SignatureRule)]


def headers_for(sample: Sample, url: str) -> dict[str, str]:
    """The headers as they were sent; a signature that covers the URL is made anew for the source's own URL."""
    request = sample.request()
    headers = dict(sample.entry["headers"])
    for rule in signature_rules(sample):
        if "{url" in rule.signed and rule.kind == "hmac":
            stamp = request.header(rule.timestamp.origin.removeprefix("header:")) if rule.timestamp else ""
            values = {"method": "POST", "url": url, "url:unescaped": url, "t": stamp}
            message = b"".join(
                request.body if part == "body" else values[part].encode() for part in rule.signed[1:-1].split("}{")
            )
            digest = hmac.digest(sample.entry["secret"].encode(), message, rule.algorithm)
            headers[rule.header] = digest.hex() if rule.encoding == "hex" else base64.b64encode(digest).decode()
    return headers


async def source_for(door: Api, sample: Sample, **members: Any) -> Sender:
    """A source of the sample's preset, with the clock at the time at which the sample was sent."""
    door.clock.ahead += sample.sent_at - door.now
    defaults = {"region": sample.entry["default_region"]}
    return await make_sender(door, sample.preset, **{"secrets": sample.secrets, "defaults": defaults, **members})


async def post(sender: Sender, sample: Sample, **changes: Any) -> httpx.Response:
    sent = {
        "content": sample.request().body,
        "headers": headers_for(sample, sender.source["ingest_url"]),
        "params": sample.entry["query"],
    }
    return await sender.api.client.post(sender.path, **{**sent, **changes})


async def newest(sender: Sender) -> dict[str, Any]:
    """The submission that was sent last, processed."""
    await process(sender.api)
    listed = (await sender.api.get("/v1/submissions", params={"source_id": sender.source["id"]}))["data"]
    return await sender.submission(listed[0]["id"])


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.file)
async def test_a_real_request_gives_the_expected_leads_and_items(door: Api, sample: Sample) -> None:
    sender = await source_for(door, sample)
    answer = await post(sender, sample)
    assert 200 <= answer.status_code < 400, answer.text
    made = await newest(sender)
    assert len(made["items"]) == sample.expected["count"]
    for item, expected in zip(made["items"], sample.expected["items"], strict=True):
        found = await stored(door, item) if item["verdict"] == "lead" else item["mapped"]
        assert [fault for name, value in expected.items() for fault in differences(found, name, value)] == []
    assert 200 <= (await post(sender, sample)).status_code < 400
    repeated = await newest(sender)
    assert [item["verdict"] for item in repeated["items"]] == [
        "quarantined" if item["verdict"] == "quarantined" else "duplicate" for item in made["items"]
    ]
    assert [item["lead_id"] for item in repeated["items"]] == [item["lead_id"] for item in made["items"]]


async def stored(api: Api, item: dict[str, Any]) -> dict[str, Any]:
    """The lead of an item, with the activity of that item, in the shape of a dry-run item."""
    lead = await api.get(f"/v1/leads/{item['lead_id']}")
    activities = (await api.get(f"/v1/leads/{item['lead_id']}/activities"))["data"]
    (activity,) = (one for one in activities if one["activity_key"] == item["submission_key"])
    emails = [one for one in lead["identities"] if one["kind"] == "email"]
    first = item["mapped"] if len(activities) > 1 else lead
    return {
        "verdict": item["verdict"],
        "submission_key": activity["activity_key"],
        "occurred_at": activity["occurred_at"],
        "fields": first["fields"],
        "raw": lead["raw"],
        "email_status": lead["email_status"],
        "secondary_emails": [one["value"] for one in emails if one["value"] != lead["fields"]["email"].lower()],
        "attribution": lead["attribution"]["first"],
        "consent": [{"purpose": name, "state": state} for name, state in lead["consents"].items()],
        "external_ids": {one["namespace"]: one["value"] for one in lead["identities"] if one["kind"] == "external"},
        "custom": item["mapped"]["custom"] if len(activities) > 1 else lead["custom"],
    }


async def nothing_stored(door: Api) -> bool:
    return await count(door, "SELECT count(*) FROM submissions") == 0


@pytest.mark.parametrize("sample", SIGNED, ids=lambda sample: sample.file)
async def test_of_a_signed_request_no_byte_may_be_another(door: Api, sample: Sample) -> None:
    sender = await source_for(door, sample, secrets={"signing": sample.entry["secret"]})
    body = sample.request().body
    for place in (0, len(body) // 2, len(body) - 1):
        flipped = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert (await post(sender, sample, content=flipped)).status_code == 401
    assert await nothing_stored(door)


@pytest.mark.parametrize("sample", SIGNED, ids=lambda sample: sample.file)
async def test_a_signed_request_needs_the_secret_of_the_source(door: Api, sample: Sample) -> None:
    other = await source_for(door, sample, secrets={"signing": "another"})
    assert (await post(other, sample)).status_code == 401
    assert await nothing_stored(door)
    rotating = await source_for(door, sample, secrets={"signing": ["another", sample.entry["secret"]]})
    assert 200 <= (await post(rotating, sample)).status_code < 400


@pytest.mark.parametrize("sample", SIGNED, ids=lambda sample: sample.file)
async def test_a_signed_request_needs_its_signature(door: Api, sample: Sample) -> None:
    sender = await source_for(door, sample, secrets={"signing": sample.entry["secret"]})
    wanted = {rule.header.lower() for rule in signature_rules(sample)}
    headers = headers_for(sample, sender.source["ingest_url"])
    kept = {name: value for name, value in headers.items() if name.lower() not in wanted}
    assert (await post(sender, sample, headers=kept)).status_code == 401
    assert await nothing_stored(door)


TIMED = [one for one in SIGNED if any(rule.timestamp for rule in signature_rules(one))]


@pytest.mark.parametrize("sample", TIMED, ids=lambda sample: sample.file)
async def test_a_signed_request_is_taken_at_its_time_only(door: Api, sample: Sample) -> None:
    sender = await source_for(door, sample)
    tolerance = next(rule.timestamp.tolerance_s for rule in signature_rules(sample) if rule.timestamp)
    for seconds in (tolerance + 60, -tolerance - 60):
        door.clock.ahead += timedelta(seconds=seconds)
        assert (await post(sender, sample)).status_code == 401
        door.clock.ahead -= timedelta(seconds=seconds)
    assert await nothing_stored(door)


@pytest.mark.parametrize("sample", BY_TOKEN, ids=lambda sample: sample.file)
async def test_a_request_with_a_wrong_token_is_refused(door: Api, sample: Sample) -> None:
    sender = await source_for(door, sample, secrets=dict.fromkeys(sample.secrets, "another:one"))
    assert (await post(sender, sample)).status_code == 401
    assert await nothing_stored(door)


@pytest.mark.parametrize("sample", BY_TOKEN, ids=lambda sample: sample.file)
async def test_a_token_is_shown_nowhere(door: Api, sample: Sample) -> None:
    sender = await source_for(door, sample)
    await post(sender, sample)
    made = await newest(sender)
    raw = await door.get(f"/v1/submissions/{made['id']}/raw")
    for name in sample.secrets.keys() - {"signing"}:
        assert sample.secrets[name] not in json.dumps([made, raw])


@pytest.mark.parametrize("sample", handshakes(), ids=lambda sample: sample.file)
async def test_a_handshake_is_answered_as_its_provider_wants(door: Api, sample: Sample) -> None:
    asked = json.loads(sample.request().body)
    handshake = sample.document().handshake
    tokens = {handshake.secret: asked["query"].get(handshake.token_param, "x")}
    uses = handshake.secret in usable_secrets(sample.document())
    sender = await make_sender(door, sample.preset, secrets=tokens if uses else {})
    answer = await door.client.get(sender.path, params=asked["query"])
    expected = sample.expected["handshake"]
    assert answer.status_code == expected["status"]
    assert answer.headers["content-type"].startswith(expected.get("content_type", ""))
    assert answer.text == expected.get("body", answer.text)
    if name := handshake.token_param:
        assert (await door.client.get(sender.path, params={**asked["query"], name: "another"})).status_code == 401


async def test_a_digest_covers_the_public_url_and_not_the_one_behind_the_proxy(door: Api) -> None:
    signed = "{secret}{method}{url}{body}"
    sample, rule = next((one, rule) for one in SIGNED for rule in signature_rules(one) if rule.signed == signed)
    sender = await source_for(door, sample)
    body = sample.request().body
    for url, status in ((sender.source["ingest_url"], 202), (str(door.client.base_url) + sender.path, 401)):
        digest = hashlib.sha256(sample.entry["secret"].encode() + b"POST" + url.encode() + body).hexdigest()
        assert (await post(sender, sample, headers={rule.header: digest})).status_code == status
