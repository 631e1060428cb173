"""An id in a request that is nobody's, or another tenant's, is refused with the member that names it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from app import ids
from tests.api import Api

LEAD: Final = {"fields": {"email": "ana@nordsoft.example"}}
SOURCE: Final = {"name": "S", "preset": "generic"}
KEYED: Final = {"Idempotency-Key": "k-1"}
# Method, path and body of a request, and the member that holds the id of this kind. {lead} and {source} are known ones.
NAMED: Final[list[tuple[str, str, dict[str, Any], str, str]]] = [
    ("POST", "/v1/sources", {**SOURCE, "defaults": {"partner_account_id": "?"}}, "account", "defaults"),
    ("POST", "/v1/sources", {**SOURCE, "defaults": {"referred_by_contact_id": "?"}}, "contact", "defaults"),
    (
        "POST",
        "/v1/sources",
        {**SOURCE, "overrides": {"defaults": {"partner_account_id": "?"}}},
        "account",
        "overrides.defaults",
    ),
    ("PATCH", "/v1/sources/{source}", {"defaults": {"partner_account_id": "?"}}, "account", "defaults"),
    ("PATCH", "/v1/sources/{source}", {"defaults": {"referred_by_contact_id": "?"}}, "contact", "defaults"),
    ("POST", "/v1/leads", {**LEAD, "attribution": {"partner_account_id": "?"}}, "account", "attribution"),
    ("POST", "/v1/leads", {**LEAD, "attribution": {"referred_by_contact_id": "?"}}, "contact", "attribution"),
    ("POST", "/v1/leads", {**LEAD, "source_id": "?"}, "source", ""),
    ("POST", "/v1/imports?source_id=?", {}, "source", ""),
    ("POST", "/v1/contacts", {"last_name": "Pop", "account_id": "?"}, "account", ""),
    ("POST", "/v1/opportunities", {"name": "O", "account_id": "?"}, "account", ""),
    ("PATCH", "/v1/contacts/{contact}", {"account_id": "?"}, "account", ""),
    ("POST", "/v1/opportunities", {"name": "O", "account_id": "{account}", "contact_id": "?"}, "contact", ""),
    ("POST", "/v1/leads/{lead}/merge", {"into": "?"}, "lead", ""),
    ("GET", "/v1/policies/active/diff?against=?", {}, "policy", ""),
    ("POST", "/v1/conversions/batch", {"items": [{"lead_id": "?"}], "atomic": True}, "lead", "items.0"),
]


def member(body: Any, path: str) -> str:
    """The name of the member that holds the unknown id."""
    if path.endswith("=?"):
        return path.partition("?")[2].removesuffix("=?")
    if isinstance(body, list):
        return member(body[0], path)
    inner = (member(value, path) for value in body.values() if isinstance(value, (dict, list)))
    return next((name for name, value in body.items() if value == "?"), None) or next(filter(None, inner), "")


def filled(value: Any, known: dict[str, str], unknown: str) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, known, unknown) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, known, unknown) for one in value]
    return unknown if value == "?" else known.get(value.strip("{}"), value) if isinstance(value, str) else value


@pytest.mark.parametrize(("method", "path", "body", "kind", "place"), NAMED)
async def test_an_id_that_does_not_exist_is_refused_with_the_member_that_names_it(
    api: Api, method: str, path: str, body: dict[str, Any], kind: str, place: str
) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft"})
    known = {
        "lead": (await api.post("/v1/leads", LEAD))["id"],
        "source": (await api.post("/v1/sources", SOURCE))["id"],
        "account": account["id"],
        "contact": (await api.post("/v1/contacts", {"last_name": "Pop"}))["id"],
        "policy": (await api.get("/v1/policies/active"))["id"],
    }
    unknown = ids.show(kind, ids.new_id())
    where = path.replace("=?", f"={unknown}").replace("active", known["policy"]).format(**known)
    sent = filled(body, known, unknown) if body else None
    headers = {**KEYED, **({"Content-Type": "text/csv"} if "imports" in path else {})}
    actor = await api.user("manager")
    answer = await api.call(method, where, sent, actor=actor, headers=headers)
    named = ".".join(filter(None, (place, member(body, path))))
    assert (answer.status_code, answer.json()["code"]) == (404, f"{kind}_not_found"), answer.text
    assert [(one["field"], one["code"]) for one in answer.json()["errors"]] == [(named, f"{kind}_not_found")]
    assert unknown in answer.json()["detail"]
