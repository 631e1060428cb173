"""Policies are drafted, approved by two teams, activated, and reviewed.

Active policies that exist are reviewed counted from their activation. Their leads are not scheduled again.

Revision ID: 0024_life_of_policies
Revises: 0031_models

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0024_life_of_policies"
down_revision = "0031_models"
branch_labels = None
depends_on = None

INDEXES = {
    "policies_planned_idx": "policies (effective_from) WHERE state = 'proposed' AND effective_from IS NOT NULL",
    "policies_review_due_idx": "policies (review_due_at) WHERE review_due_at IS NOT NULL",
    "activations_unscheduled_idx": "activations (tenant_id, at) WHERE scheduled_at IS NULL",
}
REVIEWS = """
    UPDATE policies SET review_due_at = effective_from
           + CASE document ->> 'review' WHEN 'monthly' THEN interval '1 month' ELSE interval '3 months' END
     WHERE state = 'active' AND document ->> 'review' IN ('monthly', 'quarterly') AND review_due_at IS NULL
"""


def upgrade() -> None:
    op.add_column(
        "policies", sa.Column("version", sa.BigInteger(), server_default="1", nullable=False), if_not_exists=True
    )
    for name in ("activated_at", "review_due_at"):
        op.add_column("policies", sa.Column(name, sa.DateTime(timezone=True), nullable=True), if_not_exists=True)
    for name in ("mapping", "activation_refused"):
        op.add_column("policies", sa.Column(name, JSONB(), nullable=True), if_not_exists=True)
    op.add_column("activations", sa.Column("scheduled_to", sa.Uuid(), nullable=True), if_not_exists=True)
    op.add_column(
        "activations", sa.Column("scheduled_at", sa.DateTime(timezone=True), nullable=True), if_not_exists=True
    )
    op.create_table(
        "approvals",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "policy_id"], ["policies.tenant_id", "policies.id"], name="approvals_tenant_id_policy_id_fkey"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "policy_id", "side", name="approvals_pkey"),
        if_not_exists=True,
    )
    op.create_index(
        "approvals_user_id_key", "approvals", ["tenant_id", "policy_id", "user_id"], unique=True, if_not_exists=True
    )
    op.execute("UPDATE policies SET activated_at = effective_from WHERE activated_at IS NULL AND state <> 'draft'")
    op.execute(REVIEWS)
    op.execute("UPDATE activations SET scheduled_at = at WHERE scheduled_at IS NULL")
    with op.get_context().autocommit_block():
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an interrupted build leaves one that is not valid
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {definition}")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.drop_table("approvals", if_exists=True)
    for name in ("scheduled_at", "scheduled_to"):
        op.drop_column("activations", name, if_exists=True)
    op.execute("DELETE FROM policies WHERE state IN ('draft', 'proposed')")  # which code before this does not know
    for name in ("activation_refused", "mapping", "review_due_at", "activated_at", "version"):
        op.drop_column("policies", name, if_exists=True)
