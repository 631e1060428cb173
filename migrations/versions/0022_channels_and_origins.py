"""By which channel a lead came, and which arrival set which of its fields.

Of leads that exist the first touch tells the channel: that of a submission came by a form, another by the API. Which
arrival set which field is kept from now on.

Revision ID: 0022_channels_and_origins
Revises: 0021_imports

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0022_channels_and_origins"
down_revision = "0021_imports"
branch_labels = None
depends_on = None

INDEX = "leads_by_channel_idx"
# A transaction for each thousand leads, so that none is locked for long.
FILL = """
    DO $$
    DECLARE
        after record;
        last uuid[] := ARRAY['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000'];
    BEGIN
        LOOP
            SELECT array_agg(p.tenant_id) AS tenants, array_agg(p.id) AS ids INTO after FROM (
                SELECT tenant_id, id FROM leads WHERE (tenant_id, id) > (last[1], last[2])
                 ORDER BY tenant_id, id LIMIT 1000) p;
            EXIT WHEN after.ids IS NULL;
            UPDATE leads l SET channel = CASE WHEN t.submission_id IS NULL THEN 'api' ELSE 'web_form' END
              FROM unnest(after.tenants, after.ids) f(tenant_id, id)
              JOIN LATERAL (SELECT submission_id FROM touches t WHERE t.tenant_id = f.tenant_id AND t.lead_id = f.id
                             ORDER BY t.recorded_at, t.id LIMIT 1) t ON true
             WHERE l.tenant_id = f.tenant_id AND l.id = f.id AND l.channel IS NULL;
            last := ARRAY[after.tenants[cardinality(after.ids)], after.ids[cardinality(after.ids)]];
            COMMIT;
        END LOOP;
    END $$
"""


def upgrade() -> None:
    op.add_column("leads", sa.Column("channel", sa.Text(), nullable=True), if_not_exists=True)
    op.add_column("lead_changes", sa.Column("origins", JSONB(), nullable=True), if_not_exists=True)
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(FILL)
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # an interrupted build leaves one that is not valid
        op.execute(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {INDEX} ON leads (tenant_id, channel, created_at, id)"
            " WHERE channel IS NOT NULL"
        )
        # The newest index of a table without rows is the one that plans use (docs/decisions/0039).
        if not context.is_offline_mode() and op.get_bind().scalar(sa.text("SELECT NOT EXISTS (SELECT FROM leads)")):
            op.execute("REINDEX INDEX CONCURRENTLY leads_pkey")
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
    op.drop_column("lead_changes", "origins", if_exists=True)
    op.drop_column("leads", "channel", if_exists=True)
