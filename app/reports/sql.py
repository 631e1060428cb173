"""The statements around the cases of every report: its settings, its numbers and its evidence, as of an instant.

A row counts as of an instant if it was recorded until then and not voided until then. Rows that a merge has moved
since belong to the lead that they were of (docs/decisions/0041); a journey that a merge had closed by then is the one
that goes on, so it does not count twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Date, DateTime, Integer, Text, TextClause, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.transaction import Record, Records, Tx
from app.events.sql import SCORED
from app.ids import ALPHABET
from app.reports.report import Metric, Report

# The settings of tenants are kept with their history: those of the calendar in the audit log.
SETTINGS = text(
    """
    SELECT coalesce((SELECT c.calendar ->> 'time_zone' FROM calendars c
                      WHERE c.tenant_id = t.id AND c.recorded_at <= :as_of
                      ORDER BY c.recorded_at DESC, c.id DESC LIMIT 1), 'UTC') AS time_zone,
           (SELECT a.policy_id FROM activations a WHERE a.tenant_id = t.id
             ORDER BY a.at <= :as_of DESC, CASE WHEN a.at <= :as_of THEN a.at END DESC NULLS LAST, a.at LIMIT 1)
           AS policy_id,
           (SELECT jsonb_object_agg(s.name, s.document ORDER BY s.recorded_at, s.id) FROM report_settings s
             WHERE s.tenant_id = t.id AND s.recorded_at <= :as_of) AS documents
      FROM tenants t WHERE t.id = :tenant_id
    """
)
# Which versions were active in a window, as far as they were activated by then.
VERSIONS = text(
    """
    SELECT DISTINCT p.number
      FROM (SELECT a.policy_id, a.at, lead(a.at) OVER (ORDER BY a.at) AS until FROM activations a
             WHERE a.tenant_id = :tenant_id AND a.at <= :as_of) a
      JOIN policies p ON p.tenant_id = :tenant_id AND p.id = a.policy_id
     WHERE a.at < :until AND (a.until IS NULL OR a.until > :start)
     ORDER BY p.number
    """
)
USERS = text("SELECT id FROM users WHERE tenant_id = :tenant_id")
# Names as of an instant: as the first later change kept them, else the present ones. Those of accounts are not kept.
USER_NAMES = """
    SELECT u.id, coalesce(
           (SELECT c.before ->> 'name' FROM user_changes c WHERE c.tenant_id = u.tenant_id AND c.user_id = u.id
               AND c.recorded_at > :as_of AND c.before ? 'name' ORDER BY c.version LIMIT 1), u.name) AS name
      FROM users u WHERE u.tenant_id = :tenant_id AND u.id = ANY(:ids)
"""
ACCOUNT_NAMES = "SELECT id, name FROM accounts WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND :as_of IS NOT NULL"
NAMES: Final = {
    kind: text(statement).bindparams(
        bindparam("tenant_id", type_=Uuid),
        bindparam("as_of", type_=DateTime(timezone=True)),
        bindparam("ids", type_=ARRAY(Uuid)),
    )
    for kind, statement in (("user", USER_NAMES), ("account", ACCOUNT_NAMES))
}
KEEP_SETTING = text(
    "INSERT INTO report_settings (tenant_id, id, name, recorded_at, actor, document)"
    " VALUES (:tenant_id, :id, :name, :recorded_at, :actor, :document)"
).bindparams(*(bindparam(name, type_=JSONB) for name in ("actor", "document")))

# The lead that a moved row was of at the instant, and the journeys that merges had closed by then.
PAST: Final = """
    moved AS MATERIALIZED (
        SELECT DISTINCT ON (row_id) row_id, lead_id
          FROM (SELECT unnest(m.moved) AS row_id, m.merged_id AS lead_id, m.merged_at AS at FROM lead_merges m
                 WHERE m.tenant_id = :tenant_id AND m.merged_at > :as_of
                UNION ALL
                SELECT unnest(m.moved), m.survivor_id, m.unmerged_at FROM lead_merges m
                 WHERE m.tenant_id = :tenant_id AND m.merged_at <= :as_of AND m.unmerged_at > :as_of) m
         ORDER BY row_id, at
    ), gone AS MATERIALIZED (
        SELECT m.closed_journey_id AS id FROM lead_merges m
         WHERE m.tenant_id = :tenant_id AND m.closed_journey_id IS NOT NULL AND m.merged_at <= :as_of
           AND (m.unmerged_at IS NULL OR m.unmerged_at > :as_of)
    )
