"""Normalized columns stored beside the given values, so that two spellings of one company or person match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.matching.company import company_key
from app.matching.derive import rederived
from app.matching.email import read_email
from app.matching.phone import read_phones

LONGEST_KEY: Final = 200
DERIVED_COLUMNS: Final = {"account": ("domain",), "contact": ("full_name", "role", "seniority")}

# One of these an account or contact must have; a fault names the first of them.
NAMING: Final = {
    "account": ("name", "domain"),
    "contact": ("full_name", "first_name", "last_name", "email", "phone"),
}
NEEDED: Final = {
    "account": "an account needs a name or a domain",
    "contact": "a contact needs a name, an e-mail or a phone",
}


def nameless(kind: str, values: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """Member, code and sentence of the fault of an account or contact that nothing names."""
    names = NAMING.get(kind, ())
    return None if not names or any(values[name] for name in names) else (names[0], "name_required", NEEDED[kind])


def account_columns(values: Mapping[str, Any], country: str | None = None) -> dict[str, Any]:
    """The given columns of an account; `country` is the default country of national phone numbers."""
    columns = _phone(values, country)
    if "name" in values:
        columns["name_key"] = name_key(values["name"])
    return columns


def name_key(name: str | None) -> str | None:
    """A company's name in normal form, cut to a length that fits an index."""
    return company_key(name)[:LONGEST_KEY] if name else None


def contact_columns(values: Mapping[str, Any], country: str | None = None) -> dict[str, Any]:
    """The given columns of a contact; `country` is the default country of national phone numbers."""
    columns = _phone(values, country)
    if "email" in values:
        email = read_email(values["email"]) if values["email"] else None
        columns["email_key"] = email.key if email and not email.is_placeholder else None
    return columns


def with_derived(kind: str, before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The given columns of an account or contact, and the derived ones that change with them."""
    return {**given, **rederived(before, {**before, **given}, given, DERIVED_COLUMNS[kind])}


def _phone(values: Mapping[str, Any], country: str | None) -> dict[str, Any]:
    columns = dict(values)
    if values.get("phone"):
        numbers = read_phones(values["phone"], (values.get("country") or country,))
        columns["phone"] = numbers[0].e164 if numbers else values["phone"]
    return columns
