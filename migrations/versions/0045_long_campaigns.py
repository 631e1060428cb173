"""Campaigns of any length: their indexes hold hashes, since a long text does not fit into one.

Revision ID: 0045_long_campaigns
Revises: 0042_costs_of_campaigns

Only indexes. While old code runs it filters leads by campaign without one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0045_long_campaigns"
down_revision = "0042_costs_of_campaigns"
branch_labels = None
depends_on = None

TOUCHES = ("first_touch", "last_touch")


def replace_indexes(old: str, new: str, key: str) -> None:
    """All steps can be repeated, since they commit as they go; a build that was interrupted is begun anew."""
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for touch in TOUCHES:
            name, column = f"leads_{touch}_campaign_{new}", key.format(f"{touch} ->> 'campaign'")
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON leads (tenant_id, {column}, created_at, id)")
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS leads_{touch}_campaign_{old}")
        op.execute("SET statement_timeout = '5min'")


def upgrade() -> None:
    replace_indexes("idx", "hash_idx", "md5({})")
    for table in () if context.is_offline_mode() else ("leads", "journeys"):
        # The newest index of a table without rows is the one that plans use (docs/decisions/0039); 0042 made one, too.
        if not op.get_bind().scalar(sa.select(sa.exists().select_from(sa.table(table)))):
            with op.get_context().autocommit_block():
                op.execute(f"REINDEX INDEX CONCURRENTLY {table}_pkey")


def downgrade() -> None:
    replace_indexes("hash_idx", "idx", "({})")
