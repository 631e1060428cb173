"""What the policy waits for after a correction, and whether a journey has met the threshold.

Revision ID: 0008_corrections
Revises: 0007_leads_of_account
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_corrections"
down_revision = "0007_leads_of_account"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("journeys", sa.Column("corrected_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("leads", sa.Column("threshold_met", sa.Boolean(), server_default="true", nullable=False))


def downgrade() -> None:
    op.drop_column("leads", "threshold_met")
    op.drop_column("journeys", "corrected_at")
