"""What reports need to be quick: an index of the milestones of a journey, and summaries of journeys.

Revision ID: 0067_summaries
Revises: 0065_likeness_checks

The index replaces one of voided milestones, which was there for the same question. The worker makes the summaries.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0067_summaries"
down_revision = "0065_likeness_checks"
branch_labels = None
depends_on = None

MADE = "milestones_journey_id_idx"
MADE_ON = "milestones (tenant_id, journey_id) INCLUDE (name, reached_at, recorded_at, voided_at, skipped)"
DROPPED = "milestones_voided_idx"
DROPPED_ON = "milestones (tenant_id, journey_id) WHERE voided_at IS NOT NULL"


def upgrade() -> None:
    """All steps can be repeated."""
    op.create_table(
        "journey_summaries",
        _tenant(),
        sa.Column("journey_id", sa.Uuid(), primary_key=True),
        sa.Column("business", sa.Text(), nullable=False),
        sa.Column("names", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("instants", sa.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("skips", sa.ARRAY(sa.Boolean()), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "milestone_counts",
        _tenant(),
        sa.Column("reached_on", sa.Date(), primary_key=True),
        *(sa.Column(name, sa.Text(), primary_key=True) for name in ("name", "to", "business")),
        sa.Column("skipped", sa.Boolean(), primary_key=True),
        sa.Column("days", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("journeys", sa.BigInteger(), nullable=False),
        if_not_exists=True,
    )
    op.create_table(
        "summary_cursors",
        _tenant(),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("built_to", sa.Uuid()),
        if_not_exists=True,
    )
    _replace(DROPPED, MADE, MADE_ON)


def downgrade() -> None:
    _replace(MADE, DROPPED, DROPPED_ON)
    for name in ("summary_cursors", "milestone_counts", "journey_summaries"):
        op.drop_table(name, if_exists=True)


def _tenant() -> sa.Column[object]:
    return sa.Column("tenant_id", sa.Uuid(), primary_key=True)


def _replace(old: str, new: str, made_on: str) -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {new}")  # of a build that was interrupted
        op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {new} ON {made_on}")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {old}")
