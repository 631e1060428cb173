"""What a conversion replaced, so that its revert can put it back, and the conversions of an opportunity.

Revision ID: 0047_reverts
Revises: 0045_long_campaigns

A column that old code leaves empty, and an index. All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0047_reverts"
down_revision = "0045_long_campaigns"
branch_labels = None
depends_on = None

INDEX = "conversions_opportunity_id_idx"


def upgrade() -> None:
    op.add_column("conversions", sa.Column("replaced", postgresql.JSONB(), nullable=True), if_not_exists=True)
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # an interrupted build leaves one that is not valid
        op.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} ON conversions (tenant_id, opportunity_id)"
            " WHERE opportunity_id IS NOT NULL"
        )
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
    op.drop_column("conversions", "replaced", if_exists=True)
