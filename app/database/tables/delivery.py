"""Events as they are written, their order, and who is owed them (delivery.md, section 1.2).

`events`, `event_log` and `attempts` are partitioned; their partitions are made by the first migration and by
`app/events/partitions.py`, never by the metadata. No foreign key points at events.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Identity, Index, Integer, SmallInteger, Table

from app.database.tables.columns import (
    document,
    instant,
    lists,
    metadata,
    of_tenant,
    own_id,
    stamps,
    table,
    uuid,
    version,
    words,
)

events = table(
    "events",
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    uuid("id", null=False),
    uuid("lead_id"),
    uuid("order_key", null=False),
    Column("lead_version", BigInteger),
    words("type", null=False),
    Column("schema_version", SmallInteger, nullable=False, server_default="1"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    uuid("tx_id", null=False),
    Column("tx_index", SmallInteger, nullable=False),
    Column("tx_size", SmallInteger, nullable=False),
    words("data", null=False),
    Index("events_id_idx", "tenant_id", "id"),
    Index("events_lead_id_idx", "tenant_id", "lead_id", "seq"),
    postgresql_partition_by="RANGE (seq)",
)

pending = table(
    "pending",
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("scope", SmallInteger, nullable=False, server_default="0"),
    Index("pending_scope_idx", "scope", "seq"),
)

sequencer = Table("sequencer", metadata, Column("scope", SmallInteger, primary_key=True, autoincrement=False))

event_log = table(
    "event_log",
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("event_seq", BigInteger, nullable=False),
    uuid("lead_id"),
    uuid("order_key", null=False),
    words("type", null=False),
    instant("recorded_at", null=False),
    Index("event_log_type_idx", "tenant_id", "type", "position"),
    Index("event_log_lead_id_idx", "tenant_id", "lead_id", "position"),
    postgresql_partition_by="RANGE (position)",
)

subscriptions = table(
    "subscriptions",
    own_id(),
    version(),
    words("url", null=False),
    document("types", empty="[]"),
    document("filter"),
    words("mode", null=False, server_default="full"),
    words("headers"),  # encrypted
    words("secrets", null=False),  # encrypted
    document("limits"),
    words("state", null=False, server_default="active"),
    words("state_reason"),
    *stamps(),
    *lists("subscriptions", "created_at"),
)

lanes = table(
    "lanes",
    uuid("subscription_id", null=False, primary_key=True),
    Column("lane_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    uuid("owner"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    instant("lease_until", null=False, server_default="-infinity"),
    instant("due_at", null=False, server_default="-infinity"),
    document("breaker"),
    of_tenant("subscriptions", "subscription_id"),
    Index("lanes_due_at_idx", "due_at"),
    postgresql_with={"fillfactor": 50},
)

delivery_retries = table(
    "delivery_retries",
    uuid("subscription_id", null=False, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    uuid("order_key", null=False),
    uuid("event_id", null=False),
    uuid("lead_id"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    instant("next_at"),
    words("state", null=False),
    Column("last_code", Integer),
    words("last_error"),
    of_tenant("subscriptions", "subscription_id"),
    Index("delivery_retries_order_key_idx", "tenant_id", "subscription_id", "order_key", "position"),
    Index(
        "delivery_retries_next_at_idx", "tenant_id", "subscription_id", "next_at", postgresql_where="state = 'retry'"
    ),
)

attempts = table(
    "attempts",
    uuid("subscription_id", null=False, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    instant("at", null=False, primary_key=True),
    uuid("event_id", null=False),
    uuid("lead_id"),
    Column("ms", Integer, nullable=False),
    Column("code", Integer),
    words("error_kind"),
    words("response_head"),
    words("trigger", null=False),
    Index("attempts_at_idx", "tenant_id", "subscription_id", "at"),
    postgresql_partition_by="RANGE (at)",
)
