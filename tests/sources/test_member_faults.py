"""A member of a document whose value can never work is refused when a source is saved, with its place and a hint."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from app import ids
from app.sources import document
from app.sources.expressions import ROOTS, compiled
from app.sources.member_faults import ATTRIBUTION, member_faults
from app.sources.outline import outline
from app.sources.preset import make_document, preset_names
from tests.api import Api
from tests.submissions.sender import make_sender

HMAC = {"kind": "hmac", "header": "X-Signature"}
ECHO = {"kind": "echo", "param": "challenge"}
# Every member that is an expression: its place, and the overrides in which $ stands for it.
TEXTS: dict[str, Any] = {
    "submission_key": {"submission_key": "$"},
    "entry": {"entry": "$"},
    "occurred_at.expr": {"occurred_at": {"expr": "$"}},
    "fields.email": {"fields": {"email": "$"}},
    "attribution.source": {"attribution": {"source": "$"}},
    "external_ids.crm:contact": {"external_ids": {"crm:contact": "$"}},
    "consent.0.expr": {"consent": [{"purpose": "process", "expr": "$"}]},
    "spam.honeypot.1": {"spam": {"honeypot": ["item.website_url", "$"]}},
    "spam.rendered_at": {"spam": {"rendered_at": "$"}},
}
OBJECTS: dict[str, Any] = {
    "custom": {"custom": "$"},
    "activity.properties": {"activity": {"properties": "$"}},
    "attribution.utm": {"attribution": {"utm": "$"}},
    "external_ids": {"external_ids": "$"},
    "consent.0.expr": {"consent": [{"purpose": "*", "expr": "$"}]},
}
OTHERS: dict[str, Any] = {
    "items": {"items": "$"},
    "route.0.when": {"route": [{"when": "$", "do": "ignore"}]},
}
VARYING = ["submission_key", "occurred_at.expr", "external_ids.crm:contact", "spam.honeypot.1", "spam.rendered_at"]
# Names that the values of an expression do not have, alone and as the beginning of more.
NO_NAMES = [
    "hp",
    '"hp"',
    "email",
    "itm.hp",
    "hp || item.hp",
    "item.hp || hp",
    "text(hp)",
    "hp[0]",
    "[hp]",
    "{a: hp}",
    "hp | @",
]
NO_NAMES += ["Item.hp", "hp[?a=='b'].c", "hp[*].a", "hp[]", "!hp", "hp == 'x'", "@.hp", "join('-', [item.a, b])"]
NO_TEXTS = ["item", "body", "headers", "query", "{a: item.a}", "rest(item)", "item.{a: b}", "merge(item, item)", "`{}`"]
NO_OBJECTS = ["item.a == 'b'", "[item.a]", "item.a[*].b", "'x'", "`1`", "text(item.a)", "sha256", "index", "keys(item)"]
FIXED = ["'hp'", "`1`", "join('-', ['a', 'b'])", "'a' || 'b'"]


def filled(written: Any, value: str) -> Any:
    """The overrides with the value where $ stands."""
    match written:
        case dict():
            return {name: filled(member, value) for name, member in written.items()}
        case list():
            return [filled(member, value) for member in written]
    return value if written == "$" else written


def faults(overrides: dict[str, Any], preset: str = "generic") -> dict[str, str]:
    """The codes of the faults, by their places."""
    found = list(member_faults(make_document(preset, overrides)))
    assert all(fault["detail"] for fault in found)
    return {fault["field"]: fault["code"] for fault in found}


def written(members: dict[str, Any], values: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for (place, overrides), value in product(members.items(), values):
        yield place, filled(overrides, value)


def test_a_name_that_is_nothing_is_refused_in_every_expression() -> None:
    for place, overrides in written(TEXTS | OBJECTS | OTHERS, NO_NAMES):
        assert faults(overrides) == {place: "name_unknown"}, overrides


def test_an_expression_is_refused_that_cannot_give_what_its_member_wants() -> None:
    for place, overrides in written(TEXTS, NO_TEXTS):
        expected = "value_fixed" if "`" in str(overrides) and place in VARYING else "no_text"
        assert faults(overrides) == {place: expected}, overrides
    for place, overrides in written(OBJECTS, NO_OBJECTS):
        assert faults(overrides) == {place: "no_object"}, overrides


def test_a_value_that_is_the_same_for_every_request_is_refused_where_it_has_to_differ() -> None:
    for place, overrides in written({place: TEXTS[place] for place in VARYING}, FIXED):
        assert faults(overrides) == {place: "value_fixed"}, overrides
    for name in TEXTS.keys() - VARYING:
        assert faults(filled(TEXTS[name], "'RO'")) == {}, name


def test_expressions_that_may_work_are_saved() -> None:
    mays = [
        "item.hp",
        'item."hp"',
        "body.a[0].b",
        "text(item.a) || received_at",
        "item.a[*].b",
        "to_string(item)",
        "@.item.a",
    ]
    for _, overrides in written(TEXTS, mays):
        assert faults(overrides) == {}, overrides
    for _, overrides in written(
        OBJECTS, ["item", "item.a", "{a: item.b}", "rest(item)", "item.a && {b: item.a}", "`null`"]
    ):
        assert faults(overrides) == {}, overrides
    for _, overrides in written({"items": OTHERS["items"]}, ["body", "[@.body]", "body.a[].{b: c}", "[body][]", "@"]):
        assert faults(overrides) == {}, overrides


@pytest.mark.parametrize(
    ("overrides", "place", "code"),
    [
        ({"items": "item"}, "items", "name_unknown"),
        ({"items": "[index]"}, "items", "name_unknown"),
        ({"respond": {"redirect": "item.url"}}, "respond.redirect", "name_unknown"),
        ({"respond": {"redirect": "query"}}, "respond.redirect", "no_text"),
        ({"fetch": {"url": "https://a.example/{id}"}}, "fetch.url", "name_unknown"),
        ({"fetch": {"url": "https://a.example/{item}"}}, "fetch.url", "no_text"),
        ({"consent": [{"purpose": "process", "expr": "item.a", "text": "itm.a"}]}, "consent.0.text", "name_unknown"),
        ({"activity": {"type": "Bad Type"}}, "activity.type", "type_invalid"),
        ({"activity": {"type": "'Bad Type'"}}, "activity.type", "type_invalid"),
        ({"activity": {"type": "item.type || 'Bad Type'"}}, "activity.type", "type_invalid"),
        ({"activity": {"type": "2nd"}}, "activity.type", "type_invalid"),
        ({"activity": {"type": "démo"}}, "activity.type", "type_invalid"),
        ({"activity": {"type": "a" * 65}}, "activity.type", "type_invalid"),
        ({"activity": {"type": "item"}}, "activity.type", "no_text"),
        ({"activity": {"type": "itm.type"}}, "activity.type", "name_unknown"),
        ({"preset": "zzz"}, "preset", "preset_unknown"),
        ({"preset": "generik"}, "preset", "preset_unknown"),
        ({"defaults": {"region": "ZZ"}}, "defaults.region", "region_unknown"),
        ({"defaults": {"region": "UK"}}, "defaults.region", "region_unknown"),
        ({"defaults": {"region": "EU"}}, "defaults.region", "region_unknown"),
        *(
            (
                {"occurred_at": {"expr": "item.t", "formats": ["iso", pattern]}},
                "occurred_at.formats.1",
                "format_invalid",
            )
            for pattern in ("%Q", "%", "%Y-%m-%d %", "%H:%M", "%d.%m.", "%E", "%Y %Y", "%Y-%m-%d %L", "%s", "100%")
        ),
        ({"verify": [{**HMAC, "header": "X Signature"}]}, "verify.0.header", "header_invalid"),
        ({"verify": [{**HMAC, "header": "X-Signature:"}]}, "verify.0.header", "header_invalid"),
        ({"verify": [{**HMAC, "unless_header": "X-ÄÖ"}]}, "verify.0.unless_header", "header_invalid"),
        (
            {"verify": [{**HMAC, "timestamp": {"from": "header:X Time"}}]},
            "verify.0.timestamp.from",
            "header_invalid",
        ),
        ({"verify": [{**HMAC, "timestamp": {"from": "header:"}}]}, "verify.0.timestamp.from", "header_invalid"),
        ({"verify": [{"kind": "token", "name": "api key"}]}, "verify.0.name", "header_invalid"),
        ({"handshake": {**ECHO, "answer": "{chalenge}"}}, "handshake.answer", "token_unknown"),
        ({"handshake": {**ECHO, "answer": {"a": "{challenge}", "b": "{x}"}}}, "handshake.answer.b", "token_unknown"),
        ({"respond": {"body": {"id": "{leadid}"}}}, "respond.body.id", "token_unknown"),
        ({"respond": {"body": [{"a": "x {Stage}"}]}}, "respond.body.0.a", "token_unknown"),
    ],
)
def test_a_value_of_no_list_and_no_form_is_refused_with_its_place(
    overrides: dict[str, Any], place: str, code: str
) -> None:
    assert faults(overrides) == {place: code}


@pytest.mark.parametrize(
    "overrides",
    [
        {"activity": {"type": "demo_request"}},
        {"activity": {"type": "Demo"}},
        {"activity": {"type": "snake(item.event) || 'track'"}},
        {"preset": "typeform"},
        *({"defaults": {"region": code}} for code in ("RO", "GB", "XK", "AC", "AQ")),
        *(
            {"occurred_at": {"expr": "item.t", "formats": [pattern]}}
            for pattern in (
                "%Y-%m-%d",
                "%d/%m/%y",
                "%b %d, %Y %I:%M%p",
                "%Y-%m-%dT%H:%M:%S.%f%z",
                "%d %B %Y %Z",
                "%c",
                "%j %Y",
                "%G-%V-%u",
            )
        ),
        {"verify": [{"kind": "token", "in": "query", "name": "api key"}]},
        {"verify": [{**HMAC, "header": "X_Signature.v1"}]},
        {"respond": {"body": {"id": "{lead_id}", "text": "{ a }", "n": 1, "none": None}}},
        {"respond": {"redirect": "https://www.acme.example/thanks"}},
        {"consent": [{"purpose": "process", "expr": "item.a", "text": "I agree"}]},
    ],
)
def test_a_value_that_works_is_saved(overrides: dict[str, Any]) -> None:
    assert faults(overrides) == {}


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_can_be_saved(name: str) -> None:
    assert faults({}, name) == {}


def test_every_expression_of_a_document_is_in_these_tables() -> None:
    parts = [part for part in vars(document).values() if isinstance(part, type) and issubclass(part, document.Part)]
    fields = {(part.__name__, name) for part in parts for name, one in part.model_fields.items() if is_expression(one)}
    assert {name for part, name in fields if part == "Document"} == {
        place.split(".")[0] for place in TEXTS.keys() | OBJECTS.keys() | OTHERS.keys()
    } - {"route", "activity", "occurred_at", "consent", "spam"}
    assert {f"{part}.{name}" for part, name in fields if part != "Document"} == {
        *("Route.when", "ActivityRule.type", "ActivityRule.properties", "Moment.expr", "Respond.redirect"),
        *("ConsentRule.expr", "ConsentRule.text", "ConsentRule.version", "Spam.honeypot", "Spam.rendered_at"),
    }


def is_expression(field: Any) -> bool:
    written = repr((field.annotation, field.metadata))
    return "_expression" in written or "max_length=4000" in written


@given(st.text(max_size=40))
def test_the_outline_of_any_valid_expression_is_known(expression: str) -> None:
    try:
        program = compiled(expression)
    except ValueError:
        return
    found = outline(expression)
    assert not program.is_word or found.names - ROOTS


async def test_a_document_that_can_never_work_is_refused_by_the_service(api: Api) -> None:
    made = await api.post("/v1/sources", {"name": "x", "preset": "generic"})
    for overrides, place in (
        ({"spam": {"honeypot": ["hp"]}}, "spam.honeypot.0"),
        ({"activity": {"type": "Bad Type"}}, "activity.type"),
        ({"submission_key": "item"}, "submission_key"),
        ({"fetch": {"url": "https://a.example:22/{item.id}"}}, "fetch.url"),
        ({"fetch": {"url": "http://a.example/{item.id}"}}, "fetch.url"),
        ({"bot_check": {"url": "https://a.example:25/", "field": "f"}}, "bot_check.url"),
        ({"bot_check": {"url": "http://a.example/", "field": "f"}}, "bot_check.url"),
        ({"bot_check": {"url": "http://10.0.0.1/", "field": "f"}}, "bot_check.url"),
        ({"bot_check": {"url": "https://10.0.0.1/", "field": "f"}}, "bot_check.url"),
        ({"bot_check": {"url": "http://no-such-host-here/", "field": "f"}}, "bot_check.url"),
        ({"fetch": {"url": "http://[::2]/{item.id}"}}, "fetch.url"),
    ):
        body = {"name": "x", "preset": "generic", "overrides": overrides}
        for answer in (
            await api.call("POST", "/v1/sources", body),
            await api.call("PATCH", f"/v1/sources/{made['id']}", {"overrides": overrides}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (422, "mapping_has_faults"), overrides
            assert [fault["field"] for fault in answer.json()["errors"]] == [f"overrides.{place}"]


async def test_an_address_that_the_operator_allows_is_taken_without_tls(api: Api) -> None:
    for overrides in (
        {"bot_check": {"url": "http://127.0.0.1:9/", "field": "f"}},
        {"fetch": {"url": "http://localhost:9/{item.id}"}},
    ):
        await api.post("/v1/sources", {"name": "x", "preset": "generic", "overrides": overrides})


async def test_a_default_that_can_never_work_is_refused_with_its_place(api: Api) -> None:
    made = await api.post("/v1/sources", {"name": "x", "preset": "generic"})
    unknown = ids.show("contact", ids.new_id())
    for defaults, name, status in (
        ({"region": "ZZ"}, "region", 422),
        ({"entry": "nope"}, "entry", 422),
        ({"entry": "suspects"}, "entry", 422),
        ({"partner_account_id": "nope"}, "partner_account_id", 422),
        ({"referred_by_contact_id": unknown}, "referred_by_contact_id", 404),
    ):
        for body, place in (
            ({"defaults": defaults}, "defaults"),
            ({"overrides": {"defaults": defaults}}, "overrides.defaults"),
        ):
            for answer in (
                await api.call("POST", "/v1/sources", {"name": "x", "preset": "generic", **body}),
                await api.call("PATCH", f"/v1/sources/{made['id']}", body),
            ):
                assert answer.status_code == status, (body, answer.text)
                assert f"{place}.{name}" in answer.text


async def test_a_document_that_was_stored_before_goes_on_working(api: Api) -> None:
    sender = await make_sender(api, preset="generic")
    path = f"/v1/sources/{sender.source['id']}"
    async with api.app.state.engine.begin() as tx:
        await tx.execute(
            text("UPDATE sources SET version = version + 1, overrides = CAST(:overrides AS jsonb)"),
            {"overrides": '{"spam": {"honeypot": ["hp"]}}'},
        )
    shown = await api.call("PATCH", path, {"name": "renamed", "defaults": {"region": "RO"}})
    assert shown.status_code == 200, shown.text
    made = await sender.post_and_process({"email": "jane@acme.example", "first_name": "Jane"})
    assert made["items"][0]["verdict"] == "lead"


@pytest.mark.parametrize(
    "name", ["chanel", "sorce", "soruce", "mediums", "campain", "utm_source", "utm_id", "form_ids"]
)
def test_a_name_of_attribution_that_is_nearly_a_known_one_is_refused(name: str) -> None:
    assert faults({"attribution": {name: "item.c"}}) == {f"attribution.{name}": "name_unknown"}


@pytest.mark.parametrize("name", [*ATTRIBUTION, "ad_group_id", "keyword", "network", "dclid", "form_name", "creative"])
def test_a_known_name_of_attribution_and_one_of_your_own_are_taken(name: str) -> None:
    assert faults({"attribution": {name: "item.c"}}) == {}


@pytest.mark.parametrize(
    "items", ["`1`", "'x'", "`null`", "`true`", "join('', ['a', 'b'])", "to_string(`1`)", "sum('x')"]
)
def test_items_that_are_one_constant_value_are_refused(items: str) -> None:
    assert faults({"items": items}) == {"items": "value_fixed"}


@pytest.mark.parametrize("value", ["index", "to_string(index)", "join('-', ['a', to_string(index)])", "index || 'a'"])
@pytest.mark.parametrize("place", VARYING)
def test_a_value_of_the_number_of_the_item_alone_is_refused(place: str, value: str) -> None:
    assert faults(filled(TEXTS[place], value)) == {place: "value_fixed"}
    assert faults(filled(TEXTS[place], f"join('-', [sha256, to_string({value})])")) == {}


async def test_a_preset_inside_the_overrides_is_refused_unless_it_is_that_of_the_source(api: Api) -> None:
    for named, codes in (("generic", None), ("calendly", ["preset_unused"]), ("zzz", ["preset_unknown"])):
        body = {"name": "x", "preset": "generic", "overrides": {"preset": named}}
        answer = await api.call("POST", "/v1/sources", body)
        assert answer.status_code == (422 if codes else 201), answer.text
        if codes:
            errors = answer.json()["errors"]
            assert [error["code"] for error in errors] == codes
            assert errors[0]["field"] == "overrides.preset"


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        ({"external_ids": {"crm:x": "(("}}, "external_ids.crm:x"),
        ({"external_ids": {"crm:x": 5}}, "external_ids.crm:x"),
        ({"external_ids": 5}, "external_ids"),
        ({"external_ids": ["item.a"]}, "external_ids"),
        ({"handshake": {"answer": {"a": 5}}}, "handshake.answer.a"),
        ({"handshake": {"answer": 5}}, "handshake.answer"),
        ({"verify": [{"kind": "hmac"}]}, "verify.0.header"),
        ({"verify": [{"kind": "zzz"}]}, "verify.0"),
        ({"nope": 1}, "nope"),
    ],
)
async def test_a_fault_is_named_by_its_place_in_what_was_written(
    api: Api, overrides: dict[str, Any], place: str
) -> None:
    answer = await api.call("POST", "/v1/sources", {"name": "x", "preset": "generic", "overrides": overrides})
    places = {error["field"] for error in answer.json()["errors"]}
    assert f"overrides.{place}" in places
    assert all(f"overrides.{place}.".startswith(f"{named}.") for named in places)


@pytest.mark.parametrize(
    ("body", "places"),
    [
        ({"query": {"a": 5}}, {"query.a"}),
        ({"query": 5}, {"query"}),
        ({"headers": {"body": 5}}, {"headers.body"}),
        ({"zzz": 5}, {"zzz"}),
    ],
)
async def test_a_member_of_a_dry_run_is_named_as_it_was_written(api: Api, body: Any, places: set[str]) -> None:
    made = await api.post("/v1/sources", {"name": "x", "preset": "generic"})
    answer = await api.call("POST", f"/v1/sources/{made['id']}/dry-run", body)
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == places
