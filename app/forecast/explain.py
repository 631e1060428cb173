"""What has changed in the open opportunities of a period since a weekly snapshot, in parts that add up exactly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.forecast import sql
from app.forecast.asked import calendar_of, check_user, instant_of, named_period
from app.forecast.changes import OPEN_CATEGORIES, PARTS, OpenDeal, Part, Scope, Step, Sums, difference, steps
from app.forecast.money import Amounts, added, show_amounts
from app.forecast.periods import FiscalCalendar, Period
from app.forecast.report import amounts_of, show_period
from app.forecast.roll_up import below
from app.reports.in_time import in_time
from app.web.fields import rfc3339

CLOSED: Final = ("won", "lost")
MOST_SNAPSHOTS: Final = 200
MOST_NAMED: Final = 10


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of the report. Without `until` it explains up to `as_of`, and without that up to now."""

    period: str
    since: str
    until: str | None
    owner: UUID | None
    as_of: datetime | None


@dataclass(frozen=True, slots=True)
class Explained:
    """The steps of all opportunities, and what was open at both ends. `asked_at` is the instant of the report."""

    period: Period
    since_at: datetime
    as_of: datetime
    asked_at: datetime
    before: Sums
    after: Sums
    steps: Sequence[Step]


@in_time("period", "period")
async def explain(tx: Tx, tenant_id: UUID, asked: Asked, now: datetime) -> Explained:
    """Raises RequestInvalid for an unknown period, week or owner, a week without a snapshot, or a future instant."""
    asked_at = as_of = await instant_of(tx, asked.as_of, now)
    calendar = await calendar_of(tx, tenant_id, as_of)
    period = named_period(calendar, asked.period)
    since_at = await _snapshot_at(tx, tenant_id, calendar, asked.since, "since", asked_at)
    if asked.until is not None:
        as_of = await _snapshot_at(tx, tenant_id, calendar, asked.until, "until", asked_at)
    if since_at > as_of:
        raise RequestInvalid.of("since", "out_of_order", "the week must not begin after the end of what is explained")
    await check_user(tx, tenant_id, asked.owner, "owner")
    scopes = [await _scope(tx, tenant_id, period, asked.owner, at) for at in (since_at, as_of)]
    rows = await sql.then_and_now(tx, tenant_id, period, since_at, as_of)
    pairs = [(row, _then(row), _now(row)) for row in rows]
    found = [
        step
        for row, then, now_ in pairs
        for step in steps(row.opportunity_id, then, now_, (scopes[0], scopes[1]), row._mapping["class"])
    ]
    before = _total(scopes[0].sums(then) for _, then, _ in pairs)
    after = _total(scopes[1].sums(now_) for _, _, now_ in pairs)
    return Explained(period, since_at, as_of, asked_at, before, after, found)


async def _snapshot_at(
    tx: Tx, tenant_id: UUID, calendar: FiscalCalendar, week: str, field: str, as_of: datetime
) -> datetime:
    """The instant of the snapshot of a week. Raises RequestInvalid where there was none by `as_of`."""
    named = named_period(calendar, week, field)
    if named.kind != "week":
        raise RequestInvalid.of(field, "week_unknown", "write a week like 2026-W48")
    at = await sql.snapshot_of(tx, tenant_id, named, as_of)
    if at is None:
        known = await sql.snapshots_of(tx, tenant_id, MOST_NAMED)
        there_are = ", ".join(row.week for row in known) or "none yet"
        detail = f"there is no snapshot of the beginning of {week}; the newest are: {there_are}"
        raise RequestInvalid.of(field, "snapshot_unknown", detail)
    if at > as_of:
        detail = f"{week} begins at {rfc3339(at)}, which is after `as_of`: name an earlier week, or a later instant"
        raise RequestInvalid.of(field, "out_of_order", detail)
    return at


async def _scope(tx: Tx, tenant_id: UUID, period: Period, owner: UUID | None, at: datetime) -> Scope:
    if owner is None:
        return Scope(period.has, lambda _: True)
    owners = below(owner, await sql.managers_at(tx, tenant_id, at))
    return Scope(period.has, lambda one: one in owners)


def _then(row: Record) -> OpenDeal | None:
    if not row.was_open:
        return None
    amounts = amounts_of(row.old_amount, row.old_currency)
    return OpenDeal(row.old_owner_id, row.old_close_date, row.old_category, amounts)


def _now(row: Record) -> OpenDeal | None:
    if row.archived_at is not None or row._mapping["class"] in CLOSED:
        return None
    return OpenDeal(row.owner_id, row.close_date, row.forecast_category, amounts_of(row.amount, row.currency))


def _total(parts: Iterable[Sums]) -> dict[str, dict[str, Decimal]]:
    listed = list(parts)
    return {category: added(part.get(category, {}) for part in listed) for category in OPEN_CATEGORIES}


def show_changes(asked: Asked, found: Explained) -> dict[str, Any]:
    owner = {"owner": ids.show("user", asked.owner)} if asked.owner else {}
    until = {"until": asked.until} if asked.until else {}
    at = str(rfc3339(found.asked_at))
    named = {"period": found.period.name, "since": asked.since, **until, **owner, "as_of": at}
    changed = {name: difference(found.before[name], found.after[name]) for name in OPEN_CATEGORIES}
    return {
        "report": "forecast_changes",
        "period": show_period(found.period),
        "since": asked.since,
        "since_at": rfc3339(found.since_at),
        "as_of": rfc3339(found.as_of),
        "before": _by_category(found.before),
        "after": _by_category(found.after),
        "difference": _by_category(changed),
        "parts": [_part(part, [step for step in found.steps if step.part == part]) for part in PARTS],
        "evidence_url": f"/v1/reports/forecast/changes/evidence?{urlencode(named)}",
    }


def _part(part: Part, found: Sequence[Step]) -> dict[str, Any]:
    change = _total(step.change for step in found)
    amounts = added(amounts for category, amounts in change.items() if category != "omitted")
    count = len({step.opportunity_id for step in found})
    return {
        "name": part,
        "opportunities": count,
        "amounts": show_amounts(amounts),
        "by_category": _by_category(change),
    }


def _by_category(sums: Sums) -> dict[str, list[dict[str, str]]]:
    return {category: show_amounts(_without_zero(sums.get(category, {}))) for category in OPEN_CATEGORIES}


def _without_zero(amounts: Amounts) -> dict[str, Decimal]:
    return {currency: amount for currency, amount in amounts.items() if amount}


def show_evidence(found: Explained, part: str) -> list[dict[str, Any]]:
    """The opportunities of a part. Raises RequestInvalid for another part."""
    if part not in PARTS:
        raise RequestInvalid.of("part", "part_unknown", f"write one of: {', '.join(PARTS)}")
    by_id: dict[UUID, list[Sums]] = {}
    for step in found.steps:
        if step.part == part:
            by_id.setdefault(step.opportunity_id, []).append(step.change)
    return [
        {"opportunity_id": ids.show("opportunity", one), "by_category": _by_category(_total(changes))}
        for one, changes in sorted(by_id.items())
    ]
