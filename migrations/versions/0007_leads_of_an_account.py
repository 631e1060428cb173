"""An index for the leads of an account, by which lists are filtered.

Revision ID: 0007_leads_of_account
Revises: 0006_amounts
"""

from __future__ import annotations

from alembic import op

revision = "0007_leads_of_account"
down_revision = "0006_amounts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "leads_account_id_idx",
            "leads",
            ["tenant_id", "account_id", "id"],
            postgresql_where="account_id IS NOT NULL",
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    op.drop_index("leads_account_id_idx", "leads")
