"""Every recorded request maps to the items in its expected file."""

import json
from typing import Any
from uuid import UUID

import pytest

from app.sources.item import item_to_json
from app.sources.mapping import map_request
from app.sources.preset import make_document, preset_names
from app.sources.request import RawRequest
from tests.payloads.samples import NOW, Sample, samples

PLACES = {
    "disposition": ("verdict",),
    "submission_id": ("submission_key",),
    "phone_raw": ("raw", "phone"),
    "phone_e164": ("fields", "phone"),
    "country": ("raw", "country"),
    "country_iso2": ("fields", "country"),
    "secondary_emails": ("secondary_emails",),
    "email_status": ("email_status",),
    "occurred_at": ("occurred_at",),
}
PARTS = {"attribution": "attribution", "external_ids": "external_ids", "custom_includes": "custom"}


@pytest.mark.parametrize("sample", samples(), ids=lambda sample: sample.file)
def test_a_real_request_maps_to_the_expected_items(sample: Sample) -> None:
    document = sample.document(defaults={"region": sample.entry["default_region"]})
    items = [item_to_json(item) for item in map_request(document, sample.request(), UUID(int=1))]
    assert len(items) == sample.expected["count"]
    for item, expected in zip(items, sample.expected["items"], strict=True):
        assert [difference for name, value in expected.items() for difference in differences(item, name, value)] == []


def differences(item: dict[str, Any], name: str, expected: Any) -> list[str]:
    """The differences between an item and one expected member."""
    if name == "consent":
        found = {one["purpose"]: one["state"] for one in item["consent"]}
        wanted = {one["purpose"]: one["state"] for one in expected}
        return [
            f"{purpose}: {found.get(purpose)}, not {state}"
            for purpose, state in wanted.items()
            if found.get(purpose) != state
        ]
    if part := PARTS.get(name):
        return [f"{part}.{k}: {item[part].get(k)!r}, not {v!r}" for k, v in expected.items() if item[part].get(k) != v]
    if name == "disposition":
        expected = {"quarantine": "quarantined"}.get(expected, expected)
    found = item
    for step in PLACES.get(name, ("fields", name)):
        found = found.get(step, {})
    return [] if found == expected else [f"{name}: {found!r}, not {expected!r}"]


OF_LISTS = {"badge-scan", "webinar-attendance"}  # tested in tests/imports


def test_every_preset_has_a_sample() -> None:
    assert {sample.preset for sample in samples()} | OF_LISTS == set(preset_names())


@pytest.mark.parametrize("body", [b'{"unknown": {"shape": [1]}}', b"unknown=shape", b"a,b\r\n1,2", b"\xff\x00"])
@pytest.mark.parametrize("name", preset_names())
def test_a_body_of_another_shape_is_an_item_that_can_be_found_and_replayed(name: str, body: bytes) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded", "text/csv", ""):
        request = RawRequest("POST", {"content-type": kind}, "", body, NOW)
        items = map_request(make_document(name, {}), request, UUID(int=1))
        assert items
        assert all(item.verdict in ("quarantined", "ignore") for item in items)
        assert all(item.unmet for item in items if item.verdict == "quarantined")


PARTS_OF_A_FORM: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"1.3": "Marta", "1.6": ""}, {"first_name": "Marta"}, "unknown"),
    ({"1.6": "Silva"}, {"last_name": "Silva"}, "unknown"),
    ({"2.1": "", "2.2": "", "2.3": "C", "5.3": "Marta", "5.6": "Silva"}, {"first_name": "Marta", "2": "C"}, "unknown"),
    (
        {"3.1": "Rua 1", "3.2": "", "3.3": "Lisboa", "3.6": "Portugal"},
        {"first_name": None, "last_name": None},
        "unknown",
    ),
    (
        {"3.1": "Rua 1", "3.3": "Lisboa", "4.3": "Ana", "4.6": "Pop"},
        {"first_name": "Ana", "3": "Rua 1, Lisboa"},
        "unknown",
    ),
    ({"9.1": "1", "9.2": "I agree", "9.3": "4"}, {"9": None}, "given"),
    ({"9.1": 1, "9.2": "I agree", "9.3": 4}, {"9": None}, "given"),
    ({"9.1": "", "9.2": "I agree", "9.3": "4"}, {"9": None}, "unknown"),
    ({"9.1": "1", "9.2": "I do not agree", "9.3": "4"}, {"9": None}, "refused"),
    ({"8.1": "Starter", "8.2": "$10.00", "8.3": "1"}, {"8": "Starter, $10.00, 1"}, "unknown"),
    ({"privacy": "yes"}, {}, "given"),
]


@pytest.mark.parametrize(("answers", "wanted", "consent"), PARTS_OF_A_FORM)
def test_fields_in_numbered_parts_are_told_apart_by_their_parts(
    answers: dict[str, Any], wanted: dict[str, Any], consent: str
) -> None:
    body = json.dumps({"id": "1", "form_id": "2", "7": "marta@nordsoft.example", **answers}).encode()
    request = RawRequest("POST", {"content-type": "application/json"}, "", body, NOW)
    (item,) = map(item_to_json, map_request(make_document("gravity-forms", {}), request, UUID(int=1)))
    found = {**item["fields"], **item["custom"]}
    assert {name: found.get(name) for name in wanted} == wanted
    assert item["fields"]["email"] == "marta@nordsoft.example"
    assert {one["purpose"]: one["state"] for one in item["consent"]} == {"process": consent}


def test_differences_finds_wrong_values() -> None:
    item = {"consent": [], "attribution": {}, "fields": {"email": "a@example.com"}, "raw": {}}
    assert differences(item, "email", "b@example.com")
    assert differences(item, "consent", [{"purpose": "process", "state": "given"}])
    assert differences(item, "attribution", {"source": "xing"})
    assert differences(item, "phone_raw", "1")
