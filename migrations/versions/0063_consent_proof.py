"""Entries of the consent log say by whom, from which address, of which text and by which link a consent was recorded.

Revision ID: 0063_consent_proof
Revises: 0061_erasures

All steps can be repeated. Adding a column without a default rewrites no row.
"""

from __future__ import annotations

from alembic import op

revision = "0063_consent_proof"
down_revision = "0061_erasures"
branch_labels = None
depends_on = None

COLUMNS = (
    ("consents", "text_version", "text"),
    ("consents", "client_address", "text"),
    ("consents", "actor", "jsonb"),
    ("consents", "confirmation_id", "uuid"),
    ("consents", "withdrawal_link_id", "uuid"),
    ("consent_requests", "text_versions", "jsonb NOT NULL DEFAULT '{}'::jsonb"),
    ("withdrawals", "text_version", "text"),
    ("submissions", "client_address", "text"),
)


def upgrade() -> None:
    for table, name, kind in COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {kind}")


def downgrade() -> None:
    for table, name, _ in COLUMNS:
        op.execute(f"ALTER TABLE {table} DROP COLUMN IF EXISTS {name}")
