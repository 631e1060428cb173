"""When a submission whose processing was aborted by the database is tried again.

Revision ID: 0002_retry_at
Revises: 0001

Old code must run on the new schema: it does not read the column, and tries such a submission again at once.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_retry_at"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("submissions", sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("submissions", "retry_at")
