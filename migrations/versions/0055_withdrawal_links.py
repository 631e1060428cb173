"""Links by which people withdraw their consents.

Revision ID: 0055_withdrawal_links
Revises: 0054_audit_lists
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0055_withdrawal_links"
down_revision = "0054_audit_lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "withdrawal_links",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("purposes", JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"],
            ["leads.tenant_id", "leads.id"],
            name=op.f("withdrawal_links_tenant_id_lead_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("withdrawal_links_pkey")),
        if_not_exists=True,
    )
    columns = ["tenant_id", "lead_id"]
    op.create_index("withdrawal_links_lead_id_idx", "withdrawal_links", columns, if_not_exists=True)


def downgrade() -> None:
    op.drop_table("withdrawal_links")
