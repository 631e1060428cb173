"""Subscriptions may ask for the lead in each event, as of that event.

Revision ID: 0004_included_leads
Revises: 0003_ids_in_one_form
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004_included_leads"
down_revision = "0003_ids_in_one_form"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("events", sa.Column("lead_computed", postgresql.JSONB(), nullable=True))
    empty = sa.text("'[]'::jsonb")
    op.add_column("subscriptions", sa.Column("include", postgresql.JSONB(), server_default=empty, nullable=False))


def downgrade() -> None:
    op.drop_column("subscriptions", "include")
    op.drop_column("events", "lead_computed")
