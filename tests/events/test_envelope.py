"""The bytes of an event never change: golden bodies."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest

from app.events.envelope import MAX_BODY_BYTES, Sequenced, envelope

EVENT = Sequenced(
    position=42,
    id=UUID("018f0000-0000-7000-8000-000000000001"),
    type="lead.stage_changed",
    data='{"lead_id":"lead_01hw00000070080000000000b","to":"mql","note":"Łódź \\u0000"}',
    recorded_at=datetime(2026, 3, 2, 12, 0, 0, 500, tzinfo=UTC),
    lead_id=UUID("018f0000-0000-7000-8000-00000000000b"),
    lead_version=7,
    order_key=UUID("018f0000-0000-7000-8000-00000000000b"),
    tx_id=UUID("018f0000-0000-7000-8000-00000000000c"),
    tx_index=1,
    tx_size=4,
    schema_version=1,
)


def changed(**members: Any) -> Sequenced:
    return EVENT._replace(**members)


def test_the_body_of_a_lead_event_equals_the_golden_body() -> None:
    assert envelope(EVENT).decode() == (
        '{"id":"evt_01hw000000e008000000000001","type":"lead.stage_changed","timestamp":"2026-03-02T12:00:00.000500Z",'
        '"data":{"lead_id":"lead_01hw00000070080000000000b","to":"mql","note":"Łódź \\u0000"},'
        '"meta":{"position":"42","lead_version":7,'
        '"transaction":{"id":"tx_01hw000000e00800000000000c","index":1,"size":4},"schema_version":1}}'
    )


def test_what_is_included_stands_after_the_members_of_data() -> None:
    event = changed(data='{"lead_id":"lead_x"}', included='"lead":{"id":"lead_x"}')
    assert b',"data":{"lead_id":"lead_x","lead":{"id":"lead_x"}},"meta":{' in envelope(event)
    assert envelope(event._replace(included="")) == envelope(changed(data='{"lead_id":"lead_x"}'))


@pytest.mark.parametrize("over", [0, 1])
def test_a_body_that_is_too_large_with_its_lead_names_the_url_that_returns_it_with_its_lead(over: int) -> None:
    event = changed(data='{"lead_id":"lead_x"}', included='"lead":""')
    padding = "x" * (MAX_BODY_BYTES - len(envelope(event)) + over)
    body = orjson.loads(envelope(event._replace(included=f'"lead":"{padding}"')))
    assert body["data"] == ({"lead_id": "lead_x"} if over else {"lead_id": "lead_x", "lead": padding})
    assert body.get("url") == (f"/v1/events/{body['id']}?include=lead" if over else None)


def test_an_event_without_a_lead_has_no_lead_version() -> None:
    body = orjson.loads(envelope(changed(lead_id=None, lead_version=None)))
    assert body["meta"]["lead_version"] is None


def test_timestamps_always_have_six_fraction_digits() -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert b'"timestamp":"2026-03-02T12:00:00.000000Z"' in envelope(changed(recorded_at=at))


@pytest.mark.parametrize("over", [0, 1])
def test_a_body_over_twenty_kilobytes_has_only_ids_and_the_url_of_the_whole_event(over: int) -> None:
    empty = envelope(changed(data='{"lead_id":"lead_x","conversion_id":null,"text":""}'))
    padding = "x" * (MAX_BODY_BYTES - len(empty) + over)
    event = changed(data=f'{{"lead_id":"lead_x","conversion_id":null,"text":"{padding}"}}')
    body = orjson.loads(envelope(event))
    if over:
        assert body["data"] == {"lead_id": "lead_x", "conversion_id": None}
        assert body["truncated"] is True
        assert body["url"] == f"/v1/events/{body['id']}"
        assert list(body) == ["id", "type", "timestamp", "data", "meta", "truncated", "url"]
    else:
        assert body["data"]["text"] == padding
        assert "truncated" not in body
    assert orjson.loads(envelope(event, max_bytes=None))["data"]["text"] == padding
