"""The name of the source by which each lead came, which conditions of policies read.

It is a flag of the lead. Leads that exist get the present name of their source.

Revision ID: 0025_sources_of_leads
Revises: 0024_life_of_policies

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

from alembic import op

revision = "0025_sources_of_leads"
down_revision = "0024_life_of_policies"
branch_labels = None
depends_on = None

# A transaction for each thousand leads, so that none is locked for long.
IN_BATCHES = """
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
            {statement};
            last := ARRAY[after.tenants[cardinality(after.ids)], after.ids[cardinality(after.ids)]];
            COMMIT;
        END LOOP;
    END $$
"""
FILL = """
    UPDATE leads l SET flags = l.flags || jsonb_build_object('source', s.name)
      FROM unnest(after.tenants, after.ids) f(tenant_id, id), sources s
     WHERE l.tenant_id = f.tenant_id AND l.id = f.id AND s.tenant_id = l.tenant_id AND s.id = l.source_id
       AND l.erased_at IS NULL AND NOT l.flags ? 'source'
"""
EMPTY = """
    UPDATE leads l SET flags = l.flags - 'source'
      FROM unnest(after.tenants, after.ids) f(tenant_id, id)
     WHERE l.tenant_id = f.tenant_id AND l.id = f.id AND l.flags ? 'source'
"""


def upgrade() -> None:
    _in_batches(FILL)


def downgrade() -> None:
    _in_batches(EMPTY)


def _in_batches(statement: str) -> None:
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(IN_BATCHES.replace("{statement}", statement))
        op.execute("SET statement_timeout = '5min'")
