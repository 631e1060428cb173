"""What reports of response, of time in a stage and of idle accounts read: states of clocks before, and indexes.

Revision ID: 0043_reports_of_clocks
Revises: 0038_console_sessions

Columns that old code leaves empty, and indexes. All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0043_reports_of_clocks"
down_revision = "0038_console_sessions"
branch_labels = None
depends_on = None

INDEXES = {
    "transitions_occurred_at_idx": "transitions (tenant_id, occurred_at)",
    "milestones_voided_idx": "milestones (tenant_id, journey_id) WHERE voided_at IS NOT NULL",
    "conversions_account_id_idx": "conversions (tenant_id, account_id) WHERE account_id IS NOT NULL",
}


def upgrade() -> None:
    for column in (
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("past", postgresql.JSONB(), server_default=sa.text("'[]'::jsonb"), nullable=False),
    ):
        op.add_column("clock_runs", column, if_not_exists=True)
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
    for name in ("past", "changed_at", "team"):
        op.drop_column("clock_runs", name, if_exists=True)
