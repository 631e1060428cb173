"""Fields that are derived from other fields: domain, role, seniority, full name, and the parts of a full name.

A field counts as derived while its value is the one that its sources give; any other value was set by somebody, and
stays (docs/decisions/0026).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any, Final

from app.matching.company import company_domain
from app.matching.email import read_email
from app.matching.names import read_name
from app.matching.title import role_of, seniority_of

Values = Mapping[str, Any]


def _domain(values: Values) -> str | None:
    email = read_email(values["email"]) if values.get("email") else None
    return company_domain(
        (values.get("website"),), email.domain if email else None, role_mailbox=email is not None and email.is_role
    )


def _of_title(rule: Callable[[str], str | None]) -> Callable[[Values], str | None]:
    return lambda values: rule(values["job_title"]) if values.get("job_title") else None


def _full_name(values: Values) -> str | None:
    first, last = values.get("first_name"), values.get("last_name")
    return f"{first} {last}" if first and last else None


SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    "domain": ("website", "email"),
    "role": ("job_title",),
    "seniority": ("job_title",),
    "full_name": ("first_name", "last_name"),
}
_RULES: Final[Mapping[str, Callable[[Values], str | None]]] = {
    "domain": _domain,
    "role": _of_title(role_of),
    "seniority": _of_title(seniority_of),
    "full_name": _full_name,
}


def equals_derivation(values: Values, name: str) -> bool:
    """Whether the field has exactly the value that its sources give."""
    value = values.get(name)
    return name in _RULES and value is not None and value == _RULES[name](values)


def is_derived(values: Values, name: str) -> bool:
    """Whether the field has the value that its sources give; a full name also where its parts are as in the fields."""
    if equals_derivation(values, name):
        return True
    return name == "full_name" and bool(full := values.get(name)) and _parts(full) == _given_parts(values)


def rederived(before: Values, after: Values, given: Container[str], names: Container[str] = SOURCES) -> dict[str, Any]:
    """The derived fields that change because their sources did. Those in `given` are set, and are left alone.

    A new full name sets the parts that the full name before had, or that were empty.
    """
    changes = _parts_of_new_name(before, after, given)
    now = {**after, **changes}
    for name, rule in _RULES.items():
        is_moved = any(before.get(source) != now.get(source) for source in SOURCES[name])
        if name in given or name not in names or not is_moved:
            continue
        is_free = before.get(name) is None or is_derived(before, name)
        if is_free and before.get(name) != (value := rule(now)):
            changes[name] = value
    return changes


def _parts_of_new_name(before: Values, after: Values, given: Container[str]) -> dict[str, Any]:
    full = after.get("full_name")
    if not full or "full_name" not in given or full == before.get("full_name"):
        return {}
    known = dict(zip(("first_name", "last_name"), _parts(before.get("full_name")), strict=True))
    parts = dict(zip(known, _parts(full), strict=True))
    return {
        name: part
        for name, part in parts.items()
        if name not in given and before.get(name) in (None, known[name]) and before.get(name) != part
    }


def _parts(full: str | None) -> tuple[str | None, str | None]:
    name = read_name("", "", full or "")
    return name.first, name.last


def _given_parts(values: Values) -> tuple[str | None, str | None]:
    return values.get("first_name"), values.get("last_name")
