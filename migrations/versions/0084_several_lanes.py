"""A subscription may be served by several lanes.

Revision ID: 0084_several_lanes
Revises: 0083_zones_that_are_places

All steps can be repeated.
"""

from __future__ import annotations

from alembic import op

revision = "0084_several_lanes"
down_revision = "0083_zones_that_are_places"
branch_labels = None
depends_on = None

INDEX = "lanes_several_idx"
COLUMNS = {
    "lane_count": "smallint NOT NULL DEFAULT 1",
    "reached": "bigint NOT NULL DEFAULT 0",
    "passed": "jsonb NOT NULL DEFAULT '{}'",
    "delivered_at": "timestamptz",
    "wanted": "boolean NOT NULL DEFAULT false",
}


def upgrade() -> None:
    op.execute("ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS lanes smallint NOT NULL DEFAULT 1")
    for name, kind in COLUMNS.items():
        op.execute(f"ALTER TABLE lanes ADD COLUMN IF NOT EXISTS {name} {kind}")
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # an interrupted build leaves one that is not valid
        op.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX}"
            " ON lanes (tenant_id, subscription_id, lane_no) WHERE lane_count > 1"
        )


def downgrade() -> None:
    op.execute("DELETE FROM lanes WHERE lane_no > 0")
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
    for name in COLUMNS:
        op.execute(f"ALTER TABLE lanes DROP COLUMN IF EXISTS {name}")
    op.execute("ALTER TABLE subscriptions DROP COLUMN IF EXISTS lanes")
