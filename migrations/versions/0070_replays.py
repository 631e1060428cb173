"""Replays: events that are sent to a subscription once more.

Revision ID: 0070_replays
Revises: 0067_summaries
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0070_replays"
down_revision = "0067_summaries"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """All steps can be repeated."""
    op.create_table(
        "replays",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("types", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("lead_ids", JSONB()),
        sa.Column("only", sa.Text(), nullable=False),
        sa.Column("rate", sa.Float()),
        sa.Column("after_position", sa.BigInteger(), nullable=False),
        sa.Column("to_position", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("ahead", JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("sent", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("failed", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.Text(), server_default=sa.text("'pending'"), nullable=False),
        sa.Column("state_reason", sa.Text()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "subscription_id"],
            ["subscriptions.tenant_id", "subscriptions.id"],
            name=op.f("replays_tenant_id_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("replays_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "replays_list_idx", "replays", ["tenant_id", "subscription_id", "created_at", "id"], if_not_exists=True
    )
    op.create_index(
        "replays_active_idx",
        "replays",
        ["tenant_id", "subscription_id"],
        postgresql_where=sa.text("state IN ('pending', 'running')"),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("replays")
