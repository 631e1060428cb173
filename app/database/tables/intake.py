"""What comes in: sources, submissions as they came, and what became of each item."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, LargeBinary

from app.database.tables.columns import document, instant, lists, of_tenant, own_id, stamps, table, uuid, version, words

sources = table(
    "sources",
    own_id(),
    version(),
    words("key", null=False),
    words("name", null=False),
    words("preset", null=False),
    document("overrides"),
    words("secrets"),  # encrypted (promises.md, secrets at rest)
    document("defaults"),
    Column("enabled", Boolean, nullable=False, server_default="true"),
    Column("builtin", Boolean, nullable=False, server_default="false"),
    instant("archived_at"),
    *stamps(),
    Index("sources_key_key", "key", unique=True),
    Index("sources_builtin_key", "tenant_id", "name", unique=True, postgresql_where="builtin"),
    *lists("sources", "created_at"),
)

submissions = table(
    "submissions",
    own_id(),
    uuid("source_id", null=False),
    words("method", null=False),
    words("query", null=False),
    document("headers"),
    Column("body", LargeBinary, nullable=False),
    words("sha256", null=False),
    words("state", null=False, server_default="received"),
    Column("tries", Integer, nullable=False, server_default="0"),
    instant("received_at", null=False),
    instant("processed_at"),
    Index("submissions_received_idx", "received_at", "id", postgresql_where="state = 'received'"),
    Index("submissions_received_at_idx", "tenant_id", "received_at", "id"),
    Index("submissions_source_id_idx", "tenant_id", "source_id", "received_at", "id"),
)

submission_items = table(
    "submission_items",
    uuid("submission_id", null=False, primary_key=True),
    Column("index", Integer, primary_key=True),
    uuid("source_id", null=False),
    words("submission_key"),
    words("verdict", null=False),
    uuid("lead_id"),
    words("reason"),
    document("mapped", null=True),
    of_tenant("submissions", "submission_id"),
    Index(
        "submission_items_submission_key_key",
        "tenant_id",
        "source_id",
        "submission_key",
        unique=True,
        postgresql_where="verdict NOT IN ('duplicate', 'quarantined')",
    ),
    Index("submission_items_lead_id_idx", "tenant_id", "lead_id"),
)
