"""What changes of users replaced: their names and teams, for reports as of an earlier instant.

Revision ID: 0049_user_changes
Revises: 0047_reverts

A new table, which old code does not know. What old code changes is not in it, so that the present value counts.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0049_user_changes"
down_revision = "0047_reverts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "user_changes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("before", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "version", name="user_changes_pkey"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["users.tenant_id", "users.id"], name="user_changes_tenant_id_user_id_fkey"
        ),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("user_changes", if_exists=True)
