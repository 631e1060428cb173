"""Spam of public forms can be reviewed, forms are checked for bots, and consents confirmed.

Revision ID: 0023_public_forms
Revises: 0020_duplicates_and_merges

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023_public_forms"
down_revision = "0020_duplicates_and_merges"
branch_labels = None
depends_on = None

INDEXES = {
    "submissions_unchecked_idx": "submissions (tenant_id, received_at, id) WHERE bot_check = 'waiting'",
    "submission_items_verdict_idx": "submission_items (tenant_id, verdict, submission_id) WHERE verdict <> 'lead'",
}


def upgrade() -> None:
    op.add_column("submissions", sa.Column("suspicion", sa.Text(), nullable=True), if_not_exists=True)
    op.add_column("submissions", sa.Column("bot_check", sa.Text(), nullable=True), if_not_exists=True)
    op.add_column("submissions", sa.Column("review", postgresql.JSONB(), nullable=True), if_not_exists=True)
    op.create_table(
        "consent_requests",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("texts", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name="consent_requests_tenant_id_lead_id_fkey"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name="consent_requests_pkey"),
        if_not_exists=True,
    )
    op.create_index("consent_requests_lead_id_idx", "consent_requests", ["tenant_id", "lead_id"], if_not_exists=True)
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an interrupted build leaves one that is not valid
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {definition}")
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.drop_table("consent_requests", if_exists=True)
    for name in ("review", "bot_check", "suspicion"):
        op.drop_column("submissions", name, if_exists=True)
