"""Leads that are compared once more, after the transactions that were open at the same time have ended.

Revision ID: 0065_likeness_checks
Revises: 0064_retention
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0065_likeness_checks"
down_revision = "0064_retention"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "likeness_checks",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column(
            "written_by",
            sa.BigInteger(),
            server_default=sa.text("pg_current_xact_id()::text::bigint"),
            nullable=False,
            autoincrement=False,
        ),
        sa.Column("id", sa.Uuid(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("lead_ids", ARRAY(sa.Uuid()), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "written_by", "id", name=op.f("likeness_checks_pkey")),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("likeness_checks")
