"""Retention: what tenants keep only for a time.

Revision ID: 0064_retention
Revises: 0063_consent_proof

The audit log lets go of rows before its beginning, which `audit_heads` has with the hash of the last row before it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0064_retention"
down_revision = "0063_consent_proof"
branch_labels = None
depends_on = None

APPEND_ONLY = """
    CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND OLD.number <= (
            SELECT begins_after FROM audit_heads WHERE tenant_id = OLD.tenant_id) THEN RETURN OLD; END IF;
        RAISE EXCEPTION 'audit is append-only';
    END $$
"""
BEFORE = """
    CREATE OR REPLACE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'audit is append-only';
    END $$
"""


def upgrade() -> None:
    """All steps can be repeated. The first run of tenants that exist begins a day later."""
    op.add_column("tenants", sa.Column("retention", JSONB(), nullable=False, server_default="{}"), if_not_exists=True)
    op.add_column("tenants", sa.Column("retention_due_at", sa.DateTime(timezone=True)), if_not_exists=True)
    op.add_column("tenants", sa.Column("retention_run", JSONB()), if_not_exists=True)
    op.add_column("tenants", sa.Column("retention_latest", JSONB()), if_not_exists=True)
    op.execute("UPDATE tenants SET retention_due_at = now() + interval '1 day' WHERE retention_due_at IS NULL")
    op.add_column(
        "audit_heads",
        sa.Column("begins_after", sa.BigInteger(), nullable=False, server_default="0"),
        if_not_exists=True,
    )
    op.add_column(
        "audit_heads",
        sa.Column("begins_hash", sa.LargeBinary(), nullable=False, server_default=""),
        if_not_exists=True,
    )
    op.execute(APPEND_ONLY)
    op.add_column("submissions", sa.Column("emptied_at", sa.DateTime(timezone=True)), if_not_exists=True)
    with op.get_context().autocommit_block():
        for name in ("submissions_full_idx", "tenants_retention_due_at_idx"):
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # of a build that was interrupted
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS submissions_full_idx ON submissions (tenant_id, received_at)"
            " WHERE state = 'processed' AND emptied_at IS NULL"
        )
        op.execute(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS tenants_retention_due_at_idx"
            " ON tenants (coalesce(retention_due_at, '-infinity'), id)"
        )


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS submissions_full_idx")
    op.drop_column("submissions", "emptied_at")
    op.execute(BEFORE)
    op.drop_column("audit_heads", "begins_hash")
    op.drop_column("audit_heads", "begins_after")
    for name in ("retention_latest", "retention_run", "retention_due_at", "retention"):
        op.drop_column("tenants", name)
