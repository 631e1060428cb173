"""Events of a lead are found by its versions; indexes that no statement reads are gone (docs/decisions/0064).

Revision ID: 0039_less_room
Revises: 0041_who_let_a_lead_lie

The index by version has one entry for each change of a lead, not one for each event. Old code used the one by `seq` for
reads with `as_of` only, which are slow until its processes are replaced. All steps can be repeated, since they commit
as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0039_less_room"
down_revision = "0041_who_let_a_lead_lie"
branch_labels = None
depends_on = None

BY_VERSION = "(tenant_id, lead_id, lead_version) WHERE tx_index = tx_size"
BY_SEQ = "(tenant_id, lead_id, seq)"
UNUSED = {
    "match_keys_lead_id_idx": "INDEX CONCURRENTLY match_keys_lead_id_idx ON match_keys (tenant_id, lead_id)",
    "transitions_id_key": "UNIQUE INDEX CONCURRENTLY transitions_id_key ON transitions (tenant_id, id)",
    "opportunity_transitions_id_key": "UNIQUE INDEX CONCURRENTLY opportunity_transitions_id_key"
    " ON opportunity_transitions (tenant_id, id)",
}
# The partitions that have no part of the index.
WITHOUT = sa.text(
    """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'events'::regclass
       AND NOT EXISTS (SELECT FROM pg_inherits a JOIN pg_index x ON x.indexrelid = a.inhrelid
                        WHERE a.inhparent = to_regclass(:name) AND x.indrelid = c.oid)
     ORDER BY 1
    """
)


def index_events(name: str, definition: str) -> None:
    """An index of the partitioned table: a partition made meanwhile has it, and for each other one it is built without
    blocking writers, then attached."""
    # The index of a partitioned table holds nothing itself, and cannot be made or dropped CONCURRENTLY.
    op.execute(
        "-- squawk-ignore require-concurrent-index-creation\n"
        f"CREATE INDEX IF NOT EXISTS events_{name} ON ONLY events {definition}"
    )
    offline = context.is_offline_mode()
    for partition in () if offline else op.get_bind().scalars(WITHOUT, {"name": f"events_{name}"}).all():
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {partition}_{name}")  # left by an interrupted build
        op.execute(f"CREATE INDEX CONCURRENTLY {partition}_{name} ON {partition} {definition}")
        op.execute(f"ALTER INDEX events_{name} ATTACH PARTITION {partition}_{name}")


def drop_index_of_events(name: str) -> None:
    op.execute(f"-- squawk-ignore require-concurrent-index-deletion\nDROP INDEX IF EXISTS events_{name}")


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        index_events("lead_version_idx", BY_VERSION)
        drop_index_of_events("lead_id_idx")
        for name in UNUSED:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        op.execute("SET statement_timeout = '5min'")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name, definition in UNUSED.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE {definition}")
        index_events("lead_id_idx", BY_SEQ)
        drop_index_of_events("lead_version_idx")
