"""Subscriptions sign with ed25519 keys, too, send CloudEvents, and ask receivers by a handshake.

Revision ID: 0077_signatures_and_formats
Revises: 0076_subscription_conditions

All steps can be repeated. A process of the previous release does not know the new columns: it signs with `v1` alone,
sends the envelope at any rate, and keeps them as they are.
"""

from __future__ import annotations

from alembic import op

revision = "0077_signatures_and_formats"
down_revision = "0076_subscription_conditions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        "ALTER TABLE subscriptions ADD COLUMN IF NOT EXISTS ed25519_keys text,"
        " ADD COLUMN IF NOT EXISTS format text NOT NULL DEFAULT 'standard',"
        " ADD COLUMN IF NOT EXISTS handshake boolean NOT NULL DEFAULT false,"
        " ADD COLUMN IF NOT EXISTS consented_at timestamptz,"
        " ADD COLUMN IF NOT EXISTS allowed_rate integer"
    )


def downgrade() -> None:
    for column in ("ed25519_keys", "format", "handshake", "consented_at", "allowed_rate"):
        op.execute(f"ALTER TABLE subscriptions DROP COLUMN IF EXISTS {column}")
