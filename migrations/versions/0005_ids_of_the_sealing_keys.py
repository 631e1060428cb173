"""An index of the key ids of stored answers, so that the keys in use are found without reading them all.

Revision ID: 0005_sealing_keys
Revises: 0004_included_leads
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_sealing_keys"
down_revision = "0004_included_leads"
branch_labels = None
depends_on = None

INDEX = "idempotency_keys_kid_idx"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # One that timed out half-way is there, but invalid.
        op.drop_index(INDEX, table_name="idempotency_keys", if_exists=True, postgresql_concurrently=True)
        op.create_index(
            INDEX,
            "idempotency_keys",
            [sa.text("split_part(body, '.', 2)")],
            unique=False,
            if_not_exists=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(INDEX, table_name="idempotency_keys", if_exists=True, postgresql_concurrently=True)
