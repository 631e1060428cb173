"""What a correction takes back: runs of clocks and choices of routes can be void, as milestones can.

Revision ID: 0052_what_corrections_void
Revises: 0049_user_changes

Columns that old code leaves empty. What was corrected before stays as it is: it was answered so.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0052_what_corrections_void"
down_revision = "0049_user_changes"
branch_labels = None
depends_on = None

TABLES = ("clock_runs", "assignments")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True)


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "voided_at", if_exists=True)
