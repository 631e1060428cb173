"""Reads a report, or a page of its evidence: checks what was asked for, and runs its statement as of the instant."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID
from zoneinfo import ZoneInfo

from app import ids
from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.policies.published import published_policy
from app.reports import sql
from app.reports.cursors_sql import usable
from app.reports.in_time import in_time
from app.reports.metric import bands_of, show_metric
from app.reports.parameters import KEYS, LONGEST_DAYS, MOST_GROUPS, MOST_NUMBERS, Parameters
from app.reports.report import Metric, Report, Settings
from app.reports.settings import own_bands_in
from app.reports.settled import settle
from app.web.fields import rfc3339
from app.web.pages import read_cursor, read_place, write_cursor

GROUPS_OF_RECORDS: Final[Sequence[str]] = ("account",)  # whose keys are ids of such records
MOST_KNOWN: Final = 100  # metrics that a refusal names
KINDS_OF_KEYS: Final[Mapping[str, str]] = {"account": "account", "owner": "user"}  # as their ids are shown


@in_time("to")
async def read_report(tx: Tx, tenant_id: UUID, report: Report, asked: Parameters, now: datetime) -> dict[str, Any]:
    """The report as its answer shows it. Raises RequestInvalid for a window, an instant or a group that is none."""
    settings = await settings_of(tx, tenant_id, asked, now)
    metrics = report.metrics(settings.policy, asked)
    most_groups = min(MOST_GROUPS, max(MOST_NUMBERS // max(len(metrics), 1), 1))
    most = len(metrics) * most_groups
    bound = {**await _bound(tx, tenant_id, report, asked, settings, metrics), "limit": most + 1}
    bound |= await _summaries(tx, tenant_id, report, asked, settings)
    rows = await _numbers(tx, tenant_id, report, asked, bound)
    if asked.by is None and len(rows) > most:
        detail = f"there are more than {most} values, which is the limit: ask for a shorter window"
        raise RequestInvalid.of("to", "too_many_values", detail)
    groups = _groups(report, asked, settings, metrics, rows)
    if report.complete is not None:
        groups = await report.complete(tx, tenant_id, asked, settings, bound, groups)
    if len(groups) > most_groups or len(rows) > most:
        detail = f"there are more than {most_groups} groups, which is the limit: ask for a shorter window, or by less"
        raise RequestInvalid.of("by", "too_many_groups", detail)
    at = {**asked.shown(), "as_of": rfc3339(settings.as_of) or ""}
    return {
        "report": report.name,
        "from": asked.from_.isoformat(),
        "to": asked.to.isoformat(),
        "horizon_days": asked.horizon_days,
        "as_of": rfc3339(settings.as_of),
        "policy_versions": list(settings.versions),
        "groups": groups,
        "evidence_url": f"/v1/reports/{report.name}/evidence?{urlencode(at)}",
    }


async def _summaries(tx: Tx, tenant_id: UUID, report: Report, asked: Parameters, settings: Settings) -> dict[str, Any]:
    """From where on a report adds to the summaries, and which days it has of them as a whole; empty where it reads the
    records: as of a past instant, by a group that they have not, and while they are made."""
    if asked.as_of is not None or asked.group not in report.summed:
        return {}
    after = await usable(tx, tenant_id, settings.as_of)
    return {} if after is None else {"after": after, **whole_spans(settings.start, settings.end)}


async def _numbers(
    tx: Tx, tenant_id: UUID, report: Report, asked: Parameters, bound: Mapping[str, Any]
) -> Sequence[Record]:
    """By the summaries where they are read, else by the records.

    Raises RequestInvalid for a window that has too much history to be read in the time that a statement may take.
    """
    if "after" in bound:
        summed = report.summed[asked.group]
        await _check_history(tx, tenant_id, report, summed.most, bound)
        return await sql.summed(tx, tenant_id, summed.sql, bound)
    await _check_history(tx, tenant_id, report, report.most, bound)
    return await sql.numbers(tx, tenant_id, report, asked.group, bound)


async def _check_history(tx: Tx, tenant_id: UUID, report: Report, most: int | None, bound: Mapping[str, Any]) -> None:
    """Raises RequestInvalid for a window with more than so many transitions; None: for no window."""
    if most is None:
        return
    steps = await sql.steps_in(tx, tenant_id, report.history, bound["start"], bound["end"])
    if steps > most:
        of = "journeys" if report.history == "transitions" else "opportunities"
        detail = (
            f"the window has about {steps:,} transitions of {of}; this report reads at most {most:,} at once:"
            " ask for a shorter window"
        )
        raise RequestInvalid.of("to", "too_much_history", detail)


def whole_spans(start: datetime, end: datetime) -> dict[str, date]:
    """The days and the months of UTC that a window has as a whole, from the first to the one after the last.

    None: twice the same day, which for months is the one after the last.
    """
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    first_day = first.date() + timedelta(days=first.time() > time())
    last_day = max(first_day, last.date())
    first_month = (first_day.replace(day=1) + timedelta(days=31 * (first_day.day > 1))).replace(day=1)
    last_month = last_day.replace(day=1)
    if first_month >= last_month:
        first_month = last_month = last_day
    return {"first_day": first_day, "last_day": last_day, "first_month": first_month, "last_month": last_month}


@in_time("to")
async def read_evidence(
    tx: Tx,
    tenant_id: UUID,
    report: Report,
    asked: Parameters,
    now: datetime,
    metric: str,
    key: str | None,
    limit: int,
    cursor: str | None,
) -> dict[str, Any]:
    """A page of the rows of one metric and group. Raises RequestInvalid also for a metric that the report has not."""
    settings = await settings_of(tx, tenant_id, asked, now)
    metrics = report.metrics(settings.policy, asked)
    wanted = [found for one in metrics if (found := one.named(metric))]
    if not wanted:
        raise _unknown(report, [f"{one.name}:…" if one.is_open else one.name for one in metrics])
    if key is not None and asked.by is None:
        detail = f"`key` names a group: leave it out, or ask for groups by one of {', '.join(asked.groups())}"
        raise RequestInvalid.of("key", "key_without_group", detail)
    filters = {**asked.shown(), "as_of": asked.as_of, "report": report.name, "metric": metric, "key": key}
    after = _after(cursor, filters)
    bound = {**await _bound(tx, tenant_id, report, asked, settings, wanted), **after, "limit": limit + 1}
    bound["key"] = _stored_key(asked, key)
    if cursor is None:
        await _check_value(tx, tenant_id, report, metrics, metric, bound)
    rows = await sql.evidence(tx, tenant_id, report, wanted[0], asked.group, bound)
    page, last = rows[:limit], rows[limit - 1] if len(rows) > limit else None
    following = None if last is None else write_cursor(filters, last.at.isoformat(), str(last.id))
    return {"data": [show_case(row, wanted[0]) for row in page], "next": following}


async def _check_value(
    tx: Tx, tenant_id: UUID, report: Report, metrics: Sequence[Metric], name: str, bound: Mapping[str, Any]
) -> None:
    """Raises RequestInvalid for the metric of a value that the report, of this window and without groups, has not."""
    values = [one.value for one in metrics if one.is_open and one.named(name)]
    if values:
        listed = [one.bound() for one in metrics if one.is_open and one.value in values]
        rows = await sql.numbers(tx, tenant_id, report, None, {**bound, "metrics": listed, "limit": MOST_NUMBERS})
        if name not in (known := [row.metric for row in rows]):
            raise _unknown(report, known)


def _unknown(report: Report, known: Sequence[str]) -> RequestInvalid:
    shown = ", ".join(known[:MOST_KNOWN]) + (f" and {len(known) - MOST_KNOWN} more" if len(known) > MOST_KNOWN else "")
    detail = f"the report {report.name} has no such metric; it has {shown or 'none of this kind in this window'}"
    return RequestInvalid.of("metric", "metric_unknown", detail)


def show_case(row: Record, metric: Metric) -> dict[str, Any]:
    """A row of the evidence."""
    record = {} if metric.row_is is None else {f"{metric.row_is}_id": ids.show(metric.row_is, row.id)}
    return {
        **record,
        "journey_no": row.journey_no,
        "lead_id": ids.shown("lead", row.lead_id),
        "opportunity_id": ids.shown("opportunity", row.opportunity_id),
        "counted": row.counted,
        "at": rfc3339(row.at),
    }


async def settings_of(tx: Tx, tenant_id: UUID, asked: Parameters, now: datetime) -> Settings:
    """What held as of the instant of a report. Raises RequestInvalid for a window or an instant that is none."""
    as_of = asked.as_of or now
    if as_of > now:
        raise RequestInvalid.of(
            "as_of", "in_the_future", "this instant is in the future: leave it out to ask as of the present"
        )
    if asked.from_ >= asked.to:
        raise RequestInvalid.of(
            "from", "window_empty", "`from` must be before `to`, which is the day after the last one"
        )
    if (asked.to - asked.from_).days > LONGEST_DAYS:
        detail = f"the window has {(asked.to - asked.from_).days} days; at most {LONGEST_DAYS} can be asked for at once"
        raise RequestInvalid.of("to", "window_too_long", detail)
    await settle(tx, as_of, now)
    row = await sql.settings(tx, tenant_id, as_of)
    start, end = (_midnight(day, ZoneInfo(row.time_zone)) for day in (asked.from_, asked.to))
    if start > as_of:
        raise RequestInvalid.of(
            "from", "in_the_future", f"the window begins after {rfc3339(as_of)}, so nothing is known"
        )
    published = await published_policy(tx, tenant_id, row.policy_id)
    versions = await sql.versions(tx, tenant_id, as_of, start, min(end, as_of + timedelta(microseconds=1)))
    documents: Mapping[str, Any] = row.documents or {}
    bands = bands_of(published.policy, own_bands_in(documents))
    return Settings(published.policy, published.id, versions or [published.number], start, end, as_of, bands)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone)


async def _bound(
    tx: Tx, tenant_id: UUID, report: Report, asked: Parameters, settings: Settings, metrics: Sequence[Metric]
) -> dict[str, Any]:
    prepared = await report.prepare(tx, tenant_id, settings)
    bound = {"start": settings.start, "end": settings.end, "as_of": settings.as_of, **asked.bound(), **prepared}
    if asked.by == "owner":
        bound["users"] = {str(one): ids.show("user", one) for one in await sql.users(tx, tenant_id)}
    return {**bound, "metrics": [one.bound() for one in metrics]}


def _groups(
    report: Report, asked: Parameters, settings: Settings, metrics: Sequence[Metric], rows: Sequence[Record]
) -> list[dict[str, Any]]:
    """The groups by key, with every metric of the report; without `by` one group, also where it has no cases."""
    found = {key: {row.metric: row for row in of_key} for key, of_key in groupby(rows, lambda row: row.key)}
    if asked.by is None and not found:
        found = {None: {}}
    return [
        {
            "key": _shown_key(asked, key),
            "metrics": report.arrange(list(_shown(report, settings, metrics, by_name))),
        }
        for key, by_name in found.items()
    ]


def _shown(
    report: Report, settings: Settings, metrics: Sequence[Metric], by_name: Mapping[str, Record]
) -> Iterator[dict[str, Any]]:
    """Every metric of the report, and of those that stand for values each that was found."""
    for one in metrics:
        names = by_name if one.is_open else (one.name,)
        for metric in filter(None, map(one.named, names)):
            row = by_name.get(metric.name)
            yield {**show_metric(metric, row, settings), **report.show(metric, row, settings)}


def _shown_key(asked: Parameters, key: str | None) -> str | None:
    """The key of a group as answers show it: the public id, where it is that of a record."""
    return ids.show(str(asked.by), UUID(key)) if key is not None and asked.by in GROUPS_OF_RECORDS else key


def _stored_key(asked: Parameters, key: str | None) -> str | None:
    """The key as the statement has it. Raises RequestInvalid for one that no group can have."""
    by = str(asked.by)
    if key is None:
        return None
    if key not in KEYS.get(by, (key,)):
        raise RequestInvalid.of(
            "key", "key_unknown", f"write the key of a group, which is one of {', '.join(KEYS[by])}"
        )
    if by not in KINDS_OF_KEYS:
        return key
    try:
        found = ids.read(KINDS_OF_KEYS[by], key)
    except ValueError:
        detail = f"write the key of a group, which is the id of its {by}"
        raise RequestInvalid.of("key", "key_unknown", detail) from None
    return str(found) if by in GROUPS_OF_RECORDS else ids.show(KINDS_OF_KEYS[by], found)


def _after(cursor: str | None, filters: Mapping[str, Any]) -> dict[str, Any]:
    if cursor is None:
        return {"is_first": True, "after_at": None, "after_id": None}
    after_at, after_id = read_place(*read_cursor(cursor, filters, 2))
    return {"is_first": False, "after_at": after_at, "after_id": after_id}
