"""What a back-test answers: its progress, and both policies side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson

from app import ids
from app.backtests import sql
from app.backtests.schemas import Listed
from app.database.transaction import Record, Tx
from app.database.turn import FIRST
from app.policy.document import Policy
from app.web.fields import rfc3339
from app.web.pages import malformed_cursor, read_cursor, write_cursor

FIRST_IDS: Final = 100  # of each list in the answer of a back-test; all of them are read page by page
SIDES: Final = ("baseline", "candidate")


def show_summary(row: Record) -> dict[str, Any]:
    return {
        "id": ids.show("backtest", row.id),
        "kind": row.kind,
        "state": row.state,
        "policy_id": ids.show("policy", row.policy_id),
        "baseline_id": ids.show("policy", row.baseline_id),
        "sha256": row.sha256,
        "from": rfc3339(row.from_at),
        "to": rfc3339(row.to_at),
        "leads": row.leads,
        "leads_done": row.leads_done,
        "progress": round(row.leads_done / row.leads, 4) if row.leads else float(row.last_lead_id is not None),
        "fault": row.fault,
        **{name: rfc3339(getattr(row, name)) for name in ("created_at", "updated_at", "finished_at")},
    }


async def show_backtest(tx: Tx, tenant_id: UUID, row: Record, now: datetime) -> dict[str, Any]:
    """The back-test with what it has found so far."""
    counts = await sql.counts(tx, tenant_id, row.id, row.from_at)
    weeks = {one.week: one for one in await sql.weeks(tx, tenant_id, row.id, row.from_at)}
    sides: dict[str, Any] = {}
    for side in SIDES:
        role = Policy.model_validate_json(orjson.dumps(row.documents[side])).first_role
        people = await sql.count_role(tx, tenant_id, role)
        mondays = _mondays(row.from_at, row.to_at or now)
        load = [_week(one, weeks[one][side] if one in weeks else 0, people) for one in mondays]
        missed = await _leads(tx, tenant_id, row, f"{side}_missed_won")
        sides[side] = {**_counted(counts, side), "missed_won": missed, "weekly_load": load}
    for name in ("added", "removed"):
        sides["candidate"][name] = await _leads(tx, tenant_id, row, name)
    return {**show_summary(row), **sides}


def _counted(counts: Record, side: str) -> dict[str, Any]:
    found = {name: counts[f"{side}_{name}"] for name in ("mql", "accepted", "sql", "won")}
    names = ("sql", "won")
    return {
        **{name: found[name] for name in ("mql", *names)},
        "accepted_rate": _share(found["accepted"], found["mql"]),
        "precision": {name: _share(found[name], found["mql"]) for name in names},
        "recall": {name: _share(counts[f"{side}_caught_{name}"], counts[f"all_{name}"]) for name in names},
    }


def _share(part: int, whole: int) -> dict[str, Any]:
    return {"value": round(part / whole, 4) if whole else None, "numerator": part, "denominator": whole}


def _mondays(since: datetime, until: datetime) -> Iterator[date]:
    """The Mondays of the weeks of a window."""
    day = since.date() - timedelta(days=since.weekday())
    while day <= until.date():
        yield day
        day += timedelta(days=7)


def _week(monday: date, mql: int, people: int) -> dict[str, Any]:
    return {"week": monday.isoformat(), "mql": mql, "per_sdr": round(mql / people, 2) if people else None}


async def _leads(tx: Tx, tenant_id: UUID, row: Record, listed: str) -> list[str]:
    rows = await sql.journeys(tx, tenant_id, row.id, listed, row.from_at, FIRST, FIRST_IDS)
    return list(dict.fromkeys(ids.show("lead", one.lead_id) for one in rows))


async def page_of_journeys(
    tx: Tx, tenant_id: UUID, row: Record, listed: Listed, limit: int, cursor: str | None
) -> dict[str, Any]:
    """A page of one of the lists. Raises CursorInvalid for a cursor of another one."""
    filters = {"backtest": row.id, "list": listed}
    after = _read(cursor, filters) if cursor else FIRST
    rows = await sql.journeys(tx, tenant_id, row.id, listed, row.from_at, after, limit + 1)
    following = write_cursor(filters, str(rows[limit - 1].journey_id)) if len(rows) > limit else None
    return {"data": _shown(rows[:limit]), "next": following}


def _read(cursor: str, filters: Mapping[str, Any]) -> UUID:
    (after,) = read_cursor(cursor, filters, 1)
    try:
        return UUID(after)
    except (ValueError, TypeError, AttributeError):
        raise malformed_cursor() from None


def _shown(rows: Sequence[Record]) -> list[dict[str, Any]]:
    instants = (*(f"{side}{what}" for side in SIDES for what in ("_at", "_known_at")), "actual_at")
    return [
        {
            "lead_id": ids.show("lead", row.lead_id),
            "journey_id": ids.show("journey", row.journey_id),
            **{name: rfc3339(row[name]) for name in instants},
            **{name: row[name] for name in ("accepted", "sql", "won")},
        }
        for row in rows
    ]
