"""SQL of back-tests within one tenant: the jobs, the history that they read, and what came of each journey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Integer, Uuid, bindparam, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT

from app.database.tables import backtests
from app.database.transaction import Record, Records, Tx
from app.leads.consent_sql import COUNTING_LAST
from app.web.pages import Page

MAX_KNOWN: Final = 2_000  # activities of a lead that are replayed, the latest; and as many changes of its fields

# --- jobs

DROP_OLD = text(
    """
    WITH old AS (
        SELECT id FROM backtests WHERE tenant_id = :tenant_id AND finished_at IS NOT NULL
         ORDER BY created_at DESC, id DESC OFFSET :kept
    ), emptied AS (
        DELETE FROM backtest_journeys j USING old WHERE j.tenant_id = :tenant_id AND j.backtest_id = old.id
    )
    DELETE FROM backtests b USING old WHERE b.tenant_id = :tenant_id AND b.id = old.id
    """
)
# Jobs are asked for one after the other, so that of two requests at once both are counted.
LOCK_TENANT = text("SELECT FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE")
UNFINISHED = text("SELECT count(*) FROM backtests WHERE tenant_id = :tenant_id AND finished_at IS NULL")
HEAD = text("SELECT coalesce(max(position), 0) FROM event_log WHERE tenant_id = :tenant_id")
PROGRESS = text(
    """
    UPDATE backtests SET state = 'running', leads = :leads, leads_done = :leads_done, last_lead_id = :last_lead_id,
           log_position = :log_position, updated_at = :now
     WHERE tenant_id = :tenant_id AND id = :id
    """
).bindparams(
    bindparam("last_lead_id", type_=Uuid),
    bindparam("now", type_=DateTime(timezone=True)),
    *(bindparam(name, type_=Integer) for name in ("leads", "leads_done")),
)
FINISH = text(
    """
    UPDATE backtests SET state = :state, fault = :fault, finished_at = :now, updated_at = :now
     WHERE tenant_id = :tenant_id AND id = :id AND finished_at IS NULL
    RETURNING *
    """
).bindparams(
    bindparam("state", type_=TEXT), bindparam("fault", type_=TEXT), bindparam("now", type_=DateTime(timezone=True))
)


async def drop_old(tx: Tx, tenant_id: UUID, kept: int) -> None:
    """Deletes finished back-tests but for the newest ones."""
    await tx.execute(DROP_OLD, {"tenant_id": tenant_id, "kept": kept})


async def count_unfinished(tx: Tx, tenant_id: UUID) -> int:
    """How many back-tests wait or run; until the transaction ends no other one is asked for."""
    await tx.execute(LOCK_TENANT, {"tenant_id": tenant_id})
    count: int = (await tx.execute(UNFINISHED, {"tenant_id": tenant_id})).scalar_one()
    return count


async def log_head(tx: Tx, tenant_id: UUID) -> int:
    """The last position of the tenant's event log."""
    position: int = (await tx.execute(HEAD, {"tenant_id": tenant_id})).scalar_one()
    return position


