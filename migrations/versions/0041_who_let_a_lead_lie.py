"""Who owned a lead when a clock started and was breached, and who let it lie in its journey.

Revision ID: 0041_who_let_a_lead_lie
Revises: 0044_pipeline_and_people

Columns that old code leaves empty; adding one without a default rewrites no table. All steps can be repeated.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0041_who_let_a_lead_lie"
down_revision = "0044_pipeline_and_people"
branch_labels = None
depends_on = None

OWNERS = ("started_owner_id", "breached_owner_id")


def upgrade() -> None:
    for name in OWNERS:
        op.add_column("clock_runs", sa.Column(name, sa.Uuid(), nullable=True), if_not_exists=True)
    op.add_column("journeys", sa.Column("lapsed", postgresql.JSONB(), nullable=True), if_not_exists=True)


def downgrade() -> None:
    op.drop_column("journeys", "lapsed", if_exists=True)
    for name in OWNERS:
        op.drop_column("clock_runs", name, if_exists=True)
