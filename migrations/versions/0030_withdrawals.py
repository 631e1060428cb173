"""Withdrawals of consent by people who are no leads yet are kept, and requests to confirm consents are swept.

Revision ID: 0030_withdrawals
Revises: 0028_leads_of_contact

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0030_withdrawals"
down_revision = "0028_leads_of_contact"
branch_labels = None
depends_on = None

INDEX = "consent_requests_open_idx"


def upgrade() -> None:
    op.create_table(
        "withdrawals",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("address_sha256", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "address_sha256", "purpose", name="withdrawals_pkey"),
        if_not_exists=True,
    )
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # an interrupted build leaves one that is not valid
        op.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} ON consent_requests (expires_at)"
            " WHERE confirmed_at IS NULL"
        )
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
    op.drop_table("withdrawals", if_exists=True)
