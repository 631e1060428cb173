"""Waiting submissions and due leads are found by tenant, so that tenants are served in turn; tenants have limits.

Revision ID: 0015_fair_among_tenants
Revises: 0014_cost_of_lists

All steps can be repeated, since they commit as they go. submissions_received_idx stays for old code.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_fair_among_tenants"
down_revision = "0014_cost_of_lists"
branch_labels = None
depends_on = None

LIMITS = ("submissions_per_minute", "requests_per_minute", "in_flight")
INDEXES = {
    "submissions_waiting_idx": "submissions (tenant_id, received_at, id) WHERE state = 'received'",
    "leads_due_idx": "leads (tenant_id, evaluate_at) WHERE evaluate_at IS NOT NULL",
}


def upgrade() -> None:
    for name in LIMITS:
        op.add_column("tenants", sa.Column(name, sa.Integer(), nullable=True), if_not_exists=True)
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
    for name in LIMITS:
        op.drop_column("tenants", name, if_exists=True)
