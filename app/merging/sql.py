"""Statements that move rows from one lead to another, the journal of merges, and pairs of possible duplicates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Select, Text, Uuid, bindparam, or_, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.tables import duplicates, leads
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

ONE, OTHER = leads.alias("one"), leads.alias("other")
BOTH = (bindparam("tenant_id", type_=Uuid), bindparam("source", type_=Uuid), bindparam("target", type_=Uuid))
IDS = bindparam("ids", type_=ARRAY(Uuid))

IDENTITY_KEYS = text(
    """
    SELECT kind, namespace, value FROM identities WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
    UNION
    SELECT kind, '', value FROM shared_identities WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
    """
).bindparams(IDS)
# What both leads have (an activity by source and key, touches and consents of one submission) stays where it is. A key
# that another source has used as well becomes another key.
MOVE = text(
    """
    WITH acted AS (
        UPDATE activities a SET lead_id = :target, activity_key = CASE WHEN k.taken
                                                        THEN a.activity_key || '#' || a.id ELSE a.activity_key END
          FROM (SELECT o.id, t.id IS NOT NULL AS taken, t.source_id IS NOT DISTINCT FROM o.source_id AS equal
                  FROM activities o LEFT JOIN activities t ON t.tenant_id = :tenant_id AND t.lead_id = :target
                       AND t.activity_key = o.activity_key
                 WHERE o.tenant_id = :tenant_id AND o.lead_id = :source) k
         WHERE a.tenant_id = :tenant_id AND a.id = k.id AND NOT (k.taken AND k.equal)
        RETURNING a.id
    ), touched AS (
        UPDATE touches t SET lead_id = :target
         WHERE t.tenant_id = :tenant_id AND t.lead_id = :source AND NOT EXISTS (
               SELECT 1 FROM touches k WHERE k.tenant_id = :tenant_id AND k.lead_id = :target
                  AND k.submission_id = t.submission_id)
        RETURNING t.id
    ), consented AS (
        UPDATE consents c SET lead_id = :target
         WHERE c.tenant_id = :tenant_id AND c.lead_id = :source AND NOT EXISTS (
               SELECT 1 FROM consents k WHERE k.tenant_id = :tenant_id AND k.lead_id = :target
                  AND k.purpose = c.purpose AND k.submission_id = c.submission_id)
        RETURNING c.id
    ), confirmed AS (
        UPDATE bant b SET lead_id = :target WHERE b.tenant_id = :tenant_id AND b.lead_id = :source RETURNING b.id
    ), submitted AS (
        UPDATE submission_items i SET lead_id = :target WHERE i.tenant_id = :tenant_id AND i.lead_id = :source
        RETURNING i.submission_id, i.index
    ), named AS (
        UPDATE identities i SET lead_id = :target, "primary" = i."primary" AND i.kind <> ALL(:kinds)
         WHERE i.tenant_id = :tenant_id AND i.lead_id = :source
    ), shared AS (
        UPDATE shared_identities s SET lead_id = :target, "primary" = s."primary" AND s.kind <> ALL(:kinds)
         WHERE s.tenant_id = :tenant_id AND s.lead_id = :source AND NOT EXISTS (
               SELECT 1 FROM shared_identities k WHERE k.tenant_id = :tenant_id AND k.kind = s.kind
                  AND k.value = s.value AND k.lead_id = :target)
    )
    SELECT (SELECT coalesce(array_agg(id), '{}') FROM (
                TABLE acted UNION ALL TABLE touched UNION ALL TABLE consented UNION ALL TABLE confirmed) m) AS moved,
           (SELECT coalesce(jsonb_agg(jsonb_build_object('submission_id', submission_id, 'index', index)), '[]')
              FROM submitted) AS submission_items
    """
).bindparams(*BOTH, bindparam("kinds", type_=ARRAY(Text)))
# With an item go its duplicates.
MOVE_BACK = text(
    """
    WITH acted AS (
        UPDATE activities SET lead_id = :target, activity_key = replace(activity_key, '#' || id, '')
         WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND lead_id = :source
    ), touched AS (
        UPDATE touches SET lead_id = :target WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND lead_id = :source
    ), consented AS (
        UPDATE consents SET lead_id = :target WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND lead_id = :source
    ), confirmed AS (
        UPDATE bant SET lead_id = :target WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND lead_id = :source
    ), asked AS (
        UPDATE consent_requests SET lead_id = :target
         WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND lead_id = :source
    ), submitted AS (
        UPDATE submission_items i SET lead_id = :target
          FROM (SELECT m.*, i.source_id, i.submission_key
                  FROM jsonb_to_recordset(:submission_items) AS m(submission_id uuid, index integer)
                  JOIN submission_items i ON i.tenant_id = :tenant_id AND i.submission_id = m.submission_id
                       AND i.index = m.index) m
         WHERE i.tenant_id = :tenant_id AND i.lead_id = :source
           AND (i.submission_id = m.submission_id AND i.index = m.index
                OR i.source_id = m.source_id AND i.submission_key = m.submission_key)
    ), named AS (
        UPDATE identities i SET lead_id = :target, "primary" = m."primary"
          FROM jsonb_to_recordset(:identities) AS m(kind text, namespace text, value text, "primary" boolean)
         WHERE i.tenant_id = :tenant_id AND i.kind = m.kind AND i.namespace = m.namespace AND i.value = m.value
           AND i.lead_id = :source
    ), shared AS (
        UPDATE shared_identities s SET lead_id = :target, "primary" = m."primary"
          FROM jsonb_to_recordset(:identities) AS m(kind text, value text, "primary" boolean, moved boolean)
         WHERE s.tenant_id = :tenant_id AND s.kind = m.kind AND s.value = m.value AND s.lead_id = :source AND m.moved
    )
    SELECT true
    """
).bindparams(*BOTH, IDS, bindparam("submission_items", type_=JSONB), bindparam("identities", type_=JSONB))
# Activities that a lead still merged has as well take the place of those that went back with another one.
FILL_GAPS = text(
    """
    WITH left_over AS (
        SELECT DISTINCT ON (a.activity_key, a.source_id) a.id, m.id AS merge_id
          FROM lead_merges m
          JOIN activities a ON a.tenant_id = :tenant_id AND a.lead_id = m.merged_id
         WHERE m.tenant_id = :tenant_id AND m.survivor_id = :lead_id AND m.unmerged_at IS NULL AND m.id <> :merge_id
           AND NOT EXISTS (SELECT 1 FROM activities k WHERE k.tenant_id = :tenant_id AND k.lead_id = :lead_id
                              AND k.activity_key = a.activity_key)
         ORDER BY a.activity_key, a.source_id, m.merged_at
    ), acted AS (
        UPDATE activities a SET lead_id = :lead_id FROM left_over l WHERE a.tenant_id = :tenant_id AND a.id = l.id
    )
    UPDATE lead_merges m SET moved = m.moved || l.ids
      FROM (SELECT merge_id, array_agg(id) AS ids FROM left_over GROUP BY merge_id) l
     WHERE m.tenant_id = :tenant_id AND m.id = l.merge_id
    """
).bindparams(*(bindparam(name, type_=Uuid) for name in ("tenant_id", "lead_id", "merge_id")))
# First to numbers below zero, since a number is unique among the journeys of a lead at any time.
NUMBER_JOURNEYS = text(
    """
    UPDATE journeys j SET lead_id = m.lead_id, number = -m.number
      FROM jsonb_to_recordset(:journeys) AS m(id uuid, lead_id uuid, number integer)
     WHERE j.tenant_id = :tenant_id AND j.id = m.id
    """
).bindparams(bindparam("journeys", type_=JSONB), bindparam("tenant_id", type_=Uuid))
ABOVE_ZERO = text(
    "UPDATE journeys SET number = -number WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND number < 0"
).bindparams(IDS)
FOLLOW_JOURNEYS = text(
    """
    WITH moved AS (
        UPDATE transitions SET lead_id = :target
         WHERE tenant_id = :tenant_id AND lead_id = :source AND journey_id = ANY(:ids)
    ), clocked AS (
        UPDATE clock_runs SET lead_id = :target
         WHERE tenant_id = :tenant_id AND lead_id = :source AND journey_id = ANY(:ids)
    ), reached AS (
        UPDATE milestones SET lead_id = :target
         WHERE tenant_id = :tenant_id AND lead_id = :source AND journey_id = ANY(:ids)
    )
    UPDATE conversions SET lead_id = :target
     WHERE tenant_id = :tenant_id AND lead_id = :source AND journey_id = ANY(:ids)
    """
).bindparams(*BOTH, IDS)
CONVERTED_SINCE = text(
    """
    SELECT DISTINCT ON (lead_id) lead_id, account_id, contact_id, opportunity_id FROM conversions
     WHERE tenant_id = :tenant_id AND lead_id = ANY(:lead_ids) AND recorded_at >= :since AND reverted_at IS NULL
     ORDER BY lead_id, recorded_at DESC
    """
).bindparams(bindparam("lead_ids", type_=ARRAY(Uuid)), bindparam("since", type_=DateTime(timezone=True)))
# Refusals that somebody recorded of the lead itself: of which of the two people cannot be told.
REFUSED_SINCE = text(
    """
    SELECT id FROM consents
     WHERE tenant_id = :tenant_id AND lead_id = :lead_id AND recorded_at > :since
       AND state IN ('refused', 'withdrawn') AND source_id IS NULL AND submission_id IS NULL
    """
).bindparams(bindparam("lead_id", type_=Uuid), bindparam("since", type_=DateTime(timezone=True)))
LIVE_MERGE = text(
    "SELECT * FROM lead_merges WHERE tenant_id = :tenant_id AND merged_id = :lead_id AND unmerged_at IS NULL"
)
WRITE_MERGE = text(
    """
    INSERT INTO lead_merges (tenant_id, id, merged_id, survivor_id, moved, submission_items, identities, filled,
                             closed_journey_id, actor, merged_at)
    VALUES (:tenant_id, :id, :merged_id, :survivor_id, :moved, :submission_items, :identities, :filled,
            :closed_journey_id, :actor, :merged_at)
    """
).bindparams(
    *(bindparam(name, type_=Uuid) for name in ("id", "merged_id", "survivor_id", "closed_journey_id")),
    *(bindparam(name, type_=JSONB) for name in ("submission_items", "identities", "filled", "actor")),
    bindparam("moved", type_=ARRAY(Uuid)),
    bindparam("merged_at", type_=DateTime(timezone=True)),
)
END_MERGE = text("UPDATE lead_merges SET unmerged_at = :now WHERE tenant_id = :tenant_id AND id = :id").bindparams(
    bindparam("now", type_=DateTime(timezone=True))
)
DECIDE = text(
    """
    UPDATE duplicates SET state = :state, version = version + 1, decided_by = :decided_by, decided_at = :decided_at,
           updated_at = :now
     WHERE tenant_id = :tenant_id AND one_id = :one_id AND other_id = :other_id AND state <> :state
    """
).bindparams(
    bindparam("decided_by", type_=JSONB(none_as_null=True)),
    *(bindparam(name, type_=DateTime(timezone=True)) for name in ("decided_at", "now")),
    *(bindparam(name, type_=Uuid) for name in ("tenant_id", "one_id", "other_id")),
)
LEADS_WITH_PHONE = text(
    """
    SELECT s.lead_id FROM shared_identities s
      JOIN leads l ON l.tenant_id = s.tenant_id AND l.id = s.lead_id AND l.erased_at IS NULL
           AND (l.merged_into IS NULL OR l.id = :besides)
     WHERE s.tenant_id = :tenant_id AND s.kind = 'phone' AND s.value = :value AND s.lead_id <> ALL(:without) LIMIT 1
    """
).bindparams(bindparam("besides", type_=Uuid), bindparam("without", type_=ARRAY(Uuid)))


async def identity_keys(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> set[tuple[str, str, str]]:
    """The identities of these leads, as they are locked."""
    rows = await tx.execute(IDENTITY_KEYS, {"tenant_id": tenant_id, "ids": list(lead_ids)})
    return {(row.kind, row.namespace, row.value) for row in rows}


async def move(tx: Tx, tenant_id: UUID, source: UUID, target: UUID, kinds: Sequence[str]) -> Record:
    """Moves what one lead has and the other has not: the ids of what was `moved`, and the `submission_items`.

    `kinds`: the kinds of identity of which the other has a primary one already.
    """
    values = {"tenant_id": tenant_id, "source": source, "target": target, "kinds": list(kinds)}
    return (await tx.execute(MOVE, values)).one()


async def move_back(tx: Tx, tenant_id: UUID, merge: Record) -> None:
    """Gives back what a merge has moved, as far as the lead that remained still has it."""
    values = {"source": merge.survivor_id, "target": merge.merged_id, "ids": merge.moved}
    rows = {"submission_items": merge.submission_items, "identities": merge.identities}
    await tx.execute(MOVE_BACK, {"tenant_id": tenant_id, **values, **rows})
    await tx.execute(FILL_GAPS, {"tenant_id": tenant_id, "lead_id": merge.survivor_id, "merge_id": merge.id})


async def place_journeys(tx: Tx, tenant_id: UUID, journeys: Sequence[Mapping[str, Any]]) -> None:
    """Gives journeys their leads and numbers."""
    await tx.execute(NUMBER_JOURNEYS, {"tenant_id": tenant_id, "journeys": list(journeys)})
    await tx.execute(ABOVE_ZERO, {"tenant_id": tenant_id, "ids": [one["id"] for one in journeys]})


async def follow_journeys(tx: Tx, tenant_id: UUID, source: UUID, target: UUID, journeys: Sequence[UUID]) -> None:
    """Moves transitions, milestones and conversions with their journeys."""
    if journeys:
        values = {"tenant_id": tenant_id, "source": source, "target": target, "ids": list(journeys)}
        await tx.execute(FOLLOW_JOURNEYS, values)


async def converted_since(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID], since: datetime) -> dict[UUID, Record]:
    """The last conversion of each lead that was made since then, with what it links to."""
    values = {"tenant_id": tenant_id, "lead_ids": list(lead_ids), "since": since}
    return {row.lead_id: row for row in await tx.execute(CONVERTED_SINCE, values)}


async def refused_since(tx: Tx, tenant_id: UUID, lead_id: UUID, since: datetime) -> list[UUID]:
    """The entries of the consent log of a lead since then that refuse, and came neither by a form nor by a source."""
    rows = await tx.execute(REFUSED_SINCE, {"tenant_id": tenant_id, "lead_id": lead_id, "since": since})
    return [row.id for row in rows]


async def live_merge(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Record | None:
    """The merge that this lead went by, unless it was undone."""
    return (await tx.execute(LIVE_MERGE, {"tenant_id": tenant_id, "lead_id": lead_id})).one_or_none()


async def write_merge(tx: Tx, tenant_id: UUID, merge: Mapping[str, Any]) -> None:
    """Keeps what a merge has moved and filled."""
    await tx.execute(WRITE_MERGE, {"tenant_id": tenant_id, **merge})


async def end_merge(tx: Tx, tenant_id: UUID, merge_id: UUID, now: datetime) -> None:
    """Marks a merge as undone."""
    await tx.execute(END_MERGE, {"tenant_id": tenant_id, "id": merge_id, "now": now})


async def decide_pair(
    tx: Tx, tenant_id: UUID, pair: tuple[UUID, UUID], state: str, actor: Mapping[str, Any] | None, now: datetime
) -> None:
    """Sets the state of a pair of possible duplicates, if it is stored: who decided, or None for an open one."""
    values = {"one_id": pair[0], "other_id": pair[1], "state": state, "decided_by": actor, "now": now}
    await tx.execute(DECIDE, {"tenant_id": tenant_id, **values, "decided_at": now if actor else None})


async def duplicate(tx: Tx, tenant_id: UUID, duplicate_id: UUID) -> Record | None:
    """One pair of possible duplicates."""
    rows = _pairs(tenant_id).where(duplicates.c.id == duplicate_id)
    return (await tx.execute(rows)).one_or_none()


async def list_duplicates(tx: Tx, tenant_id: UUID, page: Page, filters: Mapping[str, Any]) -> Records:
    """Pairs in this state, of leads that are leads of their own unless the pair was merged."""
    await tx.plan_for_values()
    rows = _pairs(tenant_id).where(duplicates.c.state == filters["state"])
    if filters["lead_id"] is not None:
        rows = rows.where(or_(*(duplicates.c[name] == filters["lead_id"] for name in ("one_id", "other_id"))))
    if filters["min_score"] is not None:
        rows = rows.where(duplicates.c.score >= filters["min_score"])
    if filters["state"] != "merged":
        rows = rows.where(*(lead.c[name].is_(None) for lead in (ONE, OTHER) for name in ("merged_into", "erased_at")))
    return (await tx.execute(page.statement(rows, duplicates))).all()


def _pairs(tenant_id: UUID) -> Select[Any]:
    shown = [
        lead.c[name].label(f"{prefix}_{name}")
        for prefix, lead in (("one", ONE), ("other", OTHER))
        for name in ("fields", "stage", "created_at", "merged_into")
    ]
    joined = duplicates.join(ONE, (ONE.c.tenant_id == tenant_id) & (ONE.c.id == duplicates.c.one_id)).join(
        OTHER, (OTHER.c.tenant_id == tenant_id) & (OTHER.c.id == duplicates.c.other_id)
    )
    return select(duplicates, *shown).select_from(joined).where(duplicates.c.tenant_id == tenant_id)


async def has_other_phone_holder(
    tx: Tx, tenant_id: UUID, value: str, without: Sequence[UUID], besides: UUID | None
) -> bool:
    """Whether a lead besides these has the number. `besides`: a lead that is about to be one of its own again."""
    values = {"tenant_id": tenant_id, "value": value, "without": list(without), "besides": besides}
    return bool((await tx.execute(LEADS_WITH_PHONE, values)).all())
