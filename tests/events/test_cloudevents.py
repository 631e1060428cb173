"""Events in CloudEvents 1.0: golden bytes, and what the CloudEvents SDK reads from them."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from cloudevents.core.v1.event import CloudEvent

from app.events.cloudevents import attributes, binary, structured
from app.events.envelope import MAX_BODY_BYTES, Sequenced
from tests.events.test_envelope import EVENT, changed

TENANT = UUID("018f0000-0000-7000-8000-0000000000aa")
ID = "evt_01hw000000e008000000000001"
DATA = '{"lead_id":"lead_01hw00000070080000000000b","to":"mql","note":"Łódź \\u0000"}'


def test_the_structured_body_equals_the_golden_body() -> None:
    assert structured(EVENT, ID, TENANT, MAX_BODY_BYTES).decode() == (
        '{"specversion":"1.0","id":"evt_01hw000000e008000000000001","source":"urn:baton:tenant:ten_01hw000000e00800000000005a",'
        '"type":"lead.stage_changed","time":"2026-03-02T12:00:00.000500Z","datacontenttype":"application/json",'
        '"dataschema":"urn:baton:event:lead.stage_changed:1","subject":"lead_01hw000000e00800000000000b",'
        '"sequence":"0000000000000000042","partitionkey":"lead_01hw000000e00800000000000b","leadversion":7,'
        '"transactionid":"tx_01hw000000e00800000000000c","transactionindex":1,"transactionsize":4,"data":' + DATA + "}"
    )


def test_the_binary_headers_and_body_equal_the_golden_ones() -> None:
    headers, body = binary(EVENT, ID, TENANT, MAX_BODY_BYTES)
    assert body.decode() == DATA
    assert headers == {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": "evt_01hw000000e008000000000001",
        "ce-source": "urn:baton:tenant:ten_01hw000000e00800000000005a",
        "ce-type": "lead.stage_changed",
        "ce-time": "2026-03-02T12:00:00.000500Z",
        "ce-dataschema": "urn:baton:event:lead.stage_changed:1",
        "ce-subject": "lead_01hw000000e00800000000000b",
        "ce-sequence": "0000000000000000042",
        "ce-partitionkey": "lead_01hw000000e00800000000000b",
        "ce-leadversion": "7",
        "ce-transactionid": "tx_01hw000000e00800000000000c",
        "ce-transactionindex": "1",
        "ce-transactionsize": "4",
    }


def read_structured(event: Sequenced, max_bytes: int = MAX_BODY_BYTES) -> Any:
    message = HTTPMessage({"content-type": "application/cloudevents+json"}, structured(event, ID, TENANT, max_bytes))
    return from_http_event(message)


def read_binary(event: Sequenced, max_bytes: int = MAX_BODY_BYTES) -> Any:
    return from_http_event(HTTPMessage(*binary(event, ID, TENANT, max_bytes)))


@pytest.mark.parametrize("read", [read_structured, read_binary])
@pytest.mark.parametrize(
    "event",
    [EVENT, changed(lead_id=None, lead_version=None), changed(included='"lead":{"name":"Łódź"}'), changed(data="{}")],
)
def test_the_cloudevents_sdk_reads_both_modes(read: Any, event: Sequenced) -> None:
    found: CloudEvent = read(event)
    expected = attributes(event, ID, TENANT)
    for name in ("id", "source", "type", "specversion", "dataschema", "datacontenttype"):
        assert found.get_attributes()[name] == expected[name]
    assert found.get_time() == event.recorded_at
    assert found.get_subject() == expected.get("subject")
    for name in ("sequence", "partitionkey", "transactionid"):
        assert found.get_extension(name) == expected[name]
    assert str(found.get_extension("leadversion")) == str(expected.get("leadversion"))
    data = orjson.loads(event.data) | ({"lead": {"name": "Łódź"}} if event.included else {})
    assert found.get_data() == data


@pytest.mark.parametrize(("earlier", "later"), [(1, 2), (9, 10), (99, 100), (42, 2**63 - 1)])
def test_sequences_sort_as_text_like_positions(earlier: int, later: int) -> None:
    first, second = (str(attributes(changed(position=at), ID, TENANT)["sequence"]) for at in (earlier, later))
    assert first < second
    assert (int(first), int(second)) == (earlier, later)


def test_events_of_an_opportunity_without_a_lead_have_its_partition_and_no_subject() -> None:
    event = changed(lead_id=None, lead_version=None, order_key=TENANT)
    found = attributes(event, ID, TENANT)
    assert found["partitionkey"] == str(TENANT)
    assert {"subject", "leadversion"}.isdisjoint(found)


@pytest.mark.parametrize("over", [0, 1])
def test_a_structured_body_that_is_too_large_is_thin_and_names_the_url_of_the_whole_event(over: int) -> None:
    lead = '{"lead_id":"lead_x","text":"'
    room = MAX_BODY_BYTES - len(structured(changed(data=lead + '"}'), ID, TENANT, MAX_BODY_BYTES))
    body = structured(changed(data=f'{lead}{"x" * (room + over)}"}}'), ID, TENANT, MAX_BODY_BYTES)
    assert_thin(bool(over), orjson.loads(body), orjson.loads(body)["data"])
    assert len(body) <= MAX_BODY_BYTES


@pytest.mark.parametrize("over", [0, 1])
def test_a_binary_body_that_is_too_large_is_thin_and_names_the_url_of_the_whole_event(over: int) -> None:
    lead = '{"lead_id":"lead_x","text":"'
    text = "x" * (MAX_BODY_BYTES - len(lead) - 2 + over)
    headers, body = binary(changed(data=f'{lead}{text}"}}'), ID, TENANT, MAX_BODY_BYTES)
    shown = {name.removeprefix("ce-"): True if value == "true" else value for name, value in headers.items()}
    assert_thin(bool(over), shown, orjson.loads(body))


def assert_thin(thin: bool, shown: dict[str, Any], data: dict[str, Any]) -> None:
    assert shown.get("truncated", False) is thin
    assert shown.get("url") == (f"/v1/events/{ID}" if thin else None)
    assert ("text" in data) is not thin
    assert data["lead_id"] == "lead_x"


def test_a_thin_body_with_its_lead_names_the_url_that_returns_it_with_its_lead() -> None:
    event = changed(included='"lead":{}')
    assert orjson.loads(structured(event, ID, TENANT, 0))["url"] == f"/v1/events/{ID}?include=lead"
    assert binary(event, ID, TENANT, 0)[0]["ce-url"] == f"/v1/events/{ID}?include=lead"


@pytest.mark.parametrize("event", [EVENT, changed(included='"lead":{}')])
def test_names_and_values_are_what_cloudevents_allows(event: Sequenced) -> None:
    headers, _ = binary(event, ID, TENANT, 0)
    for name, value in headers.items():
        assert name == "content-type" or re.fullmatch(r"ce-[a-z0-9]{1,20}", name)
        assert re.fullmatch(r"[!#$&-~]+", value), "visible ASCII without blanks, quotes and percent signs"
