"""The faults of addresses and numbers of a lead that are none."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from app.matching.email import NOT_AN_EMAIL

DETAILS: Final = {
    "email": NOT_AN_EMAIL,
    "domain": "this is not the domain of one company, such as example.com",
    "phone": "this is not a telephone number: write it with its country code, such as +40 21 555 0100",
    "website": "this is not a web address, such as https://www.example.com/about",
}


def unreadable(
    typed: Mapping[str, Any], read: Collection[str], names: Collection[str] = tuple(DETAILS)
) -> list[dict[str, str]]:
    """An entry of `errors` for each of these fields that was typed, and is not among those that could be read."""
    return [
        {"field": f"fields.{name}", "code": f"{name}_invalid", "detail": DETAILS[name]}
        for name in names
        if (typed.get(name) or "").strip() and name not in read
    ]
