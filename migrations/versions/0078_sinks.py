"""Subscriptions may be of a broker, which has credentials.

Revision ID: 0078_sinks
Revises: 0077_signatures_and_formats

All steps can be repeated.
"""

from __future__ import annotations

from alembic import op

revision = "0078_sinks"
down_revision = "0077_signatures_and_formats"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS credentials text")


def downgrade() -> None:
    op.execute("ALTER TABLE subscriptions DROP COLUMN IF EXISTS credentials")
