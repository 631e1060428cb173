"""Statements that load, lock and write leads and journeys. Only the statement of `recording` writes a stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import TextClause, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.exc import IntegrityError

from app.database.parts import Part, Rows
from app.database.sqlstate import constraint
from app.database.transaction import ChangedMeanwhile, Records, Tx
from app.journeys import clocks_sql
from app.policy.facts import MOST_ACTIVITIES

# The ids are one JSON parameter and each lead is an index look-up, so that one cached plan serves any number of leads.
# Rules use a bounded history: the latest 500 activities and 200 confirmations of a lead. `stale`: the row was changed
# while the statement waited for its lock. The journey is the open one, else the one that ended last: after a merge this
# need not be the one with the highest number.
LOAD_LEADS = """
    SELECT l.id, l.created_at, l.updated_at, l.version, l.kind, l.fields, l.raw, l.custom, l.flags, l.consents,
           l.first_touch, l.last_touch, l.channel, l.source_id, l.team, l.below_threshold_since, l.threshold_met,
           l.evaluate_at, l.account_id, l.contact_id, l.opportunity_id, l.merged_into, l.erased_at,
           EXISTS (SELECT FROM lead_merges m WHERE m.tenant_id = :tenant_id AND m.survivor_id = l.id
                                               AND m.unmerged_at IS NULL) AS has_merged,
           l.stamp <> seen.stamp AS stale,
           u.id AS owner_id, u.role AS owner_role, u.team AS owner_team, u.active AS owner_active,
           f.role AS previous_role,
           j.id AS journey_id, j.number, j.last_number, j.stage, j.seq, j.policy_id, j.business, j.baseline_at,
           j.corrected_at, j.assigned_at, j.previous_owner_id, j.wake_at, j.recycles, j.opened_at, j.closed_at,
           j.closing_reason, j.stage_entered_at, j.stalled_at, j.offer, j.lapsed,
           -- Of a conversion that was made with another move, the stage before both.
           CASE WHEN t.evidence -> 'conversion_id' IS NULL THEN t.from_stage ELSE coalesce(
               (SELECT w.from_stage FROM transitions w
                 WHERE w.tenant_id = :tenant_id AND w.journey_id = j.id AND w.seq = t.seq - 1
                   AND w.recorded_at = t.recorded_at AND w.actor = t.actor), t.from_stage) END AS held_stage,
           t.recorded_at AS last_recorded_at, t.policy_id AS last_policy_id,
           -- After the ends of the other journeys, so that the present one, if it ends, is the one that ended last.
           GREATEST(t.occurred_at, j.others_closed_at + interval '1 microsecond') AS last_occurred_at,
           o.class AS opportunity_class,
           p.id AS active_policy_id, i.kinds, i.namespaces, i."values", i.primaries, s.shared_kinds, s.shared_values,
           s.shared_primaries, m.names AS milestones,
           a.ids AS activity_ids, a.keys AS activity_keys, a.types, a.activity_kinds, a.occurred, a.recorded,
           b.criteria, b.statuses, b.user_ids, b.roles, b.confirmed_at, b.bant_values, b.evidences, b.dues, b.amounts,
           r.*
      FROM (SELECT value::uuid AS id FROM jsonb_array_elements_text(:ids)) w
      JOIN LATERAL (
           SELECT *, xmin AS stamp FROM leads l WHERE l.tenant_id = :tenant_id AND l.id = w.id {lock}
      ) l ON true
      JOIN LATERAL (
           SELECT xmin AS stamp FROM leads seen WHERE seen.tenant_id = :tenant_id AND seen.id = w.id LIMIT 1
      ) seen ON true
      JOIN LATERAL (SELECT p.id FROM policies p WHERE p.tenant_id = :tenant_id AND p.state = 'active' LIMIT 1) p ON true
      LEFT JOIN LATERAL (SELECT * FROM users u WHERE u.tenant_id = :tenant_id AND u.id = l.owner_id LIMIT 1) u ON true
      LEFT JOIN LATERAL (
           SELECT *, max(j.number) OVER () AS last_number,
                  max(j.closed_at) OVER (ORDER BY j.closed_at DESC NULLS FIRST, j.number DESC
                                          ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING) AS others_closed_at
             FROM journeys j
            WHERE j.tenant_id = :tenant_id AND j.lead_id = l.id
            ORDER BY j.closed_at DESC NULLS FIRST, j.number DESC LIMIT 1
      ) j ON true
      LEFT JOIN LATERAL (
           SELECT role FROM users f WHERE f.tenant_id = :tenant_id AND f.id = j.previous_owner_id AND f.active LIMIT 1
      ) f ON true
      LEFT JOIN LATERAL (
           SELECT * FROM transitions t WHERE t.tenant_id = :tenant_id AND t.journey_id = j.id AND t.seq = j.seq LIMIT 1
      ) t ON true
      LEFT JOIN LATERAL (
           SELECT * FROM opportunities o WHERE o.tenant_id = :tenant_id AND o.id = l.opportunity_id LIMIT 1
      ) o ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(kind) AS kinds, array_agg(namespace) AS namespaces, array_agg(value) AS "values",
                  array_agg("primary") AS primaries
             FROM (SELECT * FROM identities i WHERE i.tenant_id = :tenant_id AND i.lead_id = l.id
                    ORDER BY i.added_at, i.kind, i.namespace, i.value) i
      ) i ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(kind) AS shared_kinds, array_agg(value) AS shared_values,
                  array_agg("primary") AS shared_primaries
             FROM (SELECT * FROM shared_identities s WHERE s.tenant_id = :tenant_id AND s.lead_id = l.id
                    ORDER BY s.added_at, s.kind, s.value) s
      ) s ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(m.name) AS names FROM milestones m
            WHERE m.tenant_id = :tenant_id AND m.journey_id = j.id AND m.voided_at IS NULL
      ) m ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(id) AS ids, array_agg(activity_key) AS keys, array_agg(type) AS types,
                  array_agg(kind) AS activity_kinds, array_agg(occurred_at) AS occurred,
                  array_agg(recorded_at) AS recorded
             FROM (SELECT * FROM activities a WHERE a.tenant_id = :tenant_id AND a.lead_id = l.id
                    ORDER BY a.occurred_at DESC LIMIT {activities}) a
      ) a ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(criterion) AS criteria, array_agg(status) AS statuses, array_agg(user_id) AS user_ids,
                  array_agg(role) AS roles, array_agg(recorded_at) AS confirmed_at, array_agg(value) AS bant_values,
                  array_agg(evidence) AS evidences, array_agg(due_on) AS dues, array_agg(amount) AS amounts
             FROM (SELECT * FROM (SELECT * FROM bant b WHERE b.tenant_id = :tenant_id AND b.lead_id = l.id
                    ORDER BY b.recorded_at DESC, b.id DESC LIMIT 200) b ORDER BY b.recorded_at, b.id) b
      ) b ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(id) AS run_ids, array_agg(clock) AS run_clocks, array_agg(minutes) AS run_minutes,
                  array_agg(started_at) AS run_started, array_agg(recorded_at) AS run_recorded,
                  array_agg(owner_id) AS run_owners, array_agg(due_at) AS run_due, array_agg(met_at) AS run_met,
                  array_agg(met_recorded_at) AS run_met_recorded, array_agg(stopped_at) AS run_stopped,
                  array_agg(stopped_recorded_at) AS run_stopped_recorded, array_agg(breached_at) AS run_breached,
                  array_agg(business_minutes) AS run_business_minutes,
                  array_agg(started_owner_id) AS run_started_owners, array_agg(breached_owner_id) AS run_breached_owners
             FROM (SELECT * FROM clock_runs r
                    WHERE r.tenant_id = :tenant_id AND r.journey_id = j.id AND r.voided_at IS NULL
                    ORDER BY r.started_at DESC, r.id DESC LIMIT 100) r
      ) r ON true
