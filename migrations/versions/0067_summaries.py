"""What reports need to be quick: milestones of a journey are read from an index alone.

Revision ID: 0067_summaries
Revises: 0065_likeness_checks

The index replaces one of voided milestones, which was there for the same question.
"""

from __future__ import annotations

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
    _replace(DROPPED, MADE, MADE_ON)


def downgrade() -> None:
    _replace(MADE, DROPPED, DROPPED_ON)


def _replace(old: str, new: str, made_on: str) -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {new}")  # of a build that was interrupted
        op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {new} ON {made_on}")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {old}")
