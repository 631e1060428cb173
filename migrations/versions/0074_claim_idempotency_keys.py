"""A function locks the Idempotency-Keys of a batch and reads their stored responses, in one round trip.

Revision ID: 0074_claim_idempotency_keys
Revises: 0072_erased_records

Its second statement has a snapshot taken after the locks, so that a response that was stored meanwhile is found.
All steps can be repeated.
"""

from __future__ import annotations

from alembic import op

revision = "0074_claim_idempotency_keys"
down_revision = "0072_erased_records"
branch_labels = None
depends_on = None

CLAIM = """
CREATE OR REPLACE FUNCTION claim_idempotency_keys(of_tenant uuid, wanted text[])
RETURNS TABLE (key text, mine boolean, fingerprint text, status integer, headers jsonb, body text)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    locked text[];
BEGIN
    SELECT array_agg(w.name) INTO locked FROM unnest(wanted) AS w(name)
     WHERE pg_try_advisory_xact_lock(hashtextextended(of_tenant || ':' || w.name, 0));
    RETURN QUERY
        SELECT w.name, coalesce(w.name = ANY(locked), false), k.fingerprint, k.status, k.headers, k.body
          FROM unnest(wanted) AS w(name)
          LEFT JOIN LATERAL (
               SELECT * FROM idempotency_keys i WHERE i.tenant_id = of_tenant AND i.key = w.name LIMIT 1) k ON true;
END
$$
"""


def upgrade() -> None:
    op.execute(CLAIM)


def downgrade() -> None:
    op.execute("DROP FUNCTION IF EXISTS claim_idempotency_keys(uuid, text[])")