async def insert_backtest(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> Record:
    statement = insert(backtests).values(tenant_id=tenant_id, **values).returning(backtests)
    return (await tx.execute(statement)).one()


async def find(tx: Tx, tenant_id: UUID, backtest_id: UUID) -> Record | None:
    wanted = (backtests.c.tenant_id == tenant_id) & (backtests.c.id == backtest_id)
    return (await tx.execute(select(backtests).where(wanted))).one_or_none()


async def list_backtests(tx: Tx, tenant_id: UUID, page: Page) -> Records:
    rows = select(backtests).where(backtests.c.tenant_id == tenant_id)
    return (await tx.execute(page.statement(rows, backtests))).all()


async def save_progress(tx: Tx, tenant_id: UUID, backtest_id: UUID, now: datetime, **done: Any) -> None:
    """Stores how far the job has come."""
    await tx.execute(PROGRESS, {"tenant_id": tenant_id, "id": backtest_id, "now": now, **done})


async def finish(
    tx: Tx, tenant_id: UUID, backtest_id: UUID, state: str, now: datetime, fault: str | None = None
) -> Record | None:
    """Ends the job, unless it has ended."""
    values = {"tenant_id": tenant_id, "id": backtest_id, "state": state, "fault": fault, "now": now}
    return (await tx.execute(FINISH, values)).one_or_none()


# --- history

COUNT_LEADS = text("SELECT count(*) FROM leads WHERE tenant_id = :tenant_id AND created_at < :before")
CLOSED_STAGES = text(
    "SELECT DISTINCT stage ->> 'name' FROM policies CROSS JOIN jsonb_array_elements(document -> 'stages') AS stage"
    " WHERE tenant_id = :tenant_id AND stage ->> 'kind' IN ('closed', 'merged', 'erased')"
)
MODELS = text(
    "SELECT version, trained_at, document FROM models WHERE tenant_id = :tenant_id AND state = 'ready'"
    " AND trained_at <= :until ORDER BY trained_at, version"
)
# With what the merged lead was: its fields stay with it, its journeys and activities go to the surviving one.
MERGES = text(
    f"""
    SELECT g.merged_at, g.survivor_id, g.moved, l.kind, l.fields, l.custom, l.flags, l.channel, l.created_at,
           NULL AS added,
           c.changed_at, c.replaced
      FROM lead_merges g
      JOIN leads l ON l.tenant_id = g.tenant_id AND l.id = g.merged_id
      LEFT JOIN LATERAL (
           SELECT array_agg(c.recorded_at) AS changed_at, array_agg(c.before) AS replaced
             FROM (SELECT * FROM lead_changes c WHERE c.tenant_id = :tenant_id AND c.lead_id = l.id AND c.version > 1
                      AND c.before ?| ARRAY['fields', 'custom', 'flags']
                    ORDER BY c.version DESC LIMIT {MAX_KNOWN}) c
      ) c ON true
     WHERE g.tenant_id = :tenant_id AND g.survivor_id = ANY(:ids) AND g.unmerged_at IS NULL
    """  # noqa: S608 - constants
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
# The order of consents is that in which the last one of a purpose holds, as in app/leads/past_sql.py.
# The history of leads with journeys that were open in the window; of other leads only the id. What the rules see is
# bounded, as in app/journeys/sql.py.
HISTORY = f"""
    SELECT l.id, l.kind, l.fields, l.custom, l.flags, l.channel, l.first_touch, l.created_at, j.journeys,
           t.journey_ids, t.stages, t.actions, t.moved_at, t.known_at, m.milestones,
           a.ids, a.types, a.kinds, a.occurred, a.recorded, c.changed_at, c.replaced, i.added,
           s.consent_ids, s.purposes, s.consent_states, s.consented,
           b.bant_ids,
           b.criteria, b.statuses, b.user_ids, b.roles, b.confirmed, b."values", b.evidences, b.dues, b.amounts
      FROM (SELECT * FROM leads l WHERE l.tenant_id = :tenant_id AND {{which}}) l
      LEFT JOIN LATERAL (
           SELECT jsonb_agg(jsonb_build_array(j.id, j.number, j.business)) AS journeys FROM journeys j
            WHERE j.tenant_id = :tenant_id AND j.lead_id = l.id
              AND l.merged_into IS NULL AND l.erased_at IS NULL
           HAVING bool_or(j.opened_at < :before AND (j.closed_at IS NULL OR j.closed_at >= :since))
      ) j ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(t.journey_id) AS journey_ids, array_agg(t.to_stage) AS stages,
                  array_agg(t.action) AS actions,
                  array_agg(t.occurred_at) AS moved_at, array_agg(t.recorded_at) AS known_at
             FROM (SELECT * FROM transitions t WHERE t.tenant_id = :tenant_id AND t.lead_id = l.id
                    ORDER BY t.recorded_at, t.seq) t
            WHERE j.journeys IS NOT NULL
      ) t ON true
      LEFT JOIN LATERAL (
           SELECT jsonb_agg(jsonb_build_array(m.journey_id, m.name, m.reached_at)) AS milestones FROM milestones m
            WHERE m.tenant_id = :tenant_id AND m.lead_id = l.id AND m.voided_at IS NULL AND j.journeys IS NOT NULL
      ) m ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(id) AS ids, array_agg(type) AS types, array_agg(kind) AS kinds,
                  array_agg(occurred_at) AS occurred, array_agg(recorded_at) AS recorded
             FROM (SELECT * FROM activities a WHERE a.tenant_id = :tenant_id AND a.lead_id = l.id
                    ORDER BY a.occurred_at DESC LIMIT {MAX_KNOWN}) a
            WHERE j.journeys IS NOT NULL
      ) a ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(c.recorded_at) AS changed_at, array_agg(c.before) AS replaced
             FROM (SELECT * FROM lead_changes c WHERE c.tenant_id = :tenant_id AND c.lead_id = l.id AND c.version > 1
                      AND c.before ?| ARRAY['fields', 'custom', 'flags']
                    ORDER BY c.version DESC LIMIT {MAX_KNOWN}) c
            WHERE j.journeys IS NOT NULL
      ) c ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(i.added_at) AS added
             FROM (SELECT added_at FROM identities i WHERE i.tenant_id = :tenant_id AND i.lead_id = l.id UNION ALL
                   SELECT added_at FROM shared_identities s WHERE s.tenant_id = :tenant_id AND s.lead_id = l.id) i
            WHERE j.journeys IS NOT NULL
      ) i ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(id) AS consent_ids, array_agg(purpose) AS purposes, array_agg(state) AS consent_states,
                  array_agg(recorded_at) AS consented
             FROM (SELECT * FROM consents s WHERE s.tenant_id = :tenant_id AND s.lead_id = l.id
                    ORDER BY {COUNTING_LAST} LIMIT {MAX_KNOWN}) s
            WHERE j.journeys IS NOT NULL
      ) s ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(id) AS bant_ids, array_agg(criterion) AS criteria, array_agg(status) AS statuses,
                  array_agg(user_id) AS user_ids, array_agg(role) AS roles, array_agg(recorded_at) AS confirmed,
                  array_agg(value) AS "values",
                  array_agg(evidence) AS evidences, array_agg(due_on) AS dues, array_agg(amount) AS amounts
             FROM (SELECT * FROM bant b WHERE b.tenant_id = :tenant_id AND b.lead_id = l.id
                    ORDER BY b.recorded_at, b.id LIMIT {MAX_KNOWN}) b
            WHERE j.journeys IS NOT NULL
      ) b ON true
     ORDER BY l.id
"""  # noqa: S608 - constants
BOUNDS: Final = [bindparam(name, type_=DateTime(timezone=True)) for name in ("since", "before")]
RANGE = text(HISTORY.format(which="l.id > :after ORDER BY l.id LIMIT :limit")).bindparams(
    bindparam("after", type_=Uuid), *BOUNDS
)
NAMED = text(HISTORY.format(which="l.id = ANY(:ids)")).bindparams(bindparam("ids", type_=ARRAY(Uuid)), *BOUNDS)
CHANGED = text(
    "SELECT position, lead_id FROM event_log WHERE tenant_id = :tenant_id AND position > :after"
    " ORDER BY position LIMIT :limit"
)
DUE = text(
    "SELECT DISTINCT lead_id FROM (SELECT lead_id FROM backtest_journeys WHERE tenant_id = :tenant_id"
    " AND backtest_id = :id AND due_at <= :now ORDER BY due_at LIMIT :limit) d"
)


async def count_leads(tx: Tx, tenant_id: UUID, before: datetime) -> int:
    count: int = (await tx.execute(COUNT_LEADS, {"tenant_id": tenant_id, "before": before})).scalar_one()
    return count


async def closed_stages(tx: Tx, tenant_id: UUID) -> frozenset[str]:
    """The stages that end a journey, in any version of the tenant's policies."""
    return frozenset((await tx.execute(CLOSED_STAGES, {"tenant_id": tenant_id})).scalars())


async def models(tx: Tx, tenant_id: UUID, until: datetime) -> Records:
    """The models that were trained until then, in the order of training."""
    return (await tx.execute(MODELS, {"tenant_id": tenant_id, "until": until})).all()


async def merges(tx: Tx, tenant_id: UUID, survivors: Sequence[UUID]) -> Records:
    """The merges into these leads that stand, with the rows that came with each and what the merged lead was."""
    return (await tx.execute(MERGES, {"tenant_id": tenant_id, "ids": survivors})).all()


async def next_leads(tx: Tx, tenant_id: UUID, after: UUID, window: tuple[datetime, datetime], limit: int) -> Records:
    """The next leads after this one in the order of their ids, with the history of those at stake in the window."""
    bound = {"tenant_id": tenant_id, "after": after, "since": window[0], "before": window[1], "limit": limit}
    return (await tx.execute(RANGE, bound)).all()


async def named_leads(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID], window: tuple[datetime, datetime]) -> Records:
    """These leads, with their history as `next_leads` has it."""
    bound = {"tenant_id": tenant_id, "ids": lead_ids, "since": window[0], "before": window[1]}
    return (await tx.execute(NAMED, bound)).all()


async def changed_leads(tx: Tx, tenant_id: UUID, after: int, limit: int) -> Records:
    """(position, lead_id) of the events after this position of the log."""
    return (await tx.execute(CHANGED, {"tenant_id": tenant_id, "after": after, "limit": limit})).all()


async def due_leads(tx: Tx, tenant_id: UUID, backtest_id: UUID, now: datetime, limit: int) -> list[UUID]:
    """Leads with journeys of a shadow run that time alone may have changed."""
    bound = {"tenant_id": tenant_id, "id": backtest_id, "now": now, "limit": limit}
    return (await tx.execute(DUE, bound)).scalars()


# --- what came of it

STORE = text(
    """
    WITH gone AS (
        DELETE FROM backtest_journeys WHERE tenant_id = :tenant_id AND backtest_id = :id AND lead_id = ANY(:lead_ids)
           AND journey_id <> ALL(:kept)
    )
    INSERT INTO backtest_journeys (tenant_id, backtest_id, journey_id, lead_id, baseline_at, baseline_known_at,
           candidate_at, candidate_known_at, actual_at, accepted, sql, won, due_at)
    SELECT :tenant_id, :id, journey_id, lead_id, baseline_at, baseline_known_at, candidate_at, candidate_known_at,
           actual_at, accepted, sql, won, due_at
      FROM jsonb_to_recordset(:rows) AS r(
           journey_id uuid, lead_id uuid, baseline_at timestamptz, baseline_known_at timestamptz,
           candidate_at timestamptz, candidate_known_at timestamptz, actual_at timestamptz, accepted boolean,
           sql boolean, won boolean, due_at timestamptz)
    ON CONFLICT (tenant_id, backtest_id, journey_id) DO UPDATE
       SET lead_id = excluded.lead_id, baseline_at = excluded.baseline_at,
           baseline_known_at = excluded.baseline_known_at, candidate_at = excluded.candidate_at,
           candidate_known_at = excluded.candidate_known_at, actual_at = excluded.actual_at,
           accepted = excluded.accepted, sql = excluded.sql, won = excluded.won, due_at = excluded.due_at
    """
).bindparams(bindparam("rows", type_=JSONB), *(bindparam(name, type_=ARRAY(Uuid)) for name in ("lead_ids", "kept")))
# Known in the window: only then the policy made the journey an MQL there. What was known before it was no miss.
SIDE = """
    count(*) FILTER (WHERE {side}_known_at >= :since) AS {side}_mql,
    count(*) FILTER (WHERE {side}_known_at >= :since AND accepted) AS {side}_accepted,
    count(*) FILTER (WHERE {side}_known_at >= :since AND sql) AS {side}_sql,
    count(*) FILTER (WHERE {side}_known_at >= :since AND won) AS {side}_won,
    count(*) FILTER (WHERE {side}_known_at IS NOT NULL AND sql) AS {side}_caught_sql,
    count(*) FILTER (WHERE {side}_known_at IS NOT NULL AND won) AS {side}_caught_won,
"""
OF_ONE = "FROM backtest_journeys WHERE tenant_id = :tenant_id AND backtest_id = :id"
COUNTS = text(
    f"SELECT {SIDE.format(side='baseline')} {SIDE.format(side='candidate')}"
    f" count(*) FILTER (WHERE sql) AS all_sql, count(*) FILTER (WHERE won) AS all_won {OF_ONE}"
).bindparams(bindparam("since", type_=DateTime(timezone=True)))
WEEKS = text(
    f"""
    SELECT date_trunc('week', known_at AT TIME ZONE 'UTC')::date AS week,
           count(*) FILTER (WHERE side = 'baseline') AS baseline,
           count(*) FILTER (WHERE side = 'candidate') AS candidate
      FROM (SELECT unnest(ARRAY['baseline', 'candidate']) AS side,
                   unnest(ARRAY[baseline_known_at, candidate_known_at]) AS known_at {OF_ONE}) k
     WHERE known_at >= :since GROUP BY 1 ORDER BY 1
    """  # noqa: S608 - constants
).bindparams(bindparam("since", type_=DateTime(timezone=True)))
COUNT_ROLE = text("SELECT count(*) FROM users WHERE tenant_id = :tenant_id AND role = :role AND active")
# The lists that can be read, each as the condition of its journeys.
LISTS: Final = {
    "baseline": "baseline_known_at >= :since",
    "candidate": "candidate_known_at >= :since",
    "added": "candidate_known_at >= :since AND baseline_known_at IS NULL",
    "removed": "baseline_known_at >= :since AND candidate_known_at IS NULL",
    "baseline_missed_won": "won AND baseline_known_at IS NULL",
    "candidate_missed_won": "won AND candidate_known_at IS NULL",
}
JOURNEYS: Final = {
    name: text(
        f"SELECT * {OF_ONE} AND {condition} AND journey_id > :after ORDER BY journey_id LIMIT :limit"
    ).bindparams(
        bindparam("after", type_=Uuid),
        *([bindparam("since", type_=DateTime(timezone=True))] if ":since" in condition else []),
    )
    for name, condition in LISTS.items()
}


async def store(tx: Tx, tenant_id: UUID, backtest_id: UUID, lead_ids: Sequence[UUID], rows: Sequence[Any]) -> None:
    """Stores what came of the journeys of these leads, in place of what was stored of them before."""
    kept = [row["journey_id"] for row in rows]
    bound = {"tenant_id": tenant_id, "id": backtest_id, "lead_ids": lead_ids, "kept": kept, "rows": rows}
    await tx.execute(STORE, bound)


async def counts(tx: Tx, tenant_id: UUID, backtest_id: UUID, since: datetime) -> Record:
    """How many journeys each policy made MQLs since, and what became of them."""
    return (await tx.execute(COUNTS, {"tenant_id": tenant_id, "id": backtest_id, "since": since})).one()


async def weeks(tx: Tx, tenant_id: UUID, backtest_id: UUID, since: datetime) -> Records:
    """The MQLs of each week that has any, by policy."""
    return (await tx.execute(WEEKS, {"tenant_id": tenant_id, "id": backtest_id, "since": since})).all()


async def count_role(tx: Tx, tenant_id: UUID, role: str | None) -> int:
    """The active users of a role."""
    count: int = (await tx.execute(COUNT_ROLE, {"tenant_id": tenant_id, "role": role})).scalar_one()
    return count


async def journeys(
    tx: Tx, tenant_id: UUID, backtest_id: UUID, listed: str, since: datetime, after: UUID, limit: int
) -> Records:
    """The journeys of one of `LISTS` after this one, in the order of their ids."""
    bound = {"tenant_id": tenant_id, "id": backtest_id, "since": since, "after": after, "limit": limit}
    return (await tx.execute(JOURNEYS[listed], bound)).all()
