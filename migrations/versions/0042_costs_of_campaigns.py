"""What campaigns cost, and the index of journeys by their beginning.

Revision ID: 0042_costs_of_campaigns
Revises: 0039_less_room

A new table and an index, which old code does not know. All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0042_costs_of_campaigns"
down_revision = "0039_less_room"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "campaign_costs",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("campaign", sa.Text(), nullable=False),
        sa.Column("from_on", sa.Date(), nullable=False),
        sa.Column("to_on", sa.Date(), nullable=False),
        sa.Column("amount", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("actor", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="campaign_costs_pkey"),
        if_not_exists=True,
    )
    for name, column in (("from_on", "from_on"), ("campaign", sa.text("md5(campaign)"))):
        op.create_index(f"campaign_costs_{name}_idx", "campaign_costs", ["tenant_id", column], if_not_exists=True)
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS journeys_opened_at_idx")  # an interrupted build is not valid
        op.execute("CREATE INDEX CONCURRENTLY IF NOT EXISTS journeys_opened_at_idx ON journeys (tenant_id, opened_at)")
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS journeys_opened_at_idx")
    op.drop_table("campaign_costs", if_exists=True)
