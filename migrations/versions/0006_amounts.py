"""Amounts keep all decimals of their currency: three of KWD, four of CLF.

Revision ID: 0006_amounts
Revises: 0005_sealing_keys

The code of the release before works on both.
"""

from __future__ import annotations

from alembic import op

revision = "0006_amounts"
down_revision = "0005_sealing_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # From numeric(18, 2) to numeric: PostgreSQL neither rewrites nor reads the rows.
    op.execute("-- squawk-ignore changing-column-type\nALTER TABLE opportunities ALTER COLUMN amount TYPE numeric")


def downgrade() -> None:
    op.execute("ALTER TABLE opportunities ALTER COLUMN amount TYPE numeric(18, 2)")
