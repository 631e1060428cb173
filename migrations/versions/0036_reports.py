"""What tenants set for reports, and the indexes that their windows need.

Revision ID: 0036_reports
Revises: 0029_backtests

A new table and indexes, which old code does not know. All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036_reports"
down_revision = "0029_backtests"
branch_labels = None
depends_on = None

INDEXES = {
    "milestones_reached_at_idx": "milestones (tenant_id, name, reached_at)",
    "opportunity_transitions_closed_idx": "opportunity_transitions (tenant_id, occurred_at)"
    " WHERE class IN ('won', 'lost')",
}


def upgrade() -> None:
    op.create_table(
        "report_settings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("document", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="report_settings_pkey"),
        if_not_exists=True,
    )
    op.create_index(
        "report_settings_recorded_at_idx",
        "report_settings",
        ["tenant_id", "recorded_at", "id"],
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an interrupted build leaves one that is not valid
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {definition}")
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.drop_table("report_settings", if_exists=True)
