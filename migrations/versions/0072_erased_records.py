"""Contacts and accounts of people who were erased say so, so that nothing is written into them again.

Revision ID: 0072_erased_records
Revises: 0071_consumers

All steps can be repeated. Contacts and accounts that were erased before are archived and empty; they do not say so.
"""

from __future__ import annotations

from alembic import op

revision = "0072_erased_records"
down_revision = "0071_consumers"
branch_labels = None
depends_on = None

TABLES = ("accounts", "contacts")


def upgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS erased_at timestamptz")


def downgrade() -> None:
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} DROP COLUMN IF EXISTS erased_at")
