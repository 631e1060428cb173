"""What an export consists of: a section for each table with rows about a person, and the JSON Schema of the document.

A test compares this with the list of personal data (app/erasure/personal.py): a new table is exported, or has a reason
here why it is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Boolean, Date, DateTime, Integer, Numeric, SmallInteger, Table, Text, Uuid

from app import ids
from app.database.tables import metadata
from app.web.fields import rfc3339

# The parameters of every statement, in their order.
PARAMETERS: Final = (
    "tenant_id uuid",
    "leads uuid[]",
    "contacts uuid[]",
    "submissions uuid[]",
    "identities text[]",  # what a mapped item has that is about one of them, as JSON
    "addresses text[]",  # SHA-256 of e-mail addresses
)
OF_LEAD: Final = "r.lead_id = ANY($2)"
OF_PAIR: Final = "(r.{} = ANY($2) OR r.{} = ANY($2))"
JOURNEYS: Final = "SELECT j.id FROM journeys j WHERE j.tenant_id = $1 AND j.lead_id = ANY($2)"
OPPORTUNITIES: Final = (
    "SELECT o.id FROM opportunities o WHERE o.tenant_id = $1"  # noqa: S608
    f" AND (o.contact_id = ANY($3) OR o.journey_id IN ({JOURNEYS}))"
)
OF_CONTACTS: Final = "r.id IN (SELECT c.account_id FROM contacts c WHERE c.tenant_id = $1 AND c.id = ANY($3))"
NOBODYS: Final = "r.lead_id IS NULL AND (r.mapped IS NULL OR r.mapped @> ANY($5::text[]::jsonb[]))"

# Kinds of public ids by the names of columns; a column of another name that ends in `_id` is named for its kind.
KINDS: Final = {
    **dict.fromkeys(("owner_id", "user_id", "previous_owner_id", "sourced_by"), "user"),
    **dict.fromkeys(("started_owner_id", "breached_owner_id"), "user"),
    **dict.fromkeys(("one_id", "other_id", "merged_id", "survivor_id", "merged_into", "origin_lead_id"), "lead"),
    "closed_journey_id": "journey",
    "correction_of": "transition",
}


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of one table. `where`: which, of the alias `r`; `kind`: of their public ids; `hidden`: columns left out."""

    table: str
    where: str = OF_LEAD
    kind: str | None = None
    hidden: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        hidden = {"tenant_id", *self.hidden, *(() if self.kind else ("id",))}
        return tuple(str(column.name) for column in self._table.columns if column.name not in hidden)

    @property
    def statement(self) -> str:
        """The rows in the order of their keys. All parameters are named, so that each has a type."""
        columns = ", ".join(f'r."{name}"' for name in self.columns)
        keys = ", ".join(f'r."{column.name}"' for column in self._table.primary_key.columns)
        typed = " AND ".join(f"${n}::{one.split()[1]} IS NOT NULL" for n, one in enumerate(PARAMETERS, start=1))
        where = f"r.tenant_id = $1 AND {self.where} AND {typed}"
        return f"SELECT {columns} FROM {self.table} r WHERE {where} ORDER BY {keys}"  # noqa: S608

    def show(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row as JSON values."""
        return {name: self._shown(name, row[name]) for name in self.columns}

    def json_schema(self) -> dict[str, Any]:
        members = {name: _schema_of(self._table, name) for name in self.columns}
        row = {"type": "object", "properties": members, "required": list(members), "additionalProperties": False}
        return {"type": "array", "items": row}

    @property
    def _table(self) -> Table:
        return metadata.tables[self.table]

    def _shown(self, name: str, value: Any) -> Any:
        match value:
            case UUID():
                kind = self.kind if name == "id" else KINDS.get(name, name.removesuffix("_id"))
                return ids.show(kind, value) if kind in ids.PREFIXES else str(value)
            case datetime():
                return rfc3339(value)
            case date():
                return value.isoformat()
            case Decimal():
                return str(value)
            case list():
                return [self._shown("", one) for one in value]
            case _:
                return value


SECTIONS: Final = (
    Section("leads", "r.id = ANY($2)", "lead", ("words",)),
    Section("identities"),
    Section("shared_identities"),
    Section("lead_changes"),
    Section("touches"),
    Section("consents"),
    Section("consent_requests", kind="confirmation", hidden=("secret_sha256",)),
    Section("withdrawal_links", kind="withdrawal_link", hidden=("secret_sha256",)),
    Section("withdrawals", "r.address_sha256 = ANY($6)", hidden=("address_sha256",)),
    Section("bant"),
    Section("activities", kind="activity"),
    Section("journeys", kind="journey"),
    Section("transitions", kind="transition"),
    Section("milestones"),
    Section("clock_runs"),
    Section("assignments", f"r.journey_id IN ({JOURNEYS})"),
    Section("conversions", kind="conversion"),
    Section("duplicates", OF_PAIR.format("one_id", "other_id"), "duplicate"),
    Section("lead_merges", OF_PAIR.format("merged_id", "survivor_id"), hidden=("moved",)),
    Section("contacts", "r.id = ANY($3)", "contact", ("email_key",)),
    Section("accounts", OF_CONTACTS, "account", ("name_key",)),
    Section("opportunities", f"r.id IN ({OPPORTUNITIES})", "opportunity"),
    Section("opportunity_transitions", f"r.opportunity_id IN ({OPPORTUNITIES})", "transition"),
    Section("submissions", "r.id = ANY($4)", "submission", ("body", "listed", "verdicts")),
    Section("submission_items", f"r.submission_id = ANY($4) AND (r.lead_id = ANY($2) OR {NOBODYS})"),
)
NOT_EXPORTED: Final[Mapping[str, str]] = {
    "lead_words": "made of the fields, for the search",
    "match_keys": "made of the fields, to find possible duplicates",
    "likeness_checks": "ids of leads that are compared once more within seconds",
    "backtest_journeys": "ids and instants of what a policy would have done",
    "opportunity_states": "repeat the opportunities, for the forecast",
    "snapshot_rows": "repeat the opportunities, for the forecast",
    "events": "repeat what the other sections have; GET /v1/leads/{lead_id}/events lists them",
    "event_log": "positions of events",
    "kept_scores": "scores as of earlier versions, which follow from the activities",
    "attempts": "how receivers answered",
    "delivery_retries": "which events wait for a receiver",
    "erasures": "of an erased person nothing is exported",
    "idempotency_keys": "repeat answers of requests for a few days",
}


def json_schema() -> dict[str, Any]:
    """The JSON Schema of the document."""
    members = {
        "exported_at": {"type": "string", "format": "date-time"},
        "leads_of": {"type": "array", "items": {"type": "string"}, "description": "The leads of the person."},
    }
    members |= {section.table: section.json_schema() for section in SECTIONS}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Everything that is stored about one person",
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _schema_of(table: Table, name: str) -> dict[str, Any]:
    column = table.columns[name]
    match column.type:
        case Boolean():
            found: dict[str, Any] = {"type": "boolean"}
        case Integer() | SmallInteger():
            found = {"type": "integer"}
        case DateTime():
            found = {"type": "string", "format": "date-time"}
        case Date():
            found = {"type": "string", "format": "date"}
        case Text() | Uuid() | Numeric():
            found = {"type": "string"}
        case _:  # JSON, and lists
            return {}
    return {**found, "type": [found["type"], "null"]} if column.nullable else found
