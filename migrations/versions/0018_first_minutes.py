"""Rows of a new database are found by primary key from the first one on.

Revision ID: 0018_first_minutes
Revises: 0015_fair_among_tenants

Where a table has no rows yet, all of its indexes look equally good to the planner, which then takes the newest: such
a plan reads all rows of the tenant for each foreign key that is checked, until the first ANALYZE. So the primary keys
that foreign keys refer to are built once more, as the newest indexes of these tables.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0018_first_minutes"
down_revision = "0015_fair_among_tenants"
branch_labels = None
depends_on = None

REFERENCED = sa.text(
    "SELECT DISTINCT t.relname FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid"
    " WHERE c.contype = 'f' AND t.relnamespace = current_schema()::regnamespace ORDER BY 1"
)


def has_rows(table: str) -> sa.Exists:
    return sa.exists().select_from(sa.table(table))


def upgrade() -> None:
    if context.is_offline_mode():
        return
    connection = op.get_bind()
    tables = connection.scalars(REFERENCED).all()
    empty = [table for table in tables if not connection.scalar(sa.select(has_rows(table)))]
    with op.get_context().autocommit_block():
        for table in empty:
            op.execute(f"REINDEX INDEX CONCURRENTLY {table}_pkey")


def downgrade() -> None:
    """The indexes stay as they are."""
