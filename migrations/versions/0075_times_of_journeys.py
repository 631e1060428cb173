"""Times of journeys between milestones and in stages, which velocity reads, and where journeys come from.

Revision ID: 0075_times_of_journeys
Revises: 0074_claim_idempotency_keys

The worker makes their rows; until it has, reports read the base.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0075_times_of_journeys"
down_revision = "0074_claim_idempotency_keys"
branch_labels = None
depends_on = None

ORIGINS = ("source", "medium", "campaign")


def upgrade() -> None:
    """All steps can be repeated."""
    op.create_table(
        "milestone_times",
        *_keys(),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("business", sa.Text(), nullable=False),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("skipped", sa.Boolean(), nullable=False),
        sa.Column("names", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("instants", sa.ARRAY(sa.DateTime(timezone=True)), nullable=False),
        sa.Column("skips", sa.ARRAY(sa.Boolean()), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        if_not_exists=True,
    )
    op.create_index(
        "milestone_times_reached_at_idx", "milestone_times", ["tenant_id", "name", "reached_at"], if_not_exists=True
    )
    op.create_table(
        "stage_times",
        *_keys(),
        sa.Column("seq", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("microseconds", sa.BigInteger()),
        if_not_exists=True,
    )
    op.create_index(
        "stage_times_entered_at_idx",
        "stage_times",
        ["tenant_id", "stage", "entered_at"],
        postgresql_include=["microseconds", "journey_id"],
        if_not_exists=True,
    )
    op.create_table(
        "journey_origins",
        *_keys(),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("business", sa.Text(), nullable=False),
        *(sa.Column(f"{touch}_{name}", sa.Text()) for touch in ("first", "last") for name in ORIGINS),
        sa.Column("amount", sa.Numeric()),
        sa.Column("currency", sa.Text()),
        sa.Column("converted", sa.Boolean(), nullable=False),
        sa.Column("reached", sa.ARRAY(sa.Text()), nullable=False),
        if_not_exists=True,
    )
    op.create_index("journey_origins_opened_at_idx", "journey_origins", ["tenant_id", "opened_at"], if_not_exists=True)
    op.add_column("summary_cursors", sa.Column("times_position", sa.BigInteger()), if_not_exists=True)
    op.add_column("summary_cursors", sa.Column("times_built_to", sa.Uuid()), if_not_exists=True)


def downgrade() -> None:
    for name in ("times_built_to", "times_position"):
        op.drop_column("summary_cursors", name, if_exists=True)
    for name in ("journey_origins", "stage_times", "milestone_times"):
        op.drop_table(name, if_exists=True)


def _keys() -> list[sa.Column[object]]:
    return [sa.Column(name, sa.Uuid(), primary_key=True) for name in ("tenant_id", "journey_id")]
