"""Subscriptions have a condition that events have to meet, and the version of the schema of their bodies.

Revision ID: 0076_subscription_conditions
Revises: 0075_times_of_journeys

All steps can be repeated. Subscriptions that stand have no condition, and the version that there is.
"""

from __future__ import annotations

from alembic import op

revision = "0076_subscription_conditions"
down_revision = "0075_times_of_journeys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS condition jsonb DEFAULT '{}'::jsonb NOT NULL")
    op.execute("ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS schema_version smallint DEFAULT 1 NOT NULL")


def downgrade() -> None:
    op.execute("ALTER TABLE subscriptions DROP COLUMN IF EXISTS condition")
    op.execute("ALTER TABLE subscriptions DROP COLUMN IF EXISTS schema_version")
