"""Counts of where journeys come from, by day and by month, and of milestones by month, which reports read.

Revision ID: 0085_counts_of_origins
Revises: 0084_several_lanes

The worker makes their rows; until it has, reports read the base.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0085_counts_of_origins"
down_revision = "0084_several_lanes"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """All steps can be repeated."""
    op.create_table(
        "milestone_months",
        sa.Column("tenant_id", sa.Uuid(), primary_key=True),
        sa.Column("reached_on", sa.Date(), primary_key=True),
        *(sa.Column(name, sa.Text(), primary_key=True) for name in ("name", "to", "business")),
        sa.Column("skipped", sa.Boolean(), primary_key=True),
        sa.Column("days", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("journeys", sa.BigInteger(), nullable=False),
        if_not_exists=True,
    )
    for table in ("origin_counts", "origin_months"):
        op.create_table(
            table,
            sa.Column("tenant_id", sa.Uuid(), primary_key=True),
            sa.Column("member", sa.Text(), primary_key=True),
            sa.Column("opened_on", sa.Date(), primary_key=True),
            sa.Column("cell", sa.LargeBinary(), primary_key=True),
            sa.Column("key", sa.Text()),
            sa.Column("converted", sa.Boolean(), nullable=False),
            sa.Column("reached", sa.ARRAY(sa.Text()), nullable=False),
            sa.Column("currency", sa.Text()),
            sa.Column("journeys", sa.BigInteger(), nullable=False),
            sa.Column("amount", sa.Numeric(), nullable=False),
            if_not_exists=True,
        )
    op.add_column("summary_cursors", sa.Column("counts_position", sa.BigInteger()), if_not_exists=True)
    op.add_column("summary_cursors", sa.Column("counts_built_to", sa.Uuid()), if_not_exists=True)


def downgrade() -> None:
    for name in ("counts_built_to", "counts_position"):
        op.drop_column("summary_cursors", name, if_exists=True)
    for table in ("origin_months", "origin_counts", "milestone_months"):
        op.drop_table(table, if_exists=True)
