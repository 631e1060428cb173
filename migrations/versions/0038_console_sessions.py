"""Links that log in to the console, and sessions of it.

Revision ID: 0038_console_sessions
Revises: 0037_forecast

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0038_console_sessions"
down_revision = "0037_forecast"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "console_sessions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("token_sha256", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('link', 'session')", name=op.f("console_sessions_kind_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key_id"], ["keys.tenant_id", "keys.id"], name=op.f("console_sessions_tenant_id_key_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "token_sha256", name=op.f("console_sessions_pkey")),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("console_sessions", if_exists=True)
