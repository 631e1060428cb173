"""Clocks run in business time, each run in a row, and journeys that stand in a stage for too long are told of.

Revision ID: 0026_clocks
Revises: 0025_sources_of_leads

A new table, and columns that old code leaves empty. All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0026_clocks"
down_revision = "0025_sources_of_leads"
branch_labels = None
depends_on = None

INSTANTS = ("met_at", "met_recorded_at", "stopped_at", "stopped_recorded_at", "breached_at")
INDEXES = {
    "clock_runs_journey_id_idx": ["tenant_id", "journey_id", "started_at"],
    "clock_runs_lead_id_idx": ["tenant_id", "lead_id"],
    "clock_runs_started_at_idx": ["tenant_id", "started_at"],
}
BY_STATE = "leads_by_sla_state_idx"


def upgrade() -> None:
    op.add_column("leads", sa.Column("sla_state", sa.Text(), nullable=True), if_not_exists=True)
    op.add_column("journeys", sa.Column("stalled_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True)
    op.create_table(
        "clock_runs",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("journey_id", sa.Uuid(), nullable=False),
        sa.Column("clock", sa.Text(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.Column("calendar", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=False) for name in ("started_at", "due_at")),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        *(sa.Column(name, sa.DateTime(timezone=True), nullable=True) for name in INSTANTS),
        sa.Column("business_minutes", sa.Integer(), nullable=True),
        *(_foreign_key(table, column) for table, column in (("leads", "lead_id"), ("journeys", "journey_id"))),
        _foreign_key("users", "owner_id"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="clock_runs_pkey"),
        if_not_exists=True,
    )
    for name, columns in INDEXES.items():
        op.create_index(name, "clock_runs", columns, if_not_exists=True)
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {BY_STATE}")  # an interrupted build leaves one that is not valid
        op.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {BY_STATE} ON leads (tenant_id, sla_state, created_at, id)"
            " WHERE sla_state <> 'met'"
        )
        op.execute("SET statement_timeout = '5min'")


def _foreign_key(table: str, column: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], name=f"clock_runs_tenant_id_{column}_fkey"
    )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {BY_STATE}")
    op.drop_table("clock_runs", if_exists=True)
    op.drop_column("journeys", "stalled_at", if_exists=True)
    op.drop_column("leads", "sla_state", if_exists=True)
