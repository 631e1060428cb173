"""Indexes for the leads of a contact, whose activities are listed.

Revision ID: 0028_leads_of_contact
Revises: 0026_clocks

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

from alembic import op

revision = "0028_leads_of_contact"
down_revision = "0026_clocks"
branch_labels = None
depends_on = None

INDEXES = {
    "leads_contact_id_idx": "leads (tenant_id, contact_id) WHERE contact_id IS NOT NULL",
    "conversions_contact_id_idx": "conversions (tenant_id, contact_id) WHERE contact_id IS NOT NULL",
}


def upgrade() -> None:
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
