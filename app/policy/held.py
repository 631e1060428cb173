"""How a field of a lead holds a text that somebody types, by the rules that read forms and changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from app.matching.company import organization_domain, registrable_domain
from app.matching.host import host_name
from app.matching.normalize import normalize

# Whoever has a name may work for a company whose name is a placeholder elsewhere, such as `Test`.
BESIDE: Final = {"first_name": "Anna", "last_name": "Pop"}


def held(field: str, typed: str) -> str | None:
    """The text as the field holds it; None if the field never holds it. Fields that hold any text hold it as typed."""
    if not typed.strip():
        return None
    read = _READERS.get(field)
    return typed if read is None else read(typed)


def keeps(field: str, typed: str) -> bool:
    """Whether the field holds the text as it was typed, by the rules that read what fields are given."""
    return field in _READERS and (held(field, typed) or "").casefold() == typed.strip().casefold() != ""


def _as_read(field: str, typed: str) -> str | None:
    found = normalize({**BESIDE, field: typed}, {}, None).fields.get(field)
    return found if isinstance(found, str) else None


def _email_domain(typed: str) -> str | None:
    host = host_name(typed.strip()) if "." in typed else None
    return host or registrable_domain(typed.rpartition("@")[2])


def _domain(typed: str) -> str | None:
    return organization_domain((typed,))


_READERS: Final[Mapping[str, Callable[[str], str | None]]] = {
    **{
        field: partial(_as_read, field)
        for field in ("email", "phone", "company", "job_title", "industry", "country", "language", "website")
    },
    "domain": _domain,
    "email_domain": _email_domain,
}