"""
# The metrics that are asked for, as rows that `cases` joins.
METRICS: Final = (
    "jsonb_to_recordset(:metrics)"
    ' AS x(name text, start text, "to" text, business text, hours integer, value text, origin text)'
)

# The same of evidence, which has one metric: the planner knows its values, so it can read a page in order.
METRIC: Final = """
    (SELECT m.of ->> 'name' AS name, m.of ->> 'start' AS start, m.of ->> 'to' AS "to", m.of ->> 'business' AS business,
            (m.of ->> 'hours')::integer AS hours, m.of ->> 'value' AS value, m.of ->> 'origin' AS origin
       FROM (SELECT :metrics -> 0 AS of) m) x
"""

# From when on cases begin: those of a page where the page before ended.
SINCE: Final = "GREATEST(:start, :after_at)"


def recorded(alias: str) -> str:
    """The condition that a row of milestones counts as of the instant."""
    return (
        f"{alias}.tenant_id = :tenant_id AND {alias}.recorded_at <= :as_of"
        f" AND ({alias}.voided_at IS NULL OR {alias}.voided_at > :as_of) AND (:with_skipped OR NOT {alias}.skipped)"
    )


def read_id(text_: str) -> str:
    """SQL of the uuid of a public id: 26 letters of five bits, of which the first two bits are not used."""
    return f"""
        (SELECT string_agg(to_hex(substr(b.bits, 4 * n - 1, 4)::bit(4)::integer), '' ORDER BY n)::uuid
           FROM (SELECT string_agg((strpos('{ALPHABET}', substr(right({text_}, 26), i, 1)) - 1)::bit(5)::text, ''
                                   ORDER BY i) AS bits FROM generate_series(1, 26) i) b, generate_series(1, 32) n
          WHERE {text_} IS NOT NULL)
    """  # noqa: S608 - the argument is written in statements of reports


LEAD: Final = """
    LEFT JOIN moved m ON m.row_id = f.journey_id
    LEFT JOIN leads l ON l.tenant_id = :tenant_id AND l.id = coalesce(m.lead_id, f.lead_id)