"""
IDS = (bindparam("ids", type_=JSONB), bindparam("tenant_id", type_=Uuid))
READ_LEADS = text(LOAD_LEADS.format(lock="LIMIT 1", activities=MOST_ACTIVITIES)).bindparams(*IDS)
LOCK_LEADS = text(LOAD_LEADS.format(lock="FOR NO KEY UPDATE", activities=MOST_ACTIVITIES)).bindparams(*IDS)
READ_WITHOUT_ACTIVITIES = text(LOAD_LEADS.format(lock="LIMIT 1", activities=0)).bindparams(*IDS)

LEAD = """
    id uuid, kind text, stage text, stage_entered_at timestamptz, fields jsonb, raw jsonb,
    custom jsonb, flags jsonb, consents jsonb, first_touch jsonb, last_touch jsonb, channel text, source_id uuid,
    owner_id uuid, team text, fit integer, engagement integer, level integer, temperature text,
    below_threshold_since timestamptz, threshold_met boolean, evaluate_at timestamptz, account_id uuid, contact_id uuid,
    opportunity_id uuid, merged_into uuid, created_at timestamptz, updated_at timestamptz, sla_state text
"""
JOURNEY = """
    id uuid, lead_id uuid, number integer, stage text, seq integer, expected_seq integer,
    policy_id uuid, business text, baseline_at timestamptz, corrected_at timestamptz, assigned_at timestamptz,
    previous_owner_id uuid, wake_at timestamptz, recycles integer, opened_at timestamptz, closed_at timestamptz,
    closing_reason text, stage_entered_at timestamptz, stalled_at timestamptz,
    offer jsonb, lapsed jsonb
