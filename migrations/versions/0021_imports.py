"""Imports of lists: their rows are submissions that wait in a queue of their own.

Revision ID: 0021_imports
Revises: 0023_public_forms

All steps can be repeated, since they commit as they go. Code of the release before does not see the new states.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "0021_imports"
down_revision = "0023_public_forms"
branch_labels = None
depends_on = None

JSONB = postgresql.JSONB(astext_type=sa.Text())
COLUMNS = {"import_id": sa.Uuid(), "listed": JSONB, "verdicts": JSONB}
INDEXES = {
    "submissions_listed_idx": "submissions (tenant_id, received_at, id) WHERE state = 'listed'",
    "submissions_import_idx": "submissions (tenant_id, import_id, id) WHERE import_id IS NOT NULL",
}


def upgrade() -> None:
    op.create_table(
        "imports",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="receiving", nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rows", sa.Integer(), server_default="0", nullable=False),
        sa.Column("columns", JSONB, server_default=sa.text("'[]'::jsonb"), nullable=False),
        sa.Column("delimiter", sa.Text(), nullable=True),
        sa.Column("text_guessed", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("options", JSONB, server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "source_id"],
            ["sources.tenant_id", "sources.id"],
            name=op.f("imports_tenant_id_source_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("imports_pkey")),
        if_not_exists=True,
    )
    op.create_index("imports_created_at_idx", "imports", ["tenant_id", "created_at", "id"], if_not_exists=True)
    op.create_index(
        "imports_receiving_idx",
        "imports",
        ["updated_at"],
        postgresql_where=sa.text("state = 'receiving'"),
        if_not_exists=True,
    )
    for name, kind in COLUMNS.items():
        op.add_column("submissions", sa.Column(name, kind, nullable=True), if_not_exists=True)
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an interrupted build leaves one that is not valid
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {definition}")
        # The newest index of a table without rows is the one that plans use (docs/decisions/0039).
        if not context.is_offline_mode() and op.get_bind().scalar(sa.text("SELECT NOT EXISTS (SELECT FROM sources)")):
            op.execute("REINDEX INDEX CONCURRENTLY sources_pkey")
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    # Rows that wait are what the release before calls received; it cannot process them, so they go with their lists.
    op.execute("DELETE FROM submissions WHERE state IN ('arriving', 'listed')")
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    for name in COLUMNS:
        op.drop_column("submissions", name, if_exists=True)
    op.drop_table("imports", if_exists=True)
