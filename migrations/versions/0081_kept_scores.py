"""What the last event of each version of a lead says of its score is kept when its partition is dropped.

Revision ID: 0081_kept_scores
Revises: 0078_sinks

All steps can be repeated.
"""

from __future__ import annotations

from alembic import op

revision = "0081_kept_scores"
down_revision = "0078_sinks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE IF NOT EXISTS kept_scores (
            tenant_id uuid NOT NULL,
            lead_id uuid NOT NULL,
            lead_version bigint NOT NULL,
            recorded_at timestamptz NOT NULL,
            engagement integer,
            temperature text,
            below_threshold_since timestamptz,
            PRIMARY KEY (tenant_id, lead_id, lead_version)
        )
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE IF EXISTS kept_scores")
