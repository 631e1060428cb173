"""A fault names the very member that is wrong, also where a rule is over several; messages are short."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from app.problem import brief
from tests.api import Api
from tests.contract.world import RecordIds, create_one_of_each

KEYS = itertools.count(1)
MONEY = {"value": "-1.00", "currency": "EUR"}
CONVERSION = "/v1/leads/{lead_id}/conversion"


@pytest.fixture
async def record_ids(api: Api) -> RecordIds:
    return await create_one_of_each(api)


RULES: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("POST", CONVERSION, {"account": {"mode": "use"}}, "account.id", "id_required"),
    ("POST", CONVERSION, {"account": {"mode": "create", "id": "acc_01kj7jrys5fgynx40zc4zks2gf"}}, "account.id", ""),
    ("POST", CONVERSION, {"contact": {"mode": "use"}}, "contact.id", "id_required"),
    ("POST", CONVERSION, {"opportunity": {"mode": "use"}}, "opportunity.id", "id_required"),
    ("POST", CONVERSION, {"opportunity": {"amount": MONEY}}, "opportunity.amount.value", "amount_negative"),
    ("POST", CONVERSION, {"account": {"values": {"domain": "x"}}}, "account.values.domain", "domain_invalid"),
    ("POST", "/v1/opportunities", {"name": "x", "amount": MONEY}, "amount.value", "amount_negative"),
    ("PATCH", "/v1/opportunities/{opportunity_id}", {"amount": MONEY}, "amount.value", "amount_negative"),
    ("POST", "/v1/opportunities/{opportunity_id}/transitions", {}, "action", "action_required"),
    ("POST", "/v1/accounts", {"industry": "steel"}, "name", "name_required"),
    ("POST", "/v1/contacts", {"role": "user"}, "full_name", "name_required"),
    ("PATCH", "/v1/accounts/{account_id}", {"name": None, "domain": None}, "name", "name_required"),
    ("PATCH", "/v1/contacts/{contact_id}", {"email": None}, "full_name", "name_required"),
    ("PUT", "/v1/rates", {"currency": "EUR", "rates": {"USD": "1", "EUR": "2"}}, "rates.EUR", "rate_of_itself"),
    ("POST", "/v1/users", {"name": "Ann", "role": "sdr", "email": "x"}, "email", "email_invalid"),
    ("PATCH", "/v1/users/{user_id}", {"email": "x"}, "email", "email_invalid"),
    ("POST", "/v1/contacts", {"email": "x"}, "email", "email_invalid"),
    ("POST", CONVERSION, {"contact": {"values": {"email": "x"}}}, "contact.values.email", "email_invalid"),
    ("POST", "/v1/consumers/{name}/ack", {}, "cursor", "one_of"),
    ("POST", "/v1/activities", {"activities": [{"type": "call"}]}, "activities.0.lead_id", "one_identity"),
    ("POST", "/v1/leads", {"fields": {}, "channel": "phone", "attribution": {"channel": "chat"}}, "channel", ""),
    (
        "PATCH",
        "/v1/users/{user_id}",
        {"absences": [{"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}]},
        "absences.0.ends_at",
        "absence_order",
    ),
    ("PATCH", "/v1/subscriptions/{subscription_id}", {"limits": {"concurrency": 0}}, "limits.concurrency", ""),
    ("PATCH", "/v1/subscriptions/{subscription_id}", {"limits": {"timeout": 1}}, "limits.timeout", "unknown_member"),
    (
        "PATCH",
        "/v1/subscriptions/{subscription_id}",
        {"limits": {"retry_schedule": [-1]}},
        "limits.retry_schedule.0",
        "",
    ),
]


@pytest.mark.parametrize(("method", "path", "body", "field", "code"), RULES, ids=str)
async def test_a_rule_over_several_members_names_one_of_them(
    api: Api, record_ids: RecordIds, method: str, path: str, body: dict[str, Any], field: str, code: str
) -> None:
    headers = {"Idempotency-Key": f"named-{next(KEYS)}"} if method == "POST" else None
    answer = await api.call(method, path.format(**record_ids), body, actor=record_ids["actor"], headers=headers)
    [fault] = answer.json()["errors"]
    assert (answer.status_code, fault["field"]) == (422, field), answer.text
    assert code in ("", fault["code"])


@pytest.mark.parametrize("number", [1e308, -1e308, 1.5e300, 1e21])
async def test_no_message_has_a_number_of_very_many_digits(api: Api, record_ids: RecordIds, number: float) -> None:
    for method, path, body in (
        ("POST", "/v1/accounts", {"name": "x", "employees": number}),
        ("PATCH", f"/v1/subscriptions/{record_ids['subscription_id']}", {"limits": {"concurrency": number}}),
        ("POST", "/v1/subscriptions/preview", {"if": {"field": "employees", "is": number}}),
        ("POST", "/v1/subscriptions/preview", {"if": {"fit": {"at_least": number}}}),
    ):
        answer = await api.call(method, path, body)
        assert answer.status_code == 422, answer.text
        assert max(len(fault["detail"]) for fault in answer.json()["errors"]) < 60, answer.text


async def test_a_number_that_is_short_is_shown_as_the_whole_one_that_is_near(api: Api) -> None:
    answer = await api.call("POST", "/v1/accounts", {"name": "x", "employees": 7.6})
    assert answer.json()["errors"][0]["detail"] == "write a whole number, such as 8"


async def test_a_long_value_is_shortened_in_every_message(api: Api) -> None:
    long = "y" * 30_000
    for path, body in (
        ("/v1/subscriptions/preview", {"filter": {"to": [long]}}),
        ("/v1/subscriptions/preview", {"filter": {"to": [" y" * 15_000]}}),
        ("/v1/subscriptions/preview", {"if": {"consent": {"purpose": long, "state": ["given"]}}}),
        ("/v1/sources", {"name": "x", "preset": "generic", "overrides": {"verify": [{"kind": long}]}}),
        ("/v1/sources", {"name": "x", "preset": "generic", "overrides": {"items": f"item.{long}("}}),
    ):
        answer = await api.call("POST", path, body)
        assert answer.status_code == 422, answer.text
        assert len(answer.text) < 3_000, answer.text


@pytest.mark.parametrize(
    ("detail", "shown"),
    [
        ("there is no stage `mqql`; did you mean `mql`?", "there is no stage `mqql`; did you mean `mql`?"),
        (f"there is no stage `{'y' * 300}`; stages are", f"there is no stage `{'y' * 59}…`; stages are"),
        (f"there is no stage `{'y ' * 300}`; stages are", f"there is no stage `{('y ' * 30)[:59]}…`; stages are"),
        (f"{'y' * 300} is none", f"{'y' * 60}… is none"),
        (f"`a` {'is a word ' * 40}`b`", f"`a` {'is a word ' * 40}`b`"),
        ("", ""),
    ],
)
def test_what_was_sent_is_cut_and_the_sentence_is_not(detail: str, shown: str) -> None:
    assert brief(detail) == shown