"""


def first_of(journey_id: str, kind: str = "") -> str:
    """The join of the first transition of a journey. It reads one row by the primary key, whatever the planner expects.

    Where a table was never analyzed, as in the minute after many leads came, a plain join reads it for each journey.
    """
    return f"""
        {kind} JOIN LATERAL (
             SELECT t.to_stage, t.recorded_at FROM transitions t
              WHERE t.tenant_id = :tenant_id AND t.journey_id = {journey_id} AND t.seq = 1 LIMIT 1
        ) opened ON true
    """  # noqa: S608 - the arguments are written in statements of reports


def _replaced(alias: str, kept: str, value: str) -> str:
    """The join of what the first later change of the lead `l` replaced, if there is one."""
    return f"""
        LEFT JOIN LATERAL (
             SELECT true AS found, c.before #>> '{value}' AS value FROM lead_changes c
              WHERE c.tenant_id = :tenant_id AND c.lead_id = l.id AND c.recorded_at > :as_of
                AND c.before #> '{kept}' IS NOT NULL ORDER BY c.version LIMIT 1
        ) {alias} ON true
    """  # noqa: S608 - the arguments are the constants below


def of_lead(present: str, kept: str, value: str) -> tuple[str, str]:
    """A value of the lead as of the instant: as the first later change kept it, else the present one."""
    return f"CASE WHEN past.found THEN past.value ELSE {present} END", LEAD + _replaced("past", kept, value)


def team_of(owner: str, more: str = "") -> tuple[str, str]:
    """The team of the owner as of the instant; where there is none, or the owner is in no team, that of the lead."""
    team_of_lead, joins = of_lead("l.team", "{team}", "{team}")
    of_owner = f"""
        LEFT JOIN users u ON u.tenant_id = :tenant_id AND u.id = {owner}
        LEFT JOIN LATERAL (
             SELECT true AS found, c.before ->> 'team' AS team FROM user_changes c
              WHERE c.tenant_id = :tenant_id AND c.user_id = u.id AND c.recorded_at > :as_of AND c.before ? 'team'
              ORDER BY c.version LIMIT 1
        ) u_past ON true
    """  # noqa: S608 - the argument is written in statements of reports
    return f"coalesce(CASE WHEN u_past.found THEN u_past.team ELSE u.team END, {team_of_lead})", joins + more + of_owner


# By each group: the SQL of its key for a case `f`, and the joins that this needs.
GROUPS: Final[Mapping[str | None, tuple[str, str]]] = {
    None: ("NULL::text", ""),
    "source": of_lead("l.first_touch ->> 'source'", "{attribution}", "{attribution,first,source}"),
    "medium": of_lead("l.first_touch ->> 'medium'", "{attribution}", "{attribution,first,medium}"),
    "campaign": of_lead("l.first_touch ->> 'campaign'", "{attribution}", "{attribution,first,campaign}"),
    "owner": of_lead(":users ->> l.owner_id::text", "{owner_id}", "{owner_id}"),  # kept as ids are shown
    "team": team_of(
        f"CASE WHEN owned.found THEN {read_id('owned.value')} ELSE l.owner_id END",
        _replaced("owned", "{owner_id}", "{owner_id}"),
    ),
    "country": of_lead("l.fields ->> 'country'", "{fields,country}", "{fields,country}"),
    "industry": of_lead("l.fields ->> 'industry'", "{fields,industry}", "{fields,industry}"),
    "business": ("f.business", ""),
    "temperature": (
        "told.temperature",
        f"""
        LEFT JOIN moved m ON m.row_id = f.journey_id
        LEFT JOIN LATERAL (
             SELECT e.lead_computed #>> '{{score,temperature}}' AS temperature FROM {SCORED} e
              WHERE e.tenant_id = :tenant_id AND e.lead_id = coalesce(m.lead_id, f.lead_id) AND e.recorded_at <= :as_of
                AND e.lead_computed IS NOT NULL ORDER BY e.lead_version DESC LIMIT 1
        ) told ON true
        """,  # noqa: S608 - a constant
    ),
    "first_stage": ("opened.to_stage", first_of("f.journey_id", "LEFT")),
}
BINDS: Final = (
    bindparam("tenant_id", type_=Uuid),
    *(bindparam(name, type_=DateTime(timezone=True)) for name in ("as_of", "start", "end", "after_at")),
    *(bindparam(name, type_=JSONB) for name in ("metrics", "users", "personas")),
    *(bindparam(name, type_=Text) for name in ("key", "zone", "per")),
    bindparam("after_id", type_=Uuid),
    *(bindparam(name, type_=Boolean) for name in ("with_skipped", "is_first")),
    bindparam("limit", type_=Integer),
    *(bindparam(name, type_=Date) for name in ("first_day", "last_day", "first_month", "last_month")),
    bindparam("after", type_=BigInteger),
)
# A page of the rows of one metric and group, each with the lead and the number that its journey had at the instant. The
# condition on the key is written so that the planner takes it for one that many rows meet, and reads in order until
# the page is full, instead of the whole window to sort it.
PAGE: Final = """
    SELECT p.*, j.number AS journey_no
      FROM (SELECT c.id, c.journey_id, c.opportunity_id, c.at, c.counted, coalesce(m.lead_id, c.lead_id) AS lead_id
              FROM cases c LEFT JOIN moved m ON m.row_id = c.journey_id
             WHERE coalesce(c.key = :key, c.key IS NULL AND :key IS NULL)
               AND (:is_first OR (c.at, c.id) > (:after_at, :after_id))
             ORDER BY c.at, c.id LIMIT :limit) p
      LEFT JOIN journeys i ON i.tenant_id = :tenant_id AND i.id = p.journey_id
      LEFT JOIN LATERAL (
           SELECT count(*) AS number FROM (
                  SELECT k.id, k.opened_at FROM journeys k WHERE k.tenant_id = :tenant_id AND k.lead_id = p.lead_id
                     AND NOT EXISTS (SELECT FROM moved o WHERE o.row_id = k.id AND o.lead_id <> p.lead_id)
                  UNION
                  SELECT k.id, k.opened_at FROM moved o
                    JOIN journeys k ON k.tenant_id = :tenant_id AND k.id = o.row_id WHERE o.lead_id = p.lead_id) k
            WHERE (k.opened_at, k.id) <= (i.opened_at, i.id)
      ) j ON i.id IS NOT NULL
     ORDER BY p.at, p.id
"""

COUNTED: Final = """
    SELECT metric, key, count(*) AS denominator, count(*) FILTER (WHERE counted) AS numerator, max(at) AS latest_at
           {MEASURES}
      FROM cases GROUP BY metric, key ORDER BY key NULLS FIRST, metric LIMIT :limit
"""
FRAME: Final = f"""
    WITH {PAST}, found AS ({{CASES}}), cases AS (
        SELECT f.* {{KEYED}}
         WHERE NOT EXISTS (SELECT FROM gone g WHERE g.id = f.journey_id)
    )
    {{END}}
