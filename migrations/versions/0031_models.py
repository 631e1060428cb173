"""Models of how likely leads become customers.

Revision ID: 0031_models
Revises: 0022_channels_and_origins

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0031_models"
down_revision = "0022_channels_and_origins"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "models",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("trained_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("document", postgresql.JSONB(), nullable=True),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('queued', 'ready', 'failed')", name=op.f("models_state_check")),
        sa.PrimaryKeyConstraint("tenant_id", "version", name="models_pkey"),
        if_not_exists=True,
    )
    op.create_index(
        "models_queued_idx",
        "models",
        ["requested_at"],
        postgresql_where=sa.text("state = 'queued'"),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("models", if_exists=True)
