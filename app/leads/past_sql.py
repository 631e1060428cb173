"""Statements about what leads were before: at an instant, or before a change."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.transaction import Record, Records, Tx
from app.events.sql import SCORED
from app.leads.consent_sql import COUNTING_LAST
from app.leads.held import PRESENT, Held

HELD = (bindparam("lost", type_=ARRAY(Uuid)), bindparam("gained", type_=ARRAY(Uuid)))

# What a touch says beside the door through which it came; the order of touches is that of `attribution.weight`.
SAID = """
    SELECT CASE WHEN t.attribution ->> 'channel' IN ('web_form', 'import', 'api') THEN t.attribution - 'channel'
                ELSE t.attribution END AS said
"""
# What differed at an instant. `undone` holds the old values of the later changes, the latest change first; `all_kept`
# is false where the first release recorded one of them, which did not keep all of these. `computed` is what the last
# event until then says of the score. Rows that a merge has moved to or from the lead since are `gained` and `lost`.
PAST = text(
    """
    SELECT (SELECT jsonb_agg(c.before ORDER BY c.version DESC) FROM lead_changes c
             WHERE c.tenant_id = l.tenant_id AND c.lead_id = l.id AND c.recorded_at > :at) AS undone,
           (SELECT jsonb_agg(jsonb_build_array(i.kind, i.namespace, i.value))
              FROM (SELECT kind, namespace, value, tenant_id, lead_id, added_at FROM identities UNION ALL
                    SELECT kind, '', value, tenant_id, lead_id, added_at FROM shared_identities) i
             WHERE i.tenant_id = l.tenant_id AND i.lead_id = l.id AND i.added_at > :at) AS later_identities,
           (SELECT jsonb_object_agg(c.purpose, c.state
                                   ORDER BY {COUNTING_LAST}) FROM consents c
             WHERE c.tenant_id = l.tenant_id AND (c.lead_id = l.id AND c.id <> ALL(:lost) OR c.id = ANY(:gained))
               AND c.recorded_at <= :at) AS consents,
           (SELECT a.policy_id FROM activations a WHERE a.tenant_id = l.tenant_id AND a.at <= :at
             ORDER BY a.at DESC LIMIT 1) AS active_policy_id,
           first.attribution AS first_touch, last.attribution AS last_touch, latest.version,
           latest.recorded_at AS updated_at, told.computed, live.account_id, live.contact_id, live.opportunity_id,
           (SELECT e.lead_version FROM {SCORED} e WHERE e.tenant_id = l.tenant_id AND e.lead_id = l.id
               AND e.recorded_at > :at
               AND e.lead_computed IS NULL ORDER BY e.lead_version DESC LIMIT 1) IS NULL AS all_kept
      FROM leads l
      LEFT JOIN LATERAL (SELECT t.attribution FROM touches t CROSS JOIN LATERAL ({SAID}) s
                          WHERE t.tenant_id = l.tenant_id
                            AND (t.lead_id = l.id AND t.id <> ALL(:lost) OR t.id = ANY(:gained))
                            AND t.recorded_at <= :at
                          ORDER BY s.said = '{}', t.attribution = '{}', t.recorded_at, t.id LIMIT 1) first ON true
      LEFT JOIN LATERAL (SELECT t.attribution FROM touches t CROSS JOIN LATERAL ({SAID}) s
                          WHERE t.tenant_id = l.tenant_id
                            AND (t.lead_id = l.id AND t.id <> ALL(:lost) OR t.id = ANY(:gained))
                            AND t.recorded_at <= :at
                          ORDER BY s.said = '{}', s.said - '{landing_page,form_id,visitor_id}'::text[] = '{}',
                                   t.attribution = '{}', t.recorded_at DESC, t.id DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (SELECT e.lead_version AS version, e.recorded_at, e.lead_computed AS computed
                           FROM {SCORED} e
                          WHERE e.tenant_id = l.tenant_id AND e.lead_id = l.id AND e.recorded_at <= :at
                          ORDER BY e.lead_version DESC LIMIT 1) told ON true
      LEFT JOIN LATERAL (SELECT c.version, c.recorded_at FROM lead_changes c WHERE c.tenant_id = l.tenant_id
                            AND c.lead_id = l.id AND c.recorded_at <= :at AND c.version > COALESCE(told.version, 0)
                         UNION ALL SELECT told.version, told.recorded_at
                          ORDER BY version DESC NULLS LAST LIMIT 1) latest ON true
      LEFT JOIN LATERAL (SELECT c.account_id, c.contact_id, c.opportunity_id FROM conversions c
                          WHERE c.tenant_id = l.tenant_id AND c.recorded_at <= :at
                            AND c.lead_id = ANY(ARRAY(SELECT l.id UNION SELECT j.lead_id FROM journeys j
                                 WHERE j.tenant_id = :tenant_id AND j.id = ANY(:gained)))
                            AND (c.lead_id = l.id AND c.journey_id <> ALL(:lost) OR c.journey_id = ANY(:gained))
                            AND (c.reverted_at IS NULL OR c.reverted_at > :at)
                          ORDER BY c.recorded_at DESC, c.id DESC LIMIT 1) live ON true
     WHERE l.tenant_id = :tenant_id AND l.id = :lead_id
    """.replace("{SAID}", SAID)
    .replace("{COUNTING_LAST}", COUNTING_LAST)
    .replace("{SCORED}", SCORED)
).bindparams(*HELD)
ACTIVITIES_UNTIL = text(
    """
    SELECT id, type, kind, occurred_at, recorded_at, activity_key, source_id FROM activities
     WHERE tenant_id = :tenant_id AND (lead_id = :lead_id AND id <> ALL(:lost) OR id = ANY(:gained))
       AND recorded_at <= :at
     ORDER BY occurred_at DESC LIMIT 500
    """
).bindparams(*HELD)
MERGES_OF = text(
    """
    SELECT * FROM lead_merges WHERE tenant_id = :tenant_id AND merged_id = :lead_id
    UNION
    SELECT * FROM lead_merges WHERE tenant_id = :tenant_id AND survivor_id = :lead_id
    """
)
# What versions replaced, and what time alone changes, as of some of them: of that the last event of each has it.
VERSIONS_SINCE = text(
    """
    SELECT c.lead_id, c.version, c.before, NULL::jsonb AS computed
      FROM jsonb_to_recordset(:wanted) AS w(lead_id uuid, oldest integer)
      JOIN LATERAL (SELECT * FROM lead_changes c WHERE c.tenant_id = :tenant_id AND c.lead_id = w.lead_id
                       AND c.version >= w.oldest) c ON true
    UNION ALL
    SELECT w.lead_id, w.version, NULL, e.lead_computed
      FROM jsonb_to_recordset(:computed) AS w(lead_id uuid, version bigint)
      JOIN LATERAL (SELECT lead_computed FROM events e WHERE e.tenant_id = :tenant_id AND e.lead_id = w.lead_id
                       AND e.lead_version = w.version AND e.tx_index = e.tx_size LIMIT 1) e ON true
     WHERE e.lead_computed IS NOT NULL
    """
).bindparams(*(bindparam(name, type_=JSONB) for name in ("wanted", "computed")), bindparam("tenant_id", type_=Uuid))
# The versions that changed fields, the latest first, with the first touch of that instant. The last row is the making
# of the lead, whose actor is that of its first transition.
FIELD_CHANGES = text(
    """
    SELECT c.version, c.recorded_at, c.actor, c.fields, c.custom, c.origins, t.source_id, t.submission_id
      FROM (SELECT version, recorded_at, actor, before -> 'fields' AS fields, before -> 'custom' AS custom, origins
              FROM lead_changes
             WHERE tenant_id = :tenant_id AND lead_id = :lead_id AND version > 1
               AND before ?| ARRAY['fields', 'custom']
            UNION ALL
            SELECT 1, l.created_at, (SELECT s.actor FROM transitions s WHERE s.tenant_id = :tenant_id
                                        AND s.lead_id = :lead_id ORDER BY s.recorded_at, s.seq LIMIT 1), NULL, NULL,
                   (SELECT c.origins FROM lead_changes c WHERE c.tenant_id = :tenant_id AND c.lead_id = :lead_id
                       AND c.version = 1)
              FROM leads l WHERE l.tenant_id = :tenant_id AND l.id = :lead_id) c
      LEFT JOIN LATERAL (SELECT t.source_id, t.submission_id FROM touches t WHERE t.tenant_id = :tenant_id
                            AND t.lead_id = :lead_id AND t.recorded_at = c.recorded_at ORDER BY t.id LIMIT 1) t ON true
     ORDER BY c.version DESC
    """
)


async def past(tx: Tx, tenant_id: UUID, lead_id: UUID, at: datetime, held: Held = PRESENT) -> Record:
    """What differed in an existing lead at an instant."""
    bound = {"tenant_id": tenant_id, "lead_id": lead_id, "at": at, "lost": held.lost, "gained": held.gained}
    return (await tx.execute(PAST, bound)).one()


async def merges_of(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Records:
    """All merges of the lead into another one and of others into it, those that were undone too."""
    return (await tx.execute(MERGES_OF, {"tenant_id": tenant_id, "lead_id": lead_id})).all()


async def versions_since(
    tx: Tx, tenant_id: UUID, oldest: Mapping[UUID, int], computed: Collection[tuple[UUID | None, int | None]]
) -> Records:
    """What each version of these leads replaced, from the given oldest version of each lead on; and as rows of their
    own what time alone changes, as of the `computed` versions: none for those of the first release."""
    since = [{"lead_id": lead_id, "oldest": version} for lead_id, version in oldest.items()]
    named = [{"lead_id": lead_id, "version": version} for lead_id, version in computed]
    values = {"tenant_id": tenant_id, "wanted": since, "computed": named}
    return (await tx.execute(VERSIONS_SINCE, values)).all()


async def field_changes(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Records:
    """The old values of each version that changed fields, and from where the new ones came; the latest first."""
    return (await tx.execute(FIELD_CHANGES, {"tenant_id": tenant_id, "lead_id": lead_id})).all()


async def activities_until(tx: Tx, tenant_id: UUID, lead_id: UUID, at: datetime, held: Held = PRESENT) -> Records:
    """The latest 500 activities recorded by an instant, with the columns that rules use."""
    bound = {"tenant_id": tenant_id, "lead_id": lead_id, "at": at, "lost": held.lost, "gained": held.gained}
    return (await tx.execute(ACTIVITIES_UNTIL, bound)).all()
