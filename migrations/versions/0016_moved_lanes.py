"""A lane whose position somebody set again sends what was delivered before.

Revision ID: 0016_moved_lanes
Revises: 0018_first_minutes
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016_moved_lanes"
down_revision = "0018_first_minutes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("lanes", sa.Column("moved_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True)


def downgrade() -> None:
    op.drop_column("lanes", "moved_at", if_exists=True)