"""

# The CTE that writes each kind of row, in lock order. A statement contains only the kinds that its changes have: every
# table in a statement costs time, even without rows. FEW does not limit anything: it makes the planner estimate few
# rows, so that it uses index look-ups instead of a sequential scan.
FEW = "LIMIT (SELECT 1000000)"
WRITES = {
    "created": """created AS (
        INSERT INTO leads (tenant_id, id, kind, stage, stage_entered_at, fields, raw, custom, flags, consents,
               first_touch, last_touch, channel, source_id, owner_id, team, fit, engagement, level, temperature,
               below_threshold_since, threshold_met, evaluate_at, sla_state, account_id, contact_id, created_at,
               updated_at)
        SELECT :tenant_id, id, kind, stage, stage_entered_at, fields, raw, custom, flags, consents,
               first_touch, last_touch, channel, source_id, owner_id, team, fit, engagement, level, temperature,
               below_threshold_since, threshold_met, evaluate_at, sla_state, account_id, contact_id, created_at,
               updated_at
          FROM jsonb_to_recordset(:created) AS r({LEAD})
        RETURNING id, version
    )""",
    "touched": """touched AS (
        UPDATE leads l
           SET version = l.version + 1, kind = c.kind, stage = c.stage, stage_entered_at = c.stage_entered_at,
               fields = c.fields, raw = c.raw, custom = c.custom, flags = c.flags, consents = c.consents,
               first_touch = c.first_touch, last_touch = c.last_touch, owner_id = c.owner_id, team = c.team,
               fit = c.fit, engagement = c.engagement, level = c.level, temperature = c.temperature,
               below_threshold_since = c.below_threshold_since, threshold_met = c.threshold_met,
               evaluate_at = c.evaluate_at, sla_state = c.sla_state, account_id = c.account_id,
               contact_id = c.contact_id,
               opportunity_id = c.opportunity_id, merged_into = c.merged_into, updated_at = c.updated_at
          FROM (SELECT * FROM jsonb_to_recordset(:touched) AS r({LEAD}) {FEW}) c
         WHERE l.tenant_id = :tenant_id AND l.id = c.id
        RETURNING l.id, l.version
    )""",
    "opened": """opened AS (
        INSERT INTO journeys (tenant_id, id, lead_id, number, stage, seq, policy_id, business, baseline_at,
               corrected_at, assigned_at, previous_owner_id, wake_at, recycles, opened_at, closed_at, closing_reason,
               stage_entered_at, stalled_at, offer, lapsed)
        SELECT :tenant_id, id, lead_id, number, stage, seq, policy_id, business, baseline_at,
               corrected_at, assigned_at, previous_owner_id, wake_at, recycles, opened_at, closed_at, closing_reason,
               stage_entered_at, stalled_at, offer, lapsed
          FROM jsonb_to_recordset(:opened) AS r({JOURNEY})
        RETURNING id
    )""",
    "moved": """moved AS (
        UPDATE journeys j
           SET stage = c.stage, seq = c.seq, policy_id = c.policy_id, baseline_at = c.baseline_at,
               corrected_at = c.corrected_at, assigned_at = c.assigned_at, previous_owner_id = c.previous_owner_id,
               wake_at = c.wake_at, recycles = c.recycles, closed_at = c.closed_at,
               closing_reason = c.closing_reason, stage_entered_at = c.stage_entered_at, stalled_at = c.stalled_at,
               offer = c.offer, lapsed = c.lapsed
          FROM (SELECT * FROM jsonb_to_recordset(:moved) AS r({JOURNEY}) {FEW}) c
         WHERE j.tenant_id = :tenant_id AND j.id = c.id AND j.seq = c.expected_seq
        RETURNING j.id
    )""",
    "steps": """recorded AS (
        INSERT INTO transitions (tenant_id, journey_id, seq, id, lead_id, from_stage, to_stage, action, reason_code,
               note, actor, on_behalf_of, correction_of, occurred_at, recorded_at, policy_id, policy_version, evidence)
        SELECT :tenant_id, journey_id, seq, id, lead_id, from_stage, to_stage, action, reason_code, note,
               actor, on_behalf_of, correction_of, occurred_at, recorded_at, policy_id, policy_version, evidence
          FROM jsonb_to_recordset(:steps) AS r(
               journey_id uuid, seq integer, id uuid, lead_id uuid, from_stage text, to_stage text, action text,
               reason_code text, note text, actor jsonb, on_behalf_of jsonb, correction_of uuid,
               occurred_at timestamptz, recorded_at timestamptz, policy_id uuid, policy_version integer, evidence jsonb)
    )""",
    "milestones": """reached AS (
        INSERT INTO milestones (tenant_id, id, journey_id, lead_id, name, proof, reached_at, recorded_at, skipped)
        SELECT :tenant_id, id, journey_id, lead_id, name, proof, reached_at, recorded_at, skipped
          FROM jsonb_to_recordset(:milestones) AS r(
               id uuid, journey_id uuid, lead_id uuid, name text, proof text, reached_at timestamptz,
               recorded_at timestamptz, skipped boolean)
        ON CONFLICT (tenant_id, journey_id, name) WHERE voided_at IS NULL DO NOTHING
    )""",
    "activities": """acted AS (
        INSERT INTO activities (tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at, properties,
               actor, source_id)
        SELECT :tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at, properties, actor, source_id
          FROM jsonb_to_recordset(:activities) AS r(
               id uuid, lead_id uuid, activity_key text, type text, kind text, occurred_at timestamptz,
               recorded_at timestamptz, properties jsonb, actor jsonb, source_id uuid)
        ON CONFLICT (tenant_id, lead_id, activity_key) DO NOTHING
    )""",
    "identities": """named AS (
        INSERT INTO identities (tenant_id, kind, namespace, value, lead_id, "primary", added_at)
        SELECT :tenant_id, kind, namespace, value, lead_id, "primary", added_at
          FROM jsonb_to_recordset(:identities) AS r(
               kind text, namespace text, value text, lead_id uuid, "primary" boolean, added_at timestamptz)
        ON CONFLICT (tenant_id, kind, namespace, value)
           DO UPDATE SET "primary" = EXCLUDED."primary" WHERE identities.lead_id = EXCLUDED.lead_id
    )""",
    "shared": """shared AS (
        INSERT INTO shared_identities (tenant_id, kind, value, lead_id, "primary", added_at)
        SELECT :tenant_id, kind, value, lead_id, "primary", added_at
          FROM jsonb_to_recordset(:shared) AS r(
               kind text, value text, lead_id uuid, "primary" boolean, added_at timestamptz)
        ON CONFLICT (tenant_id, kind, value, lead_id) DO UPDATE SET "primary" = EXCLUDED."primary"
    )""",
    "match_keys": """keyed AS (
        INSERT INTO match_keys (tenant_id, key, lead_id)
        SELECT :tenant_id, key, lead_id FROM jsonb_to_recordset(:match_keys) AS r(key text, lead_id uuid)
        ON CONFLICT DO NOTHING
    ), unchecked AS (
        INSERT INTO likeness_checks (tenant_id, lead_ids)
        SELECT :tenant_id, array_agg(DISTINCT lead_id) FROM jsonb_to_recordset(:match_keys) AS r(lead_id uuid)
    )""",
    "consents": """consented AS (
        INSERT INTO consents (tenant_id, id, lead_id, purpose, state, text, channel, source_id, submission_id, bought,
               text_version, client_address, actor, confirmation_id, withdrawal_link_id, occurred_at, recorded_at)
        SELECT :tenant_id, id, lead_id, purpose, state, text, channel, source_id, submission_id, bought, text_version,
               client_address, actor, confirmation_id, withdrawal_link_id, occurred_at, recorded_at
          FROM jsonb_to_recordset(:consents) AS r(
               id uuid, lead_id uuid, purpose text, state text, text text, channel text, source_id uuid,
               submission_id uuid, bought boolean, text_version text, client_address text, actor jsonb,
               confirmation_id uuid, withdrawal_link_id uuid, occurred_at timestamptz, recorded_at timestamptz)
    )""",
    "touches": """attributed AS (
        INSERT INTO touches (tenant_id, id, lead_id, source_id, submission_id, attribution, occurred_at, recorded_at)
        SELECT :tenant_id, id, lead_id, source_id, submission_id, attribution, occurred_at, recorded_at
          FROM jsonb_to_recordset(:touches) AS r(
               id uuid, lead_id uuid, source_id uuid, submission_id uuid, attribution jsonb, occurred_at timestamptz,
               recorded_at timestamptz)
    )""",
    "bant": """confirmed AS (
        INSERT INTO bant (tenant_id, id, lead_id, criterion, status, value, evidence, due_on, amount, user_id, role,
               recorded_at)
        SELECT :tenant_id, id, lead_id, criterion, status, value, evidence, due_on, amount, user_id, role, recorded_at
          FROM jsonb_to_recordset(:bant) AS r(
               id uuid, lead_id uuid, criterion text, status text, value text, evidence text, due_on date, amount jsonb,
               user_id uuid, role text, recorded_at timestamptz)
    )""",
    "runs": f"clocked AS ({clocks_sql.WRITE})",
    "before": """remembered AS (
        INSERT INTO lead_changes (tenant_id, lead_id, version, recorded_at, actor, before, origins)
        SELECT :tenant_id, c.lead_id, v.version, c.recorded_at, c.actor, c.before, c.origins
          FROM jsonb_to_recordset(:before) AS c(
               lead_id uuid, recorded_at timestamptz, actor jsonb, before jsonb, origins jsonb)
          JOIN versioned v ON v.id = c.lead_id
    )""",
    "events": """emitted AS (
        INSERT INTO events (tenant_id, id, lead_id, order_key, lead_version, type, occurred_at, recorded_at, tx_id,
               tx_index, tx_size, data, lead_computed)
        SELECT :tenant_id, e.id, e.lead_id, e.order_key, v.version, e.type, e.occurred_at, e.recorded_at, e.tx_id,
               e.tx_index, e.tx_size, e.data, e.lead_computed
          FROM jsonb_to_recordset(:events) AS e(
               n integer, id uuid, lead_id uuid, order_key uuid, type text, occurred_at timestamptz,
               recorded_at timestamptz, tx_id uuid, tx_index smallint, tx_size smallint, data text,
               lead_computed jsonb)
          JOIN versioned v ON v.id = e.lead_id
         ORDER BY e.n
        RETURNING tenant_id, seq
    ), queued AS (
        INSERT INTO pending (tenant_id, seq) SELECT tenant_id, seq FROM emitted
    )""",
}
ROW_KINDS = tuple(WRITES)


@cache
def recording(kinds: tuple[str, ...], parts: tuple[Part, ...] = ()) -> TextClause:
    """Builds the statement that writes these kinds of row, and the parts. No other statement writes a stage."""
    versioned, journeys = (
        " UNION ALL ".join(f"TABLE {kind}" for kind in pair if kind in kinds)
        for pair in (("created", "touched"), ("opened", "moved"))
    )
    first, rest = (
        [WRITES[kind] for kind in kinds if (kind in ("created", "touched")) is leads] for leads in (True, False)
    )
    ctes = ",\n".join(["WITH " + first[0], *first[1:], f"versioned AS ({versioned})", *rest])
    ctes = ",\n".join([ctes, *(part.sql for part in parts)])
    for name, columns in (("{LEAD}", LEAD), ("{JOURNEY}", JOURNEY), ("{FEW}", FEW)):
        ctes = ctes.replace(name, columns)
    counted = f"(SELECT count(*) FROM ({journeys}) j)" if journeys else "0"  # noqa: S608
    statement = text(ctes + f" SELECT v.id, v.version, {counted} AS journeys FROM versioned v")  # noqa: S608
    return statement.bindparams(*(bindparam(kind, type_=JSONB) for kind in (*kinds, *(part.name for part in parts))))


VOID_MILESTONES = text(
    """
    UPDATE milestones m SET voided_at = c.voided_at
      FROM jsonb_to_recordset(:voids) AS c(journey_id uuid, name text, voided_at timestamptz)
     WHERE m.tenant_id = :tenant_id AND m.journey_id = c.journey_id AND m.name = c.name AND m.voided_at IS NULL
    """
).bindparams(bindparam("voids", type_=JSONB))

REFRESH_SCORES = text(
    """
    UPDATE leads l SET fit = c.fit, engagement = c.engagement, level = c.level, temperature = c.temperature,
           below_threshold_since = c.below_threshold_since, threshold_met = c.threshold_met,
           evaluate_at = c.evaluate_at, sla_state = c.sla_state
      FROM jsonb_to_recordset(:leads) AS c(id uuid, fit integer, engagement integer, level integer, temperature text,
           below_threshold_since timestamptz, threshold_met boolean, evaluate_at timestamptz,
           sla_state text)
     WHERE l.tenant_id = :tenant_id AND l.id = c.id
    """
).bindparams(bindparam("leads", type_=JSONB))
SURVIVOR = text(
    """
    WITH RECURSIVE chain AS (
        SELECT 1 AS place, CAST(:id AS uuid) AS id
        UNION ALL
        SELECT c.place + 1, l.merged_into FROM chain c CROSS JOIN LATERAL (
            SELECT merged_into FROM leads l WHERE l.tenant_id = :tenant_id AND l.id = c.id AND l.merged_into IS NOT NULL
             LIMIT 1) l
    )
    SELECT id FROM chain ORDER BY place DESC LIMIT 1
    """
).bindparams(bindparam("id", type_=Uuid), bindparam("tenant_id", type_=Uuid))
ACTIVE_USERS = text(
    "SELECT id, role, team FROM users WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND active"
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))


async def lock_leads(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> Records:
    """Locks leads in ascending id until the transaction ends, and loads them; the rows that exist.

    After waiting for a lock, PostgreSQL returns the newest row of the lead, but joined rows of the snapshot from before
    the wait. Such rows are `stale`, and the leads are loaded again with a new snapshot.
    """
    rows = (await tx.execute(LOCK_LEADS, _named(tenant_id, sorted(lead_ids)))).all()
    if any(row.stale for row in rows):
        return await load_leads(tx, tenant_id, lead_ids)
    return rows


async def survivor_of(tx: Tx, tenant_id: UUID, lead_id: UUID) -> UUID:
    """The lead that this one was merged into, at last; itself where it was not merged."""
    return UUID(str((await tx.execute(SURVIVOR, {"tenant_id": tenant_id, "id": lead_id})).scalar_one()))


async def load_leads(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> Records:
    """Reads everything that rules and answers need of these leads, without a lock."""
    return (await tx.execute(READ_LEADS, _named(tenant_id, lead_ids))).all()


async def load_without_activities(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> Records:
    """Reads leads that are shown but not scored, without a lock."""
    return (await tx.execute(READ_WITHOUT_ACTIVITIES, _named(tenant_id, lead_ids))).all()


def _named(tenant_id: UUID, lead_ids: Sequence[UUID]) -> dict[str, Any]:
    return {"tenant_id": tenant_id, "ids": [str(lead_id) for lead_id in lead_ids]}


async def record_changes(
    tx: Tx, tenant_id: UUID, rows: Mapping[str, Sequence[Mapping[str, Any]]], more: Rows
) -> Records:
    """Writes changes of locked or new leads, each one row of `touched` or `created`; the new version of each lead.

    `more`: rows of other tables. Raises ChangedMeanwhile where another transaction has taken a contested key of theirs.
    """
    present = {kind: rows[kind] for kind in ROW_KINDS if rows[kind]}
    parts = tuple(part for part in more if more[part])
    bound = {"tenant_id": tenant_id, **present, **{part.name: more[part] for part in parts}}
    try:
        return (await tx.execute(recording(tuple(present), parts), bound)).all()
    except IntegrityError as error:
        if any(constraint(error) in part.contested for part in parts):
            raise ChangedMeanwhile("another transaction has taken a key") from error
        raise


async def void_milestones(tx: Tx, tenant_id: UUID, voids: Sequence[Mapping[str, Any]]) -> None:
    """Marks milestones as voided. Runs before `record_changes`, which may insert the same milestone again."""
    if voids:
        await tx.execute(VOID_MILESTONES, {"tenant_id": tenant_id, "voids": list(voids)})


async def refresh_scores(tx: Tx, tenant_id: UUID, leads: Sequence[Mapping[str, Any]]) -> None:
    """Updates cached scores that changed only because time passed: no new version, no event."""
    if leads:
        await tx.execute(REFRESH_SCORES, {"tenant_id": tenant_id, "leads": list(leads)})


async def active_users(tx: Tx, tenant_id: UUID, user_ids: Sequence[UUID]) -> Records:
    return (await tx.execute(ACTIVE_USERS, {"tenant_id": tenant_id, "ids": list(user_ids)})).all()
