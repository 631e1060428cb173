"""Dead deliveries that stop their lead, what is asked for them, and when a failing subscription is disabled.

Revision ID: 0017_dead_letters
Revises: 0016_moved_lanes

These options have columns of their own: code before this revision refuses an unknown member of `limits`.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_dead_letters"
down_revision = "0016_moved_lanes"
branch_labels = None
depends_on = None

INDEXES = {
    "delivery_retries_request_idx": "(tenant_id, subscription_id, position) WHERE request IS NOT NULL",
    "delivery_retries_blocks_idx": "(tenant_id, subscription_id, order_key) WHERE blocks",
}


def upgrade() -> None:
    op.add_column(
        "subscriptions", sa.Column("on_dead", sa.Text(), server_default="skip", nullable=False), if_not_exists=True
    )
    op.add_column(
        "subscriptions",
        sa.Column("disable_after_days", sa.Integer(), server_default="5", nullable=False),
        if_not_exists=True,
    )
    op.add_column("delivery_retries", sa.Column("request", sa.Text(), nullable=True), if_not_exists=True)
    op.add_column(
        "delivery_retries",
        sa.Column("blocks", sa.Boolean(), server_default=sa.false(), nullable=False),
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an interrupted build leaves one that is not valid
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON delivery_retries {definition}")
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.drop_column("delivery_retries", "blocks", if_exists=True)
    op.drop_column("delivery_retries", "request", if_exists=True)
    op.drop_column("subscriptions", "disable_after_days", if_exists=True)
    op.drop_column("subscriptions", "on_dead", if_exists=True)
