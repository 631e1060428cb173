"""Amounts keep all decimals of their currency (three of KWD, four of CLF); an index for the leads of an account.

Revision ID: 0007_amounts
Revises: 0001

The code of the release before works on both.
"""

from __future__ import annotations

from alembic import op

revision = "0007_amounts"
down_revision = "0001"
branch_labels = None
depends_on = None

INDEX = "leads_account_id_idx"


def upgrade() -> None:
    # From numeric(18, 2) to numeric: PostgreSQL neither rewrites nor reads the rows.
    op.execute("-- squawk-ignore changing-column-type\nALTER TABLE opportunities ALTER COLUMN amount TYPE numeric")
    with op.get_context().autocommit_block():
        op.create_index(
            INDEX,
            "leads",
            ["tenant_id", "account_id", "id"],
            postgresql_where="account_id IS NOT NULL",
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    op.drop_index(INDEX, "leads")
    op.execute("ALTER TABLE opportunities ALTER COLUMN amount TYPE numeric(18, 2)")
