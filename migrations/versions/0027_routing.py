"""Routes by rules and round robin: weights and absences of users, rings, what routes chose, and offers to partners.

Revision ID: 0027_routing
Revises: 0030_withdrawals

All steps can be repeated, since they commit as they go. Code of the release before does not see the new columns.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0027_routing"
down_revision = "0030_withdrawals"
branch_labels = None
depends_on = None

JSONB = postgresql.JSONB(astext_type=sa.Text())


def upgrade() -> None:
    op.add_column("users", sa.Column("weight", sa.Integer(), server_default="1", nullable=False), if_not_exists=True)
    op.add_column(
        "users",
        sa.Column("absences", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        if_not_exists=True,
    )
    op.add_column("journeys", sa.Column("offer", JSONB, nullable=True), if_not_exists=True)
    op.create_table(
        "rings",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "name", name="rings_pkey"),
        if_not_exists=True,
    )
    op.create_table(
        "assignments",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("journey_id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("document", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "journey_id"],
            ["journeys.tenant_id", "journeys.id"],
            name="assignments_tenant_id_journey_id_fkey",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="assignments_pkey"),
        if_not_exists=True,
    )
    op.create_index(
        "assignments_journey_id_idx", "assignments", ["tenant_id", "journey_id", "recorded_at"], if_not_exists=True
    )


def downgrade() -> None:
    op.drop_table("assignments", if_exists=True)
    op.drop_table("rings", if_exists=True)
    op.drop_column("journeys", "offer", if_exists=True)
    for name in ("absences", "weight"):
        op.drop_column("users", name, if_exists=True)
