"""Mapping a request to items: no input raises, and no answer is lost."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.matching.text import storable_value
from app.sources.document import Document, Parse
from app.sources.item import Item, item_to_json
from app.sources.mapping import map_request
from app.sources.parse import parse_body
from app.sources.preset import make_document, preset_names, read_document
from app.sources.request import RawRequest
from tests.payloads.samples import NOW, sample, samples

SOURCE = UUID(int=1)
GENERIC = make_document("generic", {})
DOCUMENTS = {name: make_document(name, {}) for name in preset_names()}
CONTENT_TYPES = st.sampled_from(
    [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "text/plain",
        "",
        "application/json; charset=utf-16",
        "application/x-www-form-urlencoded; charset=nonsense",
        "application/json; charset=hex",
    ]
)


def make_request(body: Any, content_type: str = "application/json", **changes: Any) -> RawRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    values: dict[str, Any] = {
        "method": "POST",
        "headers": {"Content-Type": content_type},
        "query": "",
        "body": raw,
        "received_at": NOW,
    }
    return RawRequest(**(values | changes))


def mapped(body: Any, document: Document = GENERIC, **changes: Any) -> list[Item]:
    return map_request(document, make_request(body, **changes), SOURCE)


def one(body: Any, document: Document = GENERIC, **changes: Any) -> Item:
    items = mapped(body, document, **changes)
    assert len(items) == 1
    return items[0]


def html(**fields: str) -> Item:
    body = "&".join(f"{quote(name)}={quote(value)}" for name, value in fields.items()).encode()
    return one(body, DOCUMENTS["html-form"], content_type="application/x-www-form-urlencoded")


# --- what is kept


def test_every_unmapped_answer_is_kept_in_custom() -> None:
    item = one(
        {
            "email": "a@example.com",
            "phone": "+40722123456",
            "mobile": "+40722123457",
            "Budget": "5k",
            "n": 0,
            "no": False,
        }
    )
    assert item.custom == {"mobile": "+40722123457", "Budget": "5k", "n": 0, "no": False}


def test_an_answer_that_only_a_route_condition_reads_is_kept_in_custom() -> None:
    document = make_document("generic", {"route": [{"when": "item.budget == 'none'", "do": "ignore"}]})
    assert one({"email": "a@example.com", "budget": "5k"}, document).custom == {"budget": "5k"}


def test_the_unread_parts_of_a_nested_answer_are_kept() -> None:
    document = read_document({"preset": "test", "fields": {"email": "item.person.email"}})
    item = one({"person": {"email": "a@example.com", "shoe": 43}, "rows": [{"a": 1}]}, document)
    assert item.custom == {"person": {"shoe": 43}, "rows": [{"a": 1}]}


def test_the_same_question_twice_keeps_both_answers() -> None:
    fields = [{"label": "Email", "type": "INPUT_EMAIL", "value": "a@example.com"}]
    fields += [{"label": "Why?", "type": "INPUT_TEXT", "value": text} for text in ("one", "two")]
    item = one({"data": {"responseId": "r", "fields": fields}}, DOCUMENTS["tally"])
    assert item.custom == {"Why?": "one", "Why? (2)": "two"}


def test_false_is_a_refused_consent_and_not_a_missing_one() -> None:
    answers = [
        {"type": "email", "email": "a@example.com", "field": {"id": "1", "ref": "m"}},
        {"type": "boolean", "boolean": False, "field": {"id": "2", "type": "yes_no", "ref": "newsletter"}},
        {"type": "boolean", "boolean": True, "field": {"id": "3", "type": "legal", "ref": "x"}},
    ]
    item = one({"form_response": {"token": "t", "answers": answers}}, DOCUMENTS["typeform"])
    assert {consent.purpose: consent.state for consent in item.consents} == {
        "email_marketing": "refused",
        "process": "given",
    }


def test_an_answer_whose_reference_is_a_uuid_is_kept_under_the_question_title() -> None:
    ref = "01234567-89ab-cdef-0123-456789abcdef"
    answers = [{"type": "text", "text": "Blue", "field": {"id": "1", "ref": ref}}]
    questions = [{"id": "1", "title": "Your *favourite* colour?"}]
    body = {"form_response": {"token": "t", "answers": answers, "definition": {"fields": questions}}}
    assert one(body, DOCUMENTS["typeform"]).custom == {"Your favourite colour?": "Blue"}


# --- bodies


def test_a_name_with_brackets_becomes_an_object_and_a_repeated_name_a_list() -> None:
    body = b"email=a@example.com&a[b][c]=1&t[]=1&t[]=2&x=1&x=2&x[y]=3&deep[1][2][3][4][5][6][7][8][9]=1"
    custom = one(body, content_type="application/x-www-form-urlencoded").custom
    assert custom == {
        "a": {"b": {"c": "1"}},
        "t": ["1", "2"],
        "x": ["1", "2"],
        "x[y]": "3",
        "deep[1][2][3][4][5][6][7][8][9]": "1",
    }


def test_a_multipart_form_is_parsed_and_a_file_is_kept_as_name_type_and_size() -> None:
    part = '--b\r\nContent-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    body = part.format("email", "", "zoë@example.com") + part.format("cv", '; filename="cv.pdf"', "%PDF") + "--b--\r\n"
    item = one(body.encode(), content_type="multipart/form-data; boundary=b")
    assert item.person
    assert item.person.fields["email"] == "zoë@example.com"
    assert item.custom == {"cv": {"filename": "cv.pdf", "content_type": "", "size": 4}}


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        ("filename*=UTF-8''%e2%82%ac%20%C8%99.pdf", "€ ș.pdf"),
        ("filename*=iso-8859-2''%B3%F3d%BC.pdf", "łódź.pdf"),
        ("filename=\"cv.pdf\"; filename*=UTF-8''cv.pdf", "cv.pdf"),
        ("filename*=nonsense''cv.pdf", "cv.pdf"),
        ('filename="ș \\"x\\".pdf"', 'ș "x".pdf'),
    ],
)
def test_the_name_of_a_file_is_read_in_the_character_set_that_it_names(disposition: str, filename: str) -> None:
    file = f'--b\r\nContent-Disposition: form-data; name="cv"; {disposition}\r\n\r\n%PDF\r\n'
    email = '--b\r\nContent-Disposition: form-data; name="email"\r\n\r\na@example.com\r\n'
    item = one(f"{file}{email}--b--\r\n".encode(), content_type="multipart/form-data; boundary=b")
    assert item.custom["cv"]["filename"] == filename


@pytest.mark.parametrize("end", ["\r\n", "\n"])
def test_a_form_with_a_line_for_each_field_is_read_as_it_is_written(end: str) -> None:
    lines = [
        "email=a+b@example.com",
        "name=Ana = Pop & co",
        "message=one",
        "",
        "two 100% %41",
        "a[b]=1",
        "t=1",
        "t=2",
        "x=",
    ]
    item = one(f"{end.join(lines)}{end}".encode(), content_type="text/plain; charset=utf-8")
    assert item.person is not None
    assert item.person.fields["email"] == "a+b@example.com"
    assert item.person.fields["message"] == "one\n\ntwo 100% %41"
    assert item.custom == {"a": {"b": "1"}, "t": ["1", "2"]}


@pytest.mark.parametrize("body", ["email=a%40example.com&name=Ana+Pop", "email=a%40example.com&name=Ana+Pop\r\n"])
def test_an_encoded_form_that_a_script_sends_as_plain_text_is_decoded(body: str) -> None:
    item = one(body.encode(), content_type="text/plain;charset=UTF-8")
    assert item.person is not None
    assert (item.person.fields["email"], item.person.fields["full_name"]) == ("a@example.com", "Ana Pop")


@pytest.mark.parametrize("body", ["\n\nx\ny", "=\n=\n", "no\nfield\n" * 50_000, "a=1\n" + "x\n" * 250_000])
def test_plain_text_of_any_form_is_an_item(body: str) -> None:
    assert map_request(GENERIC, make_request(body.encode(), content_type="text/plain"), SOURCE)


def test_json_text_in_a_field_is_decoded_and_secrets_are_dropped() -> None:
    document = make_document(
        "generic", {"parse": {"decode_json": ["raw.x", "data"], "drop": ["google_key", "data.k"]}, "items": "body.data"}
    )
    body = {"raw.x": "[1]", "data": '{"email": "a@example.com", "k": "secret", "left": 1}', "google_key": "secret"}
    assert one(body, document).custom == {"left": 1}


FORM: Final = "application/x-www-form-urlencoded"


def test_a_blank_answer_of_a_form_is_kept() -> None:
    request = RawRequest("POST", {"content-type": FORM}, "", b"email=a@example.com&colour=&size", NOW, "")
    assert parse_body(Parse(formats=["form"]), request) == {"email": "a@example.com", "colour": "", "size": ""}


@pytest.mark.parametrize("body", [b'{"a":"b=c"}', b' \n[{"a":"b=c"}]', b" " * 63 + b"{}"])
def test_json_sent_under_the_content_type_of_a_form_is_read_as_json(body: bytes) -> None:
    request = RawRequest("POST", {"content-type": FORM}, "", body, NOW, "")
    assert parse_body(Parse(formats=["json", "form"]), request) == json.loads(body)


@pytest.mark.parametrize("charset", ["windows-1250", "iso-8859-2", "utf-8"])
def test_the_declared_character_set_is_used(charset: str) -> None:
    body = f"email=a@example.com&last_name={quote('Łoś', encoding=charset)}".encode()
    item = one(body, content_type=f"application/x-www-form-urlencoded; charset={charset}")
    assert item.person
    assert item.person.last_name == "Łoś"


@pytest.mark.parametrize("charset", ["nonsense", "hex", "undefined", "idna", "cp9999", "unicode_escape", "\x00", ""])
def test_a_body_with_an_invalid_character_set_is_read_as_utf_8(charset: str) -> None:
    body = b"email=a@example.com&last_name=%C5%81o%C5%9B"
    item = one(body, content_type=f"application/x-www-form-urlencoded; charset={charset}")
    assert item.person
    assert item.person.last_name == "Łoś"


def test_characters_that_postgresql_cannot_store_are_replaced_and_numbers_stay_exact() -> None:
    body = rb'{"email":"a@example.com","x":"a\u0000b\ud800c","n\u0000":[{"y":"\ud83d\ude00"}],'
    body += rb'"id":12345678901234567890123,"z":NaN,"w":1e400}'
    item = one(body)
    assert item.custom == {"x": "a�b�c", "n�": [{"y": "😀"}], "w": "1e400"}
    assert item.submission_key == "12345678901234567890123"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe\xfd", b"[" * 100_000, b'{"a":' * 70 + b"1" + b"}" * 69, b"<xml/>"]
)
def test_a_body_that_cannot_be_parsed_is_quarantined(body: bytes) -> None:
    item = one(body)
    assert (item.verdict, item.reason) == ("quarantined", "parse_failed")
    assert item.unmet[0]["criterion"] == "parse_failed"


# --- items and verdicts


def test_each_element_of_a_list_is_an_item_and_a_failing_one_does_not_affect_the_others() -> None:
    items = mapped([{"email": "a@example.com"}, None, 5, {"name": "nobody"}, {"phone": "+40722123456"}])
    assert [(item.index, item.verdict, item.reason) for item in items] == [
        (0, "lead", None),
        (1, "quarantined", "mapping_failed"),
        (2, "quarantined", "identity_required"),
        (3, "quarantined", "identity_required"),
        (4, "lead", None),
    ]


def test_an_empty_list_gives_no_items_and_a_missing_list_is_quarantined() -> None:
    document = make_document("generic", {"items": "body.rows"})
    assert mapped({"rows": []}, document) == []
    assert one({"other": 1}, document).reason == "mapping_failed"
    assert one({"rows": 1}, make_document("generic", {"items": "join('', body.rows)"})).reason == "mapping_failed"


def test_items_over_the_limit_of_a_request_are_quarantined() -> None:
    items = mapped([1] * 1_500)
    assert len(items) == 1_001
    assert (items[-1].index, items[-1].reason) == (1_000, "too_many_items")


def test_a_quarantined_item_lists_what_is_missing_and_keeps_what_was_mapped() -> None:
    item = one({"email": "pipedream@test", "phone": "12", "message": "hi", "submitted_at": "yesterday"})
    assert (item.verdict, item.reason) == ("quarantined", "identity_required")
    assert [one["criterion"] for one in item.unmet] == ["identity", "email", "phone", "occurred_at"]
    assert item_to_json(item)["fields"] == {"message": "hi"}
    assert item_to_json(item)["raw"]["phone"] == "12"
    assert item_to_json(item)["email_status"] == "invalid"
    assert item.occurred_at == NOW


def test_an_expression_that_fails_on_a_wrong_type_leaves_its_field_empty_and_is_listed_in_unmet() -> None:
    document = make_document("generic", {"fields": {"company": "join(' ', item.parts)"}})
    item = one({"email": "a@example.com", "parts": 7}, document)
    assert item.verdict == "lead"
    assert [one["criterion"] for one in item.unmet] == ["/fields/company"]


ROUTE = [
    {"when": "starts_with(item.kind, 'cancel')", "do": "activity", "name": "meeting_canceled"},
    {"when": "item.kind == 'gone'", "do": "erase"},
    {"when": "item.kind == 'noise'", "do": "ignore"},
]


@pytest.mark.parametrize(
    ("kind", "verdict", "activity"),
    [
        ("canceled", "activity", "meeting_canceled"),
        ("gone", "erase", "form_fill"),
        ("noise", "ignore", "form_fill"),
        ("x", "lead", "form_fill"),
        (None, "lead", "form_fill"),
    ],
)
def test_the_first_route_whose_condition_is_true_gives_the_verdict(
    kind: str | None, verdict: str, activity: str
) -> None:
    item = one({"email": "a@example.com", "kind": kind}, make_document("generic", {"route": ROUTE}))
    assert (item.verdict, item.activity_type) == (verdict, activity)


def test_a_test_delivery_needs_no_person() -> None:
    assert one({"test": "TRUE"}).verdict == "test"
    assert one({"test": "false", "email": "a@example.com"}).verdict == "lead"


# --- submission keys


def test_without_a_key_the_same_content_within_ten_minutes_has_the_same_submission_key() -> None:
    fill = {"email": "a@example.com", "message": "hi"}
    first = one(fill)
    assert (
        first.submission_key == one(dict(reversed(fill.items())), received_at=NOW + timedelta(minutes=2)).submission_key
    )
    assert first.submission_key != one(fill, received_at=NOW + timedelta(minutes=11)).submission_key
    assert first.submission_key != one({**fill, "message": "ho"}).submission_key
    assert first.submission_key != map_request(GENERIC, make_request(fill), UUID(int=2))[0].submission_key


@pytest.mark.parametrize("key", ["", None, "{{lead.Id}}", [], {}])
def test_an_empty_or_unresolved_key_is_replaced_by_a_content_key(key: Any) -> None:
    assert len(one({"email": "a@example.com", "id": key}).submission_key) == 64


def test_a_long_key_is_replaced_by_its_hash() -> None:
    assert len(one({"email": "a@example.com", "id": "x" * 9_000}).submission_key) == 64


# --- defaults


def test_defaults_fill_what_the_sender_leaves_out() -> None:
    defaults = {"region": "RO", "source": "fair", "medium": "form", "entry": "suspect", "activity_type": "demo_request"}
    document = make_document("generic", {"defaults": defaults})
    item = one({"email": "a@example.com", "phone": "0722 123 456", "campaign": "x"}, document)
    assert item.person
    assert item.person.fields["phone"] == "+40722123456"
    assert item.attribution == {"source": "fair", "medium": "form", "campaign": "x"}
    assert (item.activity_type, item.entry) == ("demo_request", "suspect")


@pytest.mark.parametrize(
    ("named", "expected"),
    [("webinar", "webinar"), ("Price List", "form_fill"), ("", "form_fill"), ("1x", "form_fill"), (None, "form_fill")],
)
def test_an_activity_type_that_is_not_snake_case_becomes_form_fill(named: str | None, expected: str) -> None:
    assert one({"email": "a@example.com", "activity_type": named}).activity_type == expected


def test_an_activity_type_may_be_a_bare_word() -> None:
    document = make_document("generic", {"activity": {"type": "demo_request"}})
    assert one({"email": "a@example.com"}, document).activity_type == "demo_request"


def test_a_time_without_an_offset_is_in_the_time_zone_of_the_source() -> None:
    body = {"email": "a@example.com", "submitted_at": "2026-08-17 09:00"}
    assert one(body).occurred_at == datetime(2026, 8, 17, 9, tzinfo=UTC)
    there = make_document("generic", {"defaults": {"timezone": "Europe/Bucharest"}})
    assert one(body, there).occurred_at == datetime(2026, 8, 17, 6, tzinfo=UTC)


def test_attribution_prefers_explicit_answers_over_hidden_fields_over_the_page_url() -> None:
    page = "https://example.com/?utm_source=page&utm_medium=page&utm_campaign=page&gclid=g&utm_term=%7Bkeyword%7D"
    body = {
        "email": "a@example.com",
        "source": "said",
        "utm_source": "hidden",
        "utm_medium": "hidden",
        "page_url": page,
    }
    assert one(body).attribution == {
        "source": "said",
        "medium": "hidden",
        "campaign": "page",
        "gclid": "g",
        "landing_page": page,
    }


# --- spam

PAGE = {"email": "a@example.com", "_ts": str(int(NOW.timestamp()) - 30)}


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "lead"),
        ({"website": ""}, "lead"),
        ({"website": "http://x.example"}, "lead"),
        ({"baton_trap": "http://x.example"}, "spam"),
        ({"_gotcha": "x"}, "spam"),
        ({"_gotcha": "0"}, "lead"),
        ({"_ts": str(int(NOW.timestamp()) - 1)}, "spam"),
        ({"_ts": str(int(NOW.timestamp()) + 60)}, "lead"),
        ({"message": "see https://a.example"}, "lead"),
        ({"message": "see https://a.example and www.b.example"}, "spam"),
        ({"email": "a@mailinator.com"}, "spam"),
    ],
)
def test_spam_is_detected_by_the_rules_of_the_source(change: dict[str, str], verdict: str) -> None:
    assert html(**(PAGE | change)).verdict == verdict


def test_a_source_may_turn_a_honeypot_off() -> None:
    document = make_document("html-form", {"spam": {"honeypot": []}, "fields": {"website": "item.website"}})
    item = one(
        b"email=a@example.com&website=https://acme.com", document, content_type="application/x-www-form-urlencoded"
    )
    assert item.verdict == "lead"
    assert item.person
    assert item.person.fields["domain"] == "acme.com"


def test_an_unticked_opt_out_is_unknown_and_not_given_consent() -> None:
    def state(value: str) -> str:
        item = one(f"email=a@example.com&emailOptOut={value}".encode(), DOCUMENTS["salesforce-web-to-lead"])
        return item.consents[0].state

    assert [state("1"), state("0"), state("")] == ["refused", "unknown", "unknown"]


# --- no input raises

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
SHAPES = st.sampled_from([(one, one.request().body) for one in samples()])


def assert_valid(items: list[Item]) -> None:
    for item in items:
        answer = item_to_json(item)
        assert storable_value(answer) == answer
        json.dumps(answer, allow_nan=False)
        assert len(item.submission_key) <= 255
        assert (item.verdict == "quarantined") == (item.reason is not None)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(DOCUMENTS)),
    body=st.binary(max_size=300),
    content_type=CONTENT_TYPES,
    query=st.text(max_size=30),
)
def test_any_bytes_give_valid_items(name: str, body: bytes, content_type: str, query: str) -> None:
    assert_valid(mapped(body, DOCUMENTS[name], content_type=content_type, query=query))


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(DOCUMENTS)),
    value=JSON,
    key=st.sampled_from(
        [
            "email",
            "phone",
            "fields",
            "answers",
            "data",
            "form_response",
            "properties",
            "hidden",
            "consent",
            "name",
            "country",
            "website",
        ]
    ),
)
def test_any_json_gives_valid_items(name: str, value: Any, key: str) -> None:
    for body in (
        value,
        {key: value},
        {"form_response": {key: value}},
        {"data": {key: value}},
        {"properties": {key: {"value": value}}},
    ):
        assert_valid(mapped(json.dumps(body).encode(), DOCUMENTS[name]))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(shape=SHAPES, cut=st.integers(0, 3_000), junk=st.binary(max_size=6))
def test_a_damaged_real_request_gives_valid_items(shape: Any, cut: int, junk: bytes) -> None:
    sample, body = shape
    assert_valid(map_request(sample.document(), sample.request(body=body[:cut] + junk + body[cut + 1 :]), SOURCE))


def test_mapping_is_deterministic() -> None:
    request = sample("47").request()
    assert map_request(GENERIC, request, SOURCE) == map_request(GENERIC, request, SOURCE)


GOOD: dict[str, dict[str, Any]] = {
    "segment": {"type": "identify", "messageId": "m1", "userId": "u1", "traits": {"email": "ana@nordsoft.example"}},
    "tiktok-lead-gen": {"id": "9", "changes": [{"field": "email", "value": "ana@nordsoft.example"}]},
}
GOOD["rudderstack"] = GOOD["segment"]


@pytest.mark.parametrize("bad", [None, 5, "x", [], {}, True, {"traits": "s", "type": "identify"}, {"changes": "s"}])
@pytest.mark.parametrize(
    ("name", "place"), [("segment", "batch"), ("rudderstack", "batch"), ("tiktok-lead-gen", "entry")]
)
def test_an_element_of_a_batch_that_is_none_costs_no_other(name: str, place: str, bad: Any) -> None:
    good = GOOD[name]
    items = mapped({place: [good, bad, {**good, "messageId": "m2", "id": "10"}]}, DOCUMENTS[name])
    leads = [item for item in items if item.verdict == "lead"]
    assert [item.person.fields["email"] for item in leads if item.person] == ["ana@nordsoft.example"] * 2
    assert {item.verdict for item in items} <= {"lead", "ignore", "quarantined"}
