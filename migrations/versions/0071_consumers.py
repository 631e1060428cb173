"""Consumers: readers of the feed whose place the service keeps.

Revision ID: 0071_consumers
Revises: 0070_replays
"""

from __future__ import annotations

from alembic import op

revision = "0071_consumers"
down_revision = "0070_replays"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """All steps can be repeated."""
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS consumers (
            tenant_id uuid NOT NULL,
            id uuid NOT NULL,
            version bigint NOT NULL DEFAULT 1,
            name text NOT NULL,
            types text[],
            lead_id uuid,
            position bigint NOT NULL,
            event_id uuid,
            acknowledged_at timestamptz,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            CONSTRAINT consumers_pkey PRIMARY KEY (tenant_id, id),
            CONSTRAINT consumers_tenant_id_name_key UNIQUE (tenant_id, name)
        ) WITH (fillfactor = 50)
        """
    )
    op.execute("CREATE INDEX IF NOT EXISTS consumers_created_at_idx ON consumers (tenant_id, created_at, id)")


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS consumers")
