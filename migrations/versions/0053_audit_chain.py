"""Rows of the audit log are numbered and chained by hashes.

Revision ID: 0053_audit_chain
Revises: 0052_what_corrections_void

The trigger numbers the rows of old code, too.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0053_audit_chain"
down_revision = "0052_what_corrections_void"
branch_labels = None
depends_on = None

HASH = """
    CREATE OR REPLACE FUNCTION audit_hash(before bytea, entry audit) RETURNS bytea LANGUAGE sql STABLE AS $$
        SELECT sha256(before || convert_to(jsonb_build_array(
            (entry).number, (entry).id,
            to_char((entry).recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            (entry).act, (entry).subject, (entry).actor, (entry).detail)::text, 'UTF8'))
    $$
"""
# The row of `audit_heads` is locked until the transaction ends, so that two rows cannot follow the same one.
CHAIN = """
    CREATE OR REPLACE FUNCTION chain_audit() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE head audit_heads;
    BEGIN
        INSERT INTO audit_heads (tenant_id, number, hash) VALUES (NEW.tenant_id, 0, '')
            ON CONFLICT (tenant_id) DO NOTHING;
        SELECT * INTO STRICT head FROM audit_heads WHERE tenant_id = NEW.tenant_id FOR UPDATE;
        NEW.number := head.number + 1;
        NEW.hash := audit_hash(head.hash, NEW);
        UPDATE audit_heads SET number = NEW.number, hash = NEW.hash WHERE tenant_id = NEW.tenant_id;
        RETURN NEW;
    END $$
"""
CHAIN_WHAT_IS_THERE = """
    DO $$
    DECLARE entry audit; head audit_heads;
    BEGIN
        FOR entry IN SELECT * FROM audit WHERE tenant_id NOT IN (SELECT tenant_id FROM audit_heads)
                      ORDER BY tenant_id, recorded_at, id LOOP
            IF head.tenant_id IS DISTINCT FROM entry.tenant_id THEN
                head := (entry.tenant_id, 0, ''::bytea);
            END IF;
            entry.number := head.number + 1;
            head := (entry.tenant_id, entry.number, audit_hash(head.hash, entry));
            UPDATE audit SET number = head.number, hash = head.hash
             WHERE tenant_id = entry.tenant_id AND id = entry.id;
            INSERT INTO audit_heads VALUES (head.*)
                ON CONFLICT (tenant_id) DO UPDATE SET number = excluded.number, hash = excluded.hash;
        END LOOP;
    END $$
"""


def upgrade() -> None:
    """All steps can be repeated."""
    op.add_column("audit", sa.Column("number", sa.BigInteger()), if_not_exists=True)
    op.add_column("audit", sa.Column("hash", sa.LargeBinary()), if_not_exists=True)
    op.create_table(
        "audit_heads",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("audit_heads_pkey")),
        if_not_exists=True,
    )
    op.execute(HASH)
    op.execute(CHAIN)
    op.execute("ALTER TABLE audit DISABLE TRIGGER audit_append_only")
    op.execute(CHAIN_WHAT_IS_THERE)
    op.execute("ALTER TABLE audit ENABLE TRIGGER audit_append_only")
    op.execute("DROP TRIGGER IF EXISTS audit_chain ON audit")
    op.execute("CREATE TRIGGER audit_chain BEFORE INSERT ON audit FOR EACH ROW EXECUTE FUNCTION chain_audit()")


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_chain ON audit")
    op.execute("DROP FUNCTION chain_audit")
    op.execute("DROP FUNCTION audit_hash")
    op.drop_table("audit_heads")
    op.drop_column("audit", "hash")
    op.drop_column("audit", "number")
