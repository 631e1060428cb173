"""From where each field of a lead has its value, when, and what it replaced.

The values are read back from what each version replaced. Which submission set a field is stored with the version
(`lead_changes.origins`); of versions before that was stored, and of new leads, the touch of the same instant tells it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.plain_json import write_json
from app.database.transaction import Record, Tx
from app.journeys.load import read_lead
from app.leads import past_sql
from app.matching.derive import SOURCES, is_derived
from app.matching.normalize import CANONICAL
from app.web.fields import rfc3339

CUSTOM: Final = "custom."
Values = Mapping[str, Any]


async def field_origins(tx: Tx, tenant_id: UUID, lead_id: UUID, now: datetime) -> list[dict[str, Any]]:
    """Each field that the lead has or had, with the origin of its value and of the values before."""
    lead = (await read_lead(tx, tenant_id, lead_id, now)).lead
    history = histories(lead.fields, lead.custom, await past_sql.field_changes(tx, tenant_id, lead.id))
    return [
        {
            "field": name,
            "raw": lead.raw.get(name),
            "derived_from": list(SOURCES[name]) if name in SOURCES and is_derived(lead.fields, name) else [],
            **values[0],
            "history": values[1:],
        }
        for name, values in sorted(history.items(), key=lambda one: _order(one[0]))
    ]


def _order(name: str) -> tuple[int, str]:
    return (CANONICAL.index(name), "") if name in CANONICAL else (len(CANONICAL), name)


def histories(fields: Values, custom: Values, changes: Sequence[Record]) -> dict[str, list[dict[str, Any]]]:
    """The values of each field, the latest first; `changes` as `past_sql.field_changes` returns them."""
    current = {**fields, **{CUSTOM + name: value for name, value in custom.items()}}
    found: dict[str, list[dict[str, Any]]] = {}
    for row in changes:
        before = {**current, **_old_values(current, row)} if row.version > 1 else {}
        for name in current.keys() | before.keys():
            value, replaced = current.get(name), before.get(name)
            if write_json(value) != write_json(replaced):  # as JSON, since Python takes 1 and True for the same
                found.setdefault(name, []).append({"value": value, "replaced": replaced, **_origin(row, name)})
        current = before
    return found


def _old_values(current: Values, row: Record) -> dict[str, Any]:
    """What the version replaced, None where there was nothing. Of custom fields a version keeps all or none."""
    old = dict(row.fields or {})
    if row.custom is not None:
        names = {name for name in current if name.startswith(CUSTOM)}
        old |= dict.fromkeys(names) | {CUSTOM + name: value for name, value in row.custom.items()}
    return old


def _origin(row: Record, name: str) -> dict[str, Any]:
    """When, by whom and from which submission or source a version has the value of a field."""
    origins = row.origins
    if origins is None:
        source_id, submission_id = row.source_id, row.submission_id
    else:
        given: Values = next((one for one in reversed(origins) if name in one["fields"]), {})
        source_id, submission_id = (
            UUID(given[member]) if given.get(member) else None for member in ("source_id", "submission_id")
        )
    return {
        "set_at": rfc3339(row.recorded_at),
        "version": row.version,
        "submission_id": ids.shown("submission", submission_id),
        "source_id": ids.shown("source", source_id),
        "actor": row.actor,
    }
