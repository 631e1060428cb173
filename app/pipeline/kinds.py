"""The three kinds of record in the pipeline: their tables, unique keys, display names and problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Table

from app import ids
from app.database.tables import accounts, contacts, opportunities
from app.errors import AccountNotFound, AlreadyExists, ContactNotFound, NotFound, OpportunityNotFound


@dataclass(frozen=True, slots=True)
class Kind:
    """`keys`: columns unique among live records. `display_columns`: the first with a value is the display name."""

    name: str
    table: Table
    keys: tuple[str, ...]
    display_columns: tuple[str, ...]
    not_found: type[NotFound]


ACCOUNT: Final = Kind(
    "account", accounts, ("external_id", "domain"), ("name", "domain", "external_id"), AccountNotFound
)
CONTACT: Final = Kind(
    "contact", contacts, ("external_id", "email_key"), ("full_name", "last_name", "email", "phone"), ContactNotFound
)
OPPORTUNITY: Final = Kind("opportunity", opportunities, ("external_id",), ("name",), OpportunityNotFound)

# The score of a match by key name, out of 100: strong keys above 80, weak keys below.
SCORES: Final = {"link": 100, "external_id": 100, "email": 95, "domain": 90, "phone_name": 60, "name_country": 50}
# The names of key columns in responses, where they differ.
KEY_NAMES: Final = {"email_key": "email"}


def candidate(kind: Kind, row: Mapping[str, Any], match_keys: Iterable[str]) -> dict[str, Any]:
    """A record as problems and previews list it: `{type, id, display, match_keys, score}`."""
    keys = list(match_keys)
    display = next((row[name] for name in kind.display_columns if row[name]), ids.show(kind.name, row["id"]))
    score = max((SCORES[key] for key in keys), default=0)
    return {
        "type": kind.name,
        "id": ids.show(kind.name, row["id"]),
        "display": display,
        "match_keys": keys,
        "score": score,
    }


def shared_keys(kind: Kind, row: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The names, as in responses, of the keys whose values the row has in common with `wanted`."""
    return [KEY_NAMES.get(key, key) for key in kind.keys if wanted.get(key) is not None and row[key] == wanted[key]]


def key_taken(kind: Kind, rows: Iterable[Mapping[str, Any]], wanted: Mapping[str, Any]) -> AlreadyExists:
    """The problem that live records already have the wanted keys."""
    holders = [(row, shared_keys(kind, row, wanted)) for row in rows]
    names = list(dict.fromkeys(name for _, keys in holders for name in keys))
    return AlreadyExists(
        f"Another {kind.name} that is not archived has this {' and '.join(names) or 'key'}.",
        errors=[{"field": name, "code": "taken", "detail": f"another {kind.name} has it"} for name in names],
        candidates=[candidate(kind, row, keys) for row, keys in holders],
    )


def missing(kind: Kind, record_id: UUID, field: str | None = None) -> NotFound:
    """The 404 for a record of this kind, whether it is unknown or another tenant's. `field` of the body names it."""
    if field is not None:
        return kind.not_found.of(field, f"there is no {kind.name} {ids.show(kind.name, record_id)}")
    return kind.not_found(f"There is no {kind.name} {ids.show(kind.name, record_id)}.")