"""  # noqa: S608 - interpolates what is written here


@cache
def framed(cases: str, group: tuple[str, str], end: str) -> TextClause:
    """The statement that reads the cases with the keys of their groups, as of the instant, and ends with `end`."""
    key, joins = group
    keyed = "FROM found f" if "{KEY}" in cases else f", {key} AS key FROM found f {joins}"
    if end == PAGE:
        # It reads the rows of one metric in order, from where the page before ended, and only its own to the end.
        cases = cases.replace("{METRICS}", METRIC).replace("{ONCE}", "").replace("{SINCE}", SINCE)
    return _bound(FRAME.replace("{KEYED}", keyed).replace("{END}", end).replace("{CASES}", cases), group)


@cache
def counted(numbers: str, group: tuple[str, str]) -> TextClause:
    """The statement of a report that counts without its cases."""
    return _bound(f"WITH {PAST} {numbers}", group)


def _bound(sql: str, group: tuple[str, str]) -> TextClause:
    sql = sql.replace("{METRICS}", METRICS).replace("{ONCE}", "OFFSET 0").replace("{SINCE}", ":start")
    sql = sql.replace("{KEY}", group[0]).replace("{JOINS}", group[1])
    return text(sql).bindparams(*(one for one in BINDS if re.search(rf":{one.key}\b", sql)))


def _group(report: Report, group: str | None) -> tuple[str, str]:
    return report.groups.get(group) or GROUPS[group]


async def summed(tx: Tx, tenant_id: UUID, numbers: str, bound: Mapping[str, Any]) -> Records:
    """As `numbers`, of the present, by the summaries and what they have not seen."""
    await tx.plan_for_values()
    return (await tx.execute(whole(numbers), {"tenant_id": tenant_id, **bound})).all()


@cache
def whole(numbers: str) -> TextClause:
    """A statement that no frame is around."""
    return _bound(numbers, GROUPS[None])


async def numbers(tx: Tx, tenant_id: UUID, report: Report, group: str | None, bound: Mapping[str, Any]) -> Records:
    """Of each metric and group how many rows there are and how many count, by the key of the group."""
    measures = "".join(f", {sql} AS {name}" for name, sql in report.measures.items())
    of_group = _group(report, group)
    if report.numbers is not None:
        statement = counted(report.numbers, of_group)
    else:
        statement = framed(report.cases, of_group, COUNTED.replace("{MEASURES}", measures))
    await tx.plan_for_values()
    return (await tx.execute(statement, {"tenant_id": tenant_id, **bound})).all()


async def evidence(
    tx: Tx, tenant_id: UUID, report: Report, metric: Metric, group: str | None, bound: Mapping[str, Any]
) -> Records:
    """The rows of one metric and group, in the order of time."""
    cases = report.cases if report.of_metric is None else report.of_metric(metric)
    statement = framed(cases, _group(report, group), PAGE)
    await tx.plan_for_values()
    return (await tx.execute(statement, {"tenant_id": tenant_id, **bound})).all()


# The planner's estimate, from statistics: it reads no row.
STEPS: Final = """
    EXPLAIN (FORMAT JSON) SELECT FROM {HISTORY}
     WHERE tenant_id = :tenant_id AND occurred_at >= :start AND occurred_at < :end
"""


@cache
def _steps(history: str) -> TextClause:
    return _bound(STEPS.replace("{HISTORY}", history), GROUPS[None])


async def steps_in(tx: Tx, tenant_id: UUID, history: str, start: datetime, end: datetime) -> int:
    """About how many transitions of journeys, or of opportunities, the window has."""
    await tx.plan_for_values()
    [[[plan]]] = (await tx.execute(_steps(history), {"tenant_id": tenant_id, "start": start, "end": end})).all()
    return round(plan["Plan"]["Plan Rows"])


async def settings(tx: Tx, tenant_id: UUID, as_of: datetime) -> Record:
    """The tenant's time zone, the id of its active policy and its settings of reports, as of an instant."""
    return (await tx.execute(SETTINGS, {"tenant_id": tenant_id, "as_of": as_of})).one()


async def versions(tx: Tx, tenant_id: UUID, as_of: datetime, start: datetime, until: datetime) -> list[int]:
    """The numbers of the policies that were active in a window."""
    bound = {"tenant_id": tenant_id, "as_of": as_of, "start": start, "until": until}
    return (await tx.execute(VERSIONS, bound)).scalars()


async def users(tx: Tx, tenant_id: UUID) -> list[UUID]:
    """The ids of all users."""
    return (await tx.execute(USERS, {"tenant_id": tenant_id})).scalars()


async def names(tx: Tx, tenant_id: UUID, kind: str, record_ids: Sequence[UUID], as_of: datetime) -> Records:
    """The names of users or accounts by id."""
    return (await tx.execute(NAMES[kind], {"tenant_id": tenant_id, "ids": record_ids, "as_of": as_of})).all()


async def keep_setting(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    """Keeps a setting; the one that it replaces stays, for reports as of an earlier instant."""
    await tx.execute(KEEP_SETTING, {"tenant_id": tenant_id, **values})
