"""Who sourced a contact, and the indexes that the pipeline report and the people of an account need.

Revision ID: 0044_pipeline_and_people
Revises: 0043_reports_of_clocks

A new column that may be null, and indexes, which old code does not know. All steps can be repeated, since they commit
as they go.
"""

from __future__ import annotations

from alembic import op

revision = "0044_pipeline_and_people"
down_revision = "0043_reports_of_clocks"
branch_labels = None
depends_on = None

FOREIGN_KEY = "contacts_tenant_id_sourced_by_fkey"
INDEXES = {
    "opportunity_states_recorded_at_idx": "opportunity_states (tenant_id, recorded_at, opportunity_id)",
    "opportunity_transitions_entered_idx": "opportunity_transitions (tenant_id, to_stage, occurred_at)",
    "contacts_email_domain_idx": "contacts (tenant_id, split_part(email_key, '@', 2))"
    " WHERE account_id IS NULL AND archived_at IS NULL",
}


def upgrade() -> None:
    op.execute("ALTER TABLE contacts ADD COLUMN IF NOT EXISTS sourced_by uuid")
    op.execute(f"-- squawk-ignore ban-drop-constraint\nALTER TABLE contacts DROP CONSTRAINT IF EXISTS {FOREIGN_KEY}")
    op.execute(
        f"ALTER TABLE contacts ADD CONSTRAINT {FOREIGN_KEY} FOREIGN KEY (tenant_id, sourced_by)"
        " REFERENCES users (tenant_id, id) NOT VALID"
    )
    op.execute(f"-- squawk-ignore constraint-missing-not-valid\nALTER TABLE contacts VALIDATE CONSTRAINT {FOREIGN_KEY}")
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an interrupted build leaves one that is not valid
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {definition}")
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    op.execute("ALTER TABLE contacts DROP COLUMN IF EXISTS sourced_by")
