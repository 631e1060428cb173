"""Waiting submissions and due leads are found by tenant, so that tenants are served in turn.

Revision ID: 0015_fair_among_tenants
Revises: 0014_cost_of_lists
"""

from __future__ import annotations

from alembic import op

revision = "0015_fair_among_tenants"
down_revision = "0014_cost_of_lists"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.create_index(
            "submissions_waiting_idx",
            "submissions",
            ["tenant_id", "received_at", "id"],
            postgresql_where="state = 'received'",
            postgresql_concurrently=True,
            if_not_exists=True,
        )
        op.create_index(
            "leads_due_idx",
            "leads",
            ["tenant_id", "evaluate_at"],
            postgresql_where="evaluate_at IS NOT NULL",
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def downgrade() -> None:
    op.drop_index("leads_due_idx", "leads")
    op.drop_index("submissions_waiting_idx", "submissions")
