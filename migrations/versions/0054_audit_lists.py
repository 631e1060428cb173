"""The audit log is read by number, time, act, subject and actor.

Revision ID: 0054_audit_lists
Revises: 0053_audit_chain

Only indexes.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0054_audit_lists"
down_revision = "0053_audit_chain"
branch_labels = None
depends_on = None

INDEXES = {
    "audit_recorded_at_idx": "recorded_at, id",
    "audit_by_act_idx": "act, recorded_at, id",
    "audit_by_subject_idx": "subject, recorded_at, id",
    "audit_by_actor_idx": "(actor ->> 'id'), recorded_at, id",
    "audit_number_key": "number",
}


def upgrade() -> None:
    """All steps can be repeated, since they commit as they go; a build that was interrupted is begun anew."""
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, columns in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            unique = "UNIQUE" if name.endswith("_key") else ""
            op.execute(f"CREATE {unique} INDEX CONCURRENTLY IF NOT EXISTS {name} ON audit (tenant_id, {columns})")
        op.execute("SET statement_timeout = '5min'")
    if not context.is_offline_mode() and not op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM audit)")):
        # The newest index of a table without rows is the one that plans use (docs/decisions/0039).
        with op.get_context().autocommit_block():
            op.execute("REINDEX INDEX CONCURRENTLY audit_pkey")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
