"""What a conversion replaced, so that its revert can put it back, and indexes by which reverts are read.

Revision ID: 0047_reverts
Revises: 0045_long_campaigns

A column that old code leaves empty, and indexes. All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0047_reverts"
down_revision = "0045_long_campaigns"
branch_labels = None
depends_on = None

INDEXES = {
    "conversions_opportunity_id_idx": "conversions (tenant_id, opportunity_id) WHERE opportunity_id IS NOT NULL",
    "conversions_reverted_at_idx": "conversions (tenant_id, reverted_at) WHERE reverted_at IS NOT NULL",
}


def upgrade() -> None:
    op.add_column("conversions", sa.Column("replaced", postgresql.JSONB(), nullable=True), if_not_exists=True)
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
    op.drop_column("conversions", "replaced", if_exists=True)
