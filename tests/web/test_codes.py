"""The codes of `errors` are ours: each error type of Pydantic has one, and each is reached through HTTP."""

from __future__ import annotations

from typing import Any

from app.policy.codes import TABLE, code_of
from app.policy.sentences import SENTENCES
from tests.api import Api

CODES = [code for code, _, _ in TABLE]
KINDS = [kind for _, _, kinds in TABLE for kind in kinds]
LEAD: dict[str, Any] = {"fields": {"email": "ana@nordsoft.example"}}
DEAL: dict[str, Any] = {"name": "Renewal"}
MONEY = {"value": "1.00", "currency": "EUR"}
USER: dict[str, Any] = {"name": "Ana", "email": "ana@nordsoft.example", "role": "sdr"}
FORM: dict[str, Any] = {"name": "form", "preset": "generic"}
HMAC = {"kind": "hmac", "header": "X-S"}


def of_document(**overrides: Any) -> dict[str, Any]:
    return {**FORM, "overrides": overrides}


ASKED: list[tuple[str, str, Any, str, str]] = [
    ("POST", "/v1/sources", {"preset": "generic"}, "name", "missing"),
    ("POST", "/v1/sources", of_document(verify=[{"kind": "hmac"}]), "overrides.verify.0.header", "missing"),
    ("GET", "/v1/reports/funnel?to=2026-09-01T00:00:00Z", None, "from", "missing"),
    ("POST", "/v1/sources", {**FORM, "nmae": "x"}, "nmae", "unknown_member"),
    ("POST", "/v1/sources", {**FORM, "defaults": {"regoin": "RO"}}, "defaults.regoin", "unknown_member"),
    ("POST", "/v1/sources", of_document(itmes="body"), "overrides.itmes", "unknown_member"),
    ("POST", "/v1/sources", {**FORM, "name": 1}, "name", "wrong_type"),
    ("POST", "/v1/sources", {**FORM, "enabled": "maybe"}, "enabled", "wrong_type"),
    ("POST", "/v1/sources", {**FORM, "overrides": []}, "overrides", "wrong_type"),
    ("POST", "/v1/sources", {**FORM, "defaults": 1}, "defaults", "wrong_type"),
    ("POST", "/v1/sources", {**FORM, "defaults": {"allowed_origins": "*"}}, "defaults.allowed_origins", "wrong_type"),
    ("POST", "/v1/sources", of_document(route={}), "overrides.route", "wrong_type"),
    ("POST", "/v1/users", {**USER, "capacity": "x"}, "capacity", "wrong_type"),
    ("POST", "/v1/users", {**USER, "capacity": 1.5}, "capacity", "wrong_type"),
    ("GET", "/v1/leads?limit=x", None, "limit", "wrong_type"),
    ("POST", "/v1/sources", {**FORM, "defaults": {"region": "ro"}}, "defaults.region", "wrong_form"),
    ("POST", "/v1/opportunities", {**DEAL, "close_date": "31.03.2027"}, "close_date", "wrong_form"),
    ("POST", "/v1/opportunities", {**DEAL, "close_date": "2027-02-30"}, "close_date", "wrong_form"),
    ("POST", "/v1/opportunities", {**DEAL, "amount": {**MONEY, "value": "1,00"}}, "amount.value", "wrong_form"),
    ("POST", "/v1/leads", {**LEAD, "occurred_at": "2026-08-17T09:00:00"}, "occurred_at", "wrong_form"),
    ("GET", "/v1/leads?updated_after=yesterday", None, "updated_after", "wrong_form"),
    ("GET", "/v1/leads?limit=0", None, "limit", "out_of_range"),
    ("GET", "/v1/leads?limit=201", None, "limit", "out_of_range"),
    ("GET", "/v1/leads?limit=99999999999999999999999", None, "limit", "out_of_range"),
    ("POST", "/v1/sources", of_document(limits={"per_minute": 0}), "overrides.limits.per_minute", "out_of_range"),
    ("POST", "/v1/sources", {**FORM, "name": ""}, "name", "too_short"),
    ("POST", "/v1/sources", {**FORM, "secrets": {"token": ""}}, "secrets.token", "too_short"),
    ("POST", "/v1/sources", {**FORM, "name": "x" * 5_000}, "name", "too_long"),
    ("POST", "/v1/sources", {**FORM, "secrets": {"token": "x" * 4_097}}, "secrets.token", "too_long"),
    ("POST", "/v1/sources", {**FORM, "secrets": {"token": []}}, "secrets.token", "too_few_items"),
    ("POST", "/v1/sources", of_document(parse={"formats": []}), "overrides.parse.formats", "too_few_items"),
    ("POST", "/v1/sources", {**FORM, "secrets": {"token": ["a", "b", "c"]}}, "secrets.token", "too_many_items"),
    ("POST", "/v1/sources", of_document(verify=[HMAC] * 11), "overrides.verify", "too_many_items"),
    ("POST", "/v1/leads", {**LEAD, "custom": {"list": [0] * 1_001}}, "custom.list", "too_many_items"),
    ("POST", "/v1/users", {**USER, "role": "boss"}, "role", "unknown_value"),
    ("GET", "/v1/leads?temperature=tepid", None, "temperature", "unknown_value"),
    ("POST", "/v1/sources", of_document(parse={"formats": ["xml"]}), "overrides.parse.formats.0", "unknown_value"),
    ("POST", "/v1/sources", of_document(verify=[{"kind": "hmca"}]), "overrides.verify.0", "unknown_word"),
    ("POST", "/v1/sources", of_document(verify=[{}]), "overrides.verify.0", "unknown_word"),
    ("POST", "/v1/sources", of_document(items="body."), "overrides.items", "invalid"),
    ("POST", "/v1/sources", of_document(fields={"shoe_size": "item.a"}), "overrides.fields.shoe_size", "invalid"),
    ("POST", "/v1/sources", of_document(verify=[{**HMAC, "parse": "kv"}]), "overrides.verify.0", "invalid"),
]


def test_each_error_type_of_pydantic_that_we_can_tell_has_one_code() -> None:
    assert sorted(KINDS) == sorted({*SENTENCES, "value_error", "assertion_error"})
    assert len(set(CODES)) == len(CODES)
    assert {code_of(kind) for kind in KINDS} == set(CODES)
    assert code_of("email_invalid") == "email_invalid"


def test_the_table_is_provoked_whole() -> None:
    assert {code for *_, code in ASKED} == set(CODES)


async def test_what_is_refused_by_pydantic_has_a_code_of_ours(api: Api) -> None:
    for method, path, body, field, code in ASKED:
        answer = await api.call(method, path, body)
        found = [(fault["field"], fault["code"]) for fault in answer.json().get("errors", ())]
        assert (answer.status_code, found.count((field, code))) == (422, 1), (path, str(body)[:200], answer.text)


async def test_a_rule_of_no_known_kind_is_told_the_kinds(api: Api) -> None:
    for rule, detail in (
        ({}, "write `kind`, which says what the other members are"),
        (
            {"kind": "hmca"},
            "there is no kind `hmca`: it is one of 'hmac', 'digest', 'token', 'basic'; did you mean `hmac`?",
        ),
        ({"kind": 7}, "there is no kind `7`: it is one of 'hmac', 'digest', 'token', 'basic'"),
    ):
        answer = await api.call("POST", "/v1/sources", of_document(verify=[rule]))
        assert [fault["detail"] for fault in answer.json()["errors"]] == [detail]
