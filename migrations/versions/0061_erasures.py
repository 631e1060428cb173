"""Erasures of people, and hashes of the identities that were erased.

Revision ID: 0061_erasures
Revises: 0055_withdrawal_links
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0061_erasures"
down_revision = "0055_withdrawal_links"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("lead_ids", ARRAY(sa.Uuid()), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text()),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sought", sa.Text()),
        sa.Column("step", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("after", sa.Text()),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("erasures_tenant_id_lead_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "lead_id", name=op.f("erasures_pkey")),
        if_not_exists=True,
    )
    op.create_index(
        "erasures_unfinished_idx",
        "erasures",
        ["erased_at"],
        postgresql_where=sa.text("finished_at IS NULL"),
        if_not_exists=True,
    )
    op.create_table(
        "suppression_salts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("suppression_salts_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "suppressions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "hash", name=op.f("suppressions_pkey")),
        if_not_exists=True,
    )


def downgrade() -> None:
    op.drop_table("suppressions")
    op.drop_table("suppression_salts")
    op.drop_table("erasures")
