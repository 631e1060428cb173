"""Items of submissions say when the record that they name is fetched.

Revision ID: 0019_fetched_records
Revises: 0017_dead_letters

All steps can be repeated, since they commit as they go. Old code leaves the new columns alone: nothing is fetched.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019_fetched_records"
down_revision = "0017_dead_letters"
branch_labels = None
depends_on = None

INDEX = "submission_items_fetch_at_idx"


def upgrade() -> None:
    op.add_column(
        "submission_items", sa.Column("fetch_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True
    )
    op.add_column(
        "submission_items",
        sa.Column("fetch_tries", sa.Integer(), nullable=False, server_default="0"),
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # an interrupted build leaves one that is not valid
        op.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} ON submission_items (tenant_id, fetch_at)"
            " WHERE fetch_at IS NOT NULL"
        )
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
    op.drop_column("submission_items", "fetch_tries", if_exists=True)
    op.drop_column("submission_items", "fetch_at", if_exists=True)
