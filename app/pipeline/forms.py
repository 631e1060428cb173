"""Normal forms: what is stored beside what was said, so that two spellings of one company or person are one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.matching.company import company_key
from app.matching.email import read_email
from app.matching.phone import read_phones

LONGEST_KEY: Final = 200


def account_columns(said: Mapping[str, Any], country: str | None = None) -> dict[str, Any]:
    """The columns of an account for what was said of it; `country` is where national phone numbers are read."""
    columns = _phone(said, country)
    if "name" in said:
        columns["name_key"] = name_key(said["name"])
    return columns


def name_key(name: str | None) -> str | None:
    """What two spellings of a company's name share, as long as an index can hold it."""
    return company_key(name)[:LONGEST_KEY] if name else None


def contact_columns(said: Mapping[str, Any], country: str | None = None) -> dict[str, Any]:
    """The columns of a contact for what was said of it."""
    columns = _phone(said, country)
    if "email" in said:
        email = read_email(said["email"]) if said["email"] else None
        columns["email_key"] = email.key if email else None
    first, last = said.get("first_name"), said.get("last_name")
    if first and last and not said.get("full_name"):
        columns["full_name"] = f"{first} {last}"
    return columns


def _phone(said: Mapping[str, Any], country: str | None) -> dict[str, Any]:
    columns = dict(said)
    if said.get("phone"):
        numbers = read_phones(said["phone"], (said.get("country") or country,))
        columns["phone"] = numbers[0].e164 if numbers else said["phone"]
    return columns
