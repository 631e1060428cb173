"""Sources, imports of lists, submissions as received, and the outcome of each of their items."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary

from app.database.tables.columns import (
    id_column,
    instant,
    jsonb,
    list_indexes,
    sealed,
    string,
    tenant_foreign_key,
    tenant_table,
    timestamps,
    uuid,
    version,
)

sources = tenant_table(
    "sources",
    id_column(),
    version(),
    string("key", null=False),
    string("name", null=False),
    string("preset", null=False),
    jsonb("overrides"),
    sealed("secrets", "source.secrets"),
    jsonb("defaults"),
    Column("enabled", Boolean, nullable=False, server_default="true"),
    Column("builtin", Boolean, nullable=False, server_default="false"),
    instant("archived_at"),
    *timestamps(),
    Index("sources_key_key", "key", unique=True),
    Index("sources_builtin_key", "tenant_id", "name", unique=True, postgresql_where="builtin"),
    *list_indexes("sources", "created_at"),
)

imports = tenant_table(
    "imports",
    id_column(),
    uuid("source_id", null=False),
    string("name"),  # of the file
    string("state", null=False, server_default="receiving"),  # receiving, stored, cancelled
    string("sha256"),  # of the file, once all of it has arrived
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    Column("rows", Integer, nullable=False, server_default="0"),
    jsonb("columns", empty="[]"),
    string("delimiter"),
    Column("text_guessed", Boolean, nullable=False, server_default="false"),
    jsonb("options"),
    instant("cancelled_at"),
    *timestamps(),
    tenant_foreign_key("sources", "source_id"),
    Index("imports_receiving_idx", "updated_at", postgresql_where="state = 'receiving'"),
    *list_indexes("imports", "created_at"),
)

submissions = tenant_table(
    "submissions",
    id_column(),
    uuid("source_id", null=False),
    string("method", null=False),
    string("query", null=False),
    jsonb("headers"),
    Column("body", LargeBinary, nullable=False),
    string("sha256", null=False),
    string("state", null=False, server_default="received"),
    Column("tries", Integer, nullable=False, server_default="0"),
    instant("retry_at"),  # after a try that the database aborted; null otherwise
    instant("received_at", null=False),
    instant("processed_at"),
    instant("emptied_at"),  # when retention removed the request
    string("client_address"),  # kept where the source asks for consents
    string("suspicion"),  # why it was taken for spam when it was received
    string("bot_check"),  # waiting, then passed, failed or unverified; null where the source has none
    jsonb("review", null=True),  # what a person has said of it: verdict, actor, at
    uuid("import_id"),  # of rows of a list; the state is `arriving` until the list is stored, then `listed`
    jsonb("listed", null=True),  # the numbers of these rows, what is wrong with them, and what holds for the list
    jsonb("verdicts", null=True),  # how many of these rows have each verdict
    Index("submissions_waiting_idx", "tenant_id", "received_at", "id", postgresql_where="state = 'received'"),
    # For the release before, which processes all tenants in one queue; to be dropped in the next.
    Index("submissions_received_idx", "received_at", "id", postgresql_where="state = 'received'"),
    Index("submissions_quarantined_idx", "tenant_id", "received_at", "id", postgresql_where="state = 'quarantined'"),
    Index(
        "submissions_full_idx",
        "tenant_id",
        "received_at",
        postgresql_where="state = 'processed' AND emptied_at IS NULL",
    ),
    Index("submissions_received_at_idx", "tenant_id", "received_at", "id"),
    Index("submissions_unchecked_idx", "tenant_id", "received_at", "id", postgresql_where="bot_check = 'waiting'"),
    Index("submissions_listed_idx", "tenant_id", "received_at", "id", postgresql_where="state = 'listed'"),
    Index("submissions_import_idx", "tenant_id", "import_id", "id", postgresql_where="import_id IS NOT NULL"),
    Index("submissions_source_id_idx", "tenant_id", "source_id", "received_at", "id"),
)

submission_items = tenant_table(
    "submission_items",
    uuid("submission_id", null=False, primary_key=True),
    Column("index", Integer, primary_key=True),
    uuid("source_id", null=False),
    string("submission_key"),
    string("verdict", null=False),
    uuid("lead_id"),
    string("reason"),
    jsonb("mapped", null=True),
    instant("fetch_at"),  # when the record that the item names is fetched next; null otherwise
    Column("fetch_tries", Integer, nullable=False, server_default="0"),
    tenant_foreign_key("submissions", "submission_id"),
    Index(
        "submission_items_submission_key_key",
        "tenant_id",
        "source_id",
        "submission_key",
        unique=True,
        postgresql_where="verdict NOT IN ('duplicate', 'quarantined')",
    ),
    Index("submission_items_lead_id_idx", "tenant_id", "lead_id"),
    Index("submission_items_fetch_at_idx", "tenant_id", "fetch_at", postgresql_where="fetch_at IS NOT NULL"),
    Index(
        "submission_items_verdict_idx", "tenant_id", "verdict", "submission_id", postgresql_where="verdict <> 'lead'"
    ),
)
