"""Recorded requests, posted to the ingest endpoint with valid signatures, give the results in their expected files."""

import base64
import hashlib
import hmac
from typing import Any

import pytest

from tests.api import Api
from tests.payloads.samples import NOW, Sample, samples
from tests.payloads.test_samples import differences
from tests.submissions.sender import SECRET, Sender, make_sender, process


def _hmac(message: bytes) -> str:
    return base64.b64encode(hmac.new(SECRET.encode(), message, hashlib.sha256).digest()).decode()


def signed(sample: Sample, url: str, body: bytes, now: float) -> dict[str, str]:
    """The sample's headers, signed as its provider would sign for this URL and time."""
    headers = dict(sample.entry["headers"])
    if sample.preset == "typeform":
        headers["Typeform-Signature"] = "sha256=" + _hmac(body)
    elif sample.preset == "tally":
        headers["Tally-Signature"] = _hmac(body)
    elif sample.preset == "hubspot-workflow":
        stamp = str(int(now * 1000))
        headers["X-HubSpot-Request-Timestamp"] = stamp
        headers["X-HubSpot-Signature-v3"] = _hmac(b"POST" + url.encode() + body + stamp.encode())
    return headers


async def post(sender: Sender, sample: Sample) -> str:
    body = sample.request().body
    headers = signed(sample, sender.source["ingest_url"], body, sender.api.now.timestamp())
    answer = await sender.api.client.post(sender.path, content=body, headers=headers)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["submission"]["id"])


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.file)
async def test_a_real_request_gives_the_expected_leads_and_items(api: Api, sample: Sample) -> None:
    api.clock.ahead = NOW - api.now
    sender = await make_sender(api, sample.preset, defaults={"region": sample.entry["default_region"]})
    submission_id = await post(sender, sample)
    await process(api)
    made = await sender.submission(submission_id)
    assert made["state"] == "processed"
    assert len(made["items"]) == sample.expected["count"]
    for item, expected in zip(made["items"], sample.expected["items"], strict=True):
        assert item["verdict"] == expected["disposition"]
        found = await stored(api, item) if item["verdict"] == "lead" else item["mapped"]
        assert [fault for name, value in expected.items() for fault in differences(found, name, value)] == []
    again = await post(sender, sample)
    await process(api)
    repeated = await sender.submission(again)
    assert [item["verdict"] for item in repeated["items"]] == ["duplicate"] * len(made["items"])
    assert [item["lead_id"] for item in repeated["items"]] == [item["lead_id"] for item in made["items"]]


async def stored(api: Api, item: dict[str, Any]) -> dict[str, Any]:
    """The lead of an item, with its activity, in the shape of a dry-run item."""
    lead = await api.get(f"/v1/leads/{item['lead_id']}")
    activities = (await api.get(f"/v1/leads/{item['lead_id']}/activities"))["data"]
    emails = [one for one in lead["identities"] if one["kind"] == "email"]
    assert len(activities) == 1
    return {
        "verdict": item["verdict"],
        "submission_key": activities[0]["activity_key"],
        "occurred_at": activities[0]["occurred_at"],
        "fields": lead["fields"],
        "raw": lead["raw"],
        "email_status": lead["email_status"],
        "secondary_emails": [one["value"] for one in emails if one["value"] != lead["fields"]["email"].lower()],
        "attribution": lead["attribution"]["first"],
        "consent": [{"purpose": name, "state": state} for name, state in lead["consents"].items()],
        "external_ids": {one["namespace"]: one["value"] for one in lead["identities"] if one["kind"] == "external"},
        "custom": lead["custom"],
    }


@pytest.mark.parametrize("sample", [one for one in samples() if one.document().verify], ids=lambda sample: sample.file)
async def test_a_signature_for_another_url_or_secret_is_refused(api: Api, sample: Sample) -> None:
    sender = await make_sender(api, sample.preset, secrets={"signing": "another"})
    body = sample.request().body
    headers = signed(sample, sender.source["ingest_url"], body, api.now.timestamp())
    assert (await api.client.post(sender.path, content=body, headers=headers)).status_code == 401
    right = await make_sender(api, sample.preset)
    if sample.preset == "hubspot-workflow":
        elsewhere = signed(sample, "https://leads.example.net/", body, api.now.timestamp())
        assert (await api.client.post(right.path, content=body, headers=elsewhere)).status_code == 401
    assert (await api.client.post(right.path, content=body + b" ", headers=headers)).status_code == 401
