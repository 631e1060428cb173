"""Leads that may be one person, by what they are looked for, and the journal of merges (docs/decisions/0041)."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, SmallInteger, Uuid, func
from sqlalchemy.dialects.postgresql import ARRAY

from app.database.tables.columns import (
    id_column,
    instant,
    jsonb,
    list_indexes,
    string,
    tenant_foreign_key,
    tenant_table,
    timestamps,
    transaction_id,
    uuid,
    version,
)

# Keys by which leads are found that may be one person, although no identity is equal (app/matching/likeness.py).
match_keys = tenant_table(
    "match_keys",
    string("key", null=False, primary_key=True),
    uuid("lead_id", null=False, primary_key=True),
    tenant_foreign_key("leads", "lead_id"),
)

# Leads whose keys of likeness one transaction wrote, until they are compared once more: when all transactions before
# `written_by`, the id of that one, have ended (docs/decisions/0087).
likeness_checks = tenant_table(
    "likeness_checks",
    transaction_id("written_by", primary_key=True),
    uuid("id", null=False, primary_key=True, server_default=func.gen_random_uuid()),
    Column("lead_ids", ARRAY(Uuid), nullable=False),
)

# A pair has one row, `one_id` the smaller id. `reasons`: [{reason, score}], those that a verdict was given on included.
duplicates = tenant_table(
    "duplicates",
    id_column(),
    version(),
    uuid("one_id", null=False),
    uuid("other_id", null=False),
    string("state", null=False, server_default="open"),
    Column("score", SmallInteger, nullable=False),
    jsonb("reasons", empty="[]"),
    jsonb("decided_by", null=True),
    instant("decided_at"),
    *timestamps(),
    tenant_foreign_key("leads", "one_id"),
    tenant_foreign_key("leads", "other_id"),
    CheckConstraint("one_id < other_id", name="order"),
    CheckConstraint("state IN ('open', 'not_duplicate', 'merged')", name="state"),
    Index("duplicates_pair_key", "tenant_id", "one_id", "other_id", unique=True),
    Index("duplicates_other_id_idx", "tenant_id", "other_id"),
    Index("duplicates_state_idx", "tenant_id", "state", "created_at", "id"),
    Index("duplicates_score_idx", "tenant_id", "state", "score"),
    *list_indexes("duplicates", "created_at"),
)

# What each merge moved from one lead to the other, so that it can be undone and history can tell both apart.
# `moved`: ids of activities, consents, touches, requests, BANT rows and journeys, also of what came since for the lead
# that was merged. `filled`: names of what the other took over, in `purposes` those of consents that it had itself,
# and in `since` what arrivals at both have said since.
lead_merges = tenant_table(
    "lead_merges",
    id_column(),
    uuid("merged_id", null=False),
    uuid("survivor_id", null=False),
    Column("moved", ARRAY(Uuid), nullable=False),
    jsonb("submission_items", empty="[]"),
    jsonb("identities", empty="[]"),
    jsonb("filled"),
    uuid("closed_journey_id"),
    jsonb("actor"),
    instant("merged_at", null=False),
    instant("unmerged_at"),
    tenant_foreign_key("leads", "merged_id"),
    tenant_foreign_key("leads", "survivor_id"),
    Index("lead_merges_live_key", "tenant_id", "merged_id", unique=True, postgresql_where="unmerged_at IS NULL"),
    Index("lead_merges_merged_id_idx", "tenant_id", "merged_id", "merged_at"),
    Index("lead_merges_survivor_id_idx", "tenant_id", "survivor_id", "merged_at"),
)
