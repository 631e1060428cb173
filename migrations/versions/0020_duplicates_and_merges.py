"""Possible duplicates are stored with a verdict, and merges of leads with what they moved (docs/decisions/0041).

Revision ID: 0020_duplicates_and_merges
Revises: 0019_fetched_records

New tables only: old code does not read them. The steps can be repeated.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020_duplicates_and_merges"
down_revision = "0019_fetched_records"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "match_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        _lead("match_keys", "lead_id"),
        sa.PrimaryKeyConstraint("tenant_id", "key", "lead_id", name="match_keys_pkey"),
        if_not_exists=True,
    )
    op.create_index("match_keys_lead_id_idx", "match_keys", ["tenant_id", "lead_id"], if_not_exists=True)
    op.create_table(
        "duplicates",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("one_id", sa.Uuid(), nullable=False),
        sa.Column("other_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("score", sa.SmallInteger(), nullable=False),
        sa.Column("reasons", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("decided_by", postgresql.JSONB(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        _lead("duplicates", "one_id"),
        _lead("duplicates", "other_id"),
        sa.CheckConstraint("one_id < other_id", name=op.f("duplicates_order_check")),
        sa.CheckConstraint("state IN ('open', 'not_duplicate', 'merged')", name=op.f("duplicates_state_check")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="duplicates_pkey"),
        if_not_exists=True,
    )
    op.create_index(
        "duplicates_pair_key", "duplicates", ["tenant_id", "one_id", "other_id"], unique=True, if_not_exists=True
    )
    op.create_index("duplicates_other_id_idx", "duplicates", ["tenant_id", "other_id"], if_not_exists=True)
    op.create_index(
        "duplicates_state_idx", "duplicates", ["tenant_id", "state", "created_at", "id"], if_not_exists=True
    )
    op.create_index("duplicates_score_idx", "duplicates", ["tenant_id", "state", "score"], if_not_exists=True)
    op.create_index("duplicates_created_at_idx", "duplicates", ["tenant_id", "created_at", "id"], if_not_exists=True)
    op.create_table(
        "lead_merges",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("merged_id", sa.Uuid(), nullable=False),
        sa.Column("survivor_id", sa.Uuid(), nullable=False),
        sa.Column("moved", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("submission_items", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("identities", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("filled", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("closed_journey_id", sa.Uuid(), nullable=True),
        sa.Column("actor", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("unmerged_at", sa.DateTime(timezone=True), nullable=True),
        _lead("lead_merges", "merged_id"),
        _lead("lead_merges", "survivor_id"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="lead_merges_pkey"),
        if_not_exists=True,
    )
    live = sa.text("unmerged_at IS NULL")
    columns = ["tenant_id", "merged_id"]
    op.create_index(
        "lead_merges_live_key", "lead_merges", columns, unique=True, postgresql_where=live, if_not_exists=True
    )
    op.create_index("lead_merges_merged_id_idx", "lead_merges", [*columns, "merged_at"], if_not_exists=True)
    op.create_index(
        "lead_merges_survivor_id_idx", "lead_merges", ["tenant_id", "survivor_id", "merged_at"], if_not_exists=True
    )


def _lead(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column], ["leads.tenant_id", "leads.id"], name=f"{table}_{column}_fkey"
    )


def downgrade() -> None:
    for table in ("lead_merges", "duplicates", "match_keys"):
        op.drop_table(table, if_exists=True)
