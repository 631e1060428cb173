"""Events as written, their order in the log, and their delivery to subscriptions (delivery.md, section 1.2).

`events`, `event_log` and `attempts` are partitioned; their partitions are made by the first migration and by
`app/events/partitions.py`, not by the metadata. No foreign key references events.
"""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Float,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from app.database.tables.columns import (
    id_column,
    instant,
    jsonb,
    list_indexes,
    metadata,
    sealed,
    string,
    tenant_foreign_key,
    tenant_table,
    timestamps,
    uuid,
    version,
)

events = tenant_table(
    "events",
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    uuid("id", null=False),
    uuid("lead_id"),
    uuid("order_key", null=False),
    Column("lead_version", BigInteger),
    string("type", null=False),
    Column("schema_version", SmallInteger, nullable=False, server_default="1"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    uuid("tx_id", null=False),
    Column("tx_index", SmallInteger, nullable=False),
    Column("tx_size", SmallInteger, nullable=False),
    string("data", null=False),
    jsonb("lead_computed", null=True),  # what time alone changes in the lead's answer; in the last event of a version
    Index("events_id_idx", "tenant_id", "id"),
    Index("events_lead_version_idx", "tenant_id", "lead_id", "lead_version", postgresql_where="tx_index = tx_size"),
    postgresql_partition_by="RANGE (seq)",
)

# Of the last event of each version of a lead whose partition was dropped: what reports and `as_of` read.
kept_scores = tenant_table(
    "kept_scores",
    uuid("lead_id", null=False, primary_key=True),
    Column("lead_version", BigInteger, primary_key=True, autoincrement=False),
    instant("recorded_at", null=False),
    Column("engagement", Integer),
    string("temperature"),  # null in a version of the first release, which did not say it
    instant("below_threshold_since"),
)

pending = tenant_table(
    "pending",
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("scope", SmallInteger, nullable=False, server_default="0"),
    Index("pending_scope_idx", "scope", "seq"),
)

sequencer = Table("sequencer", metadata, Column("scope", SmallInteger, primary_key=True, autoincrement=False))

event_log = tenant_table(
    "event_log",
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    Column("event_seq", BigInteger, nullable=False),
    uuid("lead_id"),
    uuid("order_key", null=False),
    string("type", null=False),
    instant("recorded_at", null=False),
    Index("event_log_without_lead_idx", "tenant_id", "event_seq", postgresql_where="lead_id IS NULL"),
    Index("event_log_lead_id_idx", "tenant_id", "lead_id", "position"),
    postgresql_partition_by="RANGE (position)",
)

subscriptions = tenant_table(
    "subscriptions",
    id_column(),
    version(),
    string("url", null=False),
    jsonb("types", empty="[]"),
    jsonb("filter"),
    jsonb("condition"),
    Column("schema_version", SmallInteger, nullable=False, server_default="1"),
    string("mode", null=False, server_default="full"),
    jsonb("include", empty="[]"),
    sealed("headers", "headers"),
    sealed("secrets", "secret", null=False),
    sealed("ed25519_keys", "ed25519"),
    sealed("credentials", "credentials"),
    string("format", null=False, server_default="standard"),
    Column("handshake", Boolean, nullable=False, server_default="false"),
    instant("consented_at"),  # when its receiver agreed; null: it has not, or was not asked
    Column("allowed_rate", Integer),  # requests a minute; null: any number
    jsonb("limits"),
    Column("lanes", SmallInteger, nullable=False, server_default="1"),
    string("on_dead", null=False, server_default="skip"),
    Column("disable_after_days", Integer, nullable=False, server_default="5"),
    string("state", null=False, server_default="active"),
    string("state_reason"),
    *timestamps(),
    *list_indexes("subscriptions", "created_at"),
)

lanes = tenant_table(
    "lanes",
    uuid("subscription_id", null=False, primary_key=True),
    Column("lane_no", SmallInteger, primary_key=True, autoincrement=False),
    Column("lane_count", SmallInteger, nullable=False, server_default="1"),  # how many lanes the subscription has
    Column("position", BigInteger, nullable=False),
    Column("reached", BigInteger, nullable=False, server_default="0"),  # nothing was delivered after it
    jsonb("passed"),  # what lanes of an earlier number have handled
    uuid("owner"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    instant("lease_until", null=False, server_default="-infinity"),
    instant("due_at", null=False, server_default="-infinity"),
    jsonb("breaker"),
    instant("delivered_at"),  # the latest success
    Column("wanted", Boolean, nullable=False, server_default=false()),  # by a process that serves fewer of them
    instant("moved_at"),  # attempts before it do not count: somebody set the position
    tenant_foreign_key("subscriptions", "subscription_id"),
    Index("lanes_due_at_idx", "due_at"),
    Index("lanes_several_idx", "tenant_id", "subscription_id", "lane_no", postgresql_where="lane_count > 1"),
    postgresql_with={"fillfactor": 50},
)

replays = tenant_table(
    "replays",
    id_column(),
    uuid("subscription_id", null=False),
    jsonb("types", empty="[]"),
    jsonb("lead_ids", null=True),  # null: of all leads
    string("only", null=False),  # all, failed
    Column("rate", Float),  # requests a second; null: as many as a share of the concurrency gives
    Column("after_position", BigInteger, nullable=False),
    Column("to_position", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),  # everything up to it is handled
    jsonb("ahead", empty="[]"),  # positions after it that are handled, too
    Column("sent", BigInteger, nullable=False, server_default="0"),
    Column("failed", BigInteger, nullable=False, server_default="0"),
    string("state", null=False, server_default="pending"),
    string("state_reason"),
    instant("started_at"),
    instant("finished_at"),
    *timestamps(),
    tenant_foreign_key("subscriptions", "subscription_id"),
    Index("replays_list_idx", "tenant_id", "subscription_id", "created_at", "id"),
    Index("replays_active_idx", "tenant_id", "subscription_id", postgresql_where="state IN ('pending', 'running')"),
)

# The events up to `position` are acknowledged. `event_id` is that of the event there, which its cursor names; null
# where the consumer begins before the first event that is kept.
consumers = tenant_table(
    "consumers",
    id_column(),
    version(),
    string("name", null=False),
    Column("types", ARRAY(Text)),  # null: of all types
    uuid("lead_id"),
    Column("position", BigInteger, nullable=False),
    uuid("event_id"),
    instant("acknowledged_at"),
    *timestamps(),
    UniqueConstraint("tenant_id", "name"),
    *list_indexes("consumers", "created_at"),
    postgresql_with={"fillfactor": 50},
)

delivery_retries = tenant_table(
    "delivery_retries",
    uuid("subscription_id", null=False, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    uuid("order_key", null=False),
    uuid("event_id", null=False),
    uuid("lead_id"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    instant("next_at"),
    string("state", null=False),
    Column("last_code", Integer),
    string("last_error"),
    string("request"),  # retry, discard or skip: what the owner of the lane is asked to do with it
    Column("blocks", Boolean, nullable=False, server_default=false()),  # dead, and its lead waits
    tenant_foreign_key("subscriptions", "subscription_id"),
    Index("delivery_retries_state_idx", "tenant_id", "subscription_id", "state", "position"),
    Index("delivery_retries_order_key_idx", "tenant_id", "subscription_id", "order_key", "position"),
    Index(
        "delivery_retries_next_at_idx", "tenant_id", "subscription_id", "next_at", postgresql_where="state = 'retry'"
    ),
    Index(
        "delivery_retries_request_idx",
        "tenant_id",
        "subscription_id",
        "position",
        postgresql_where="request IS NOT NULL",
    ),
    Index("delivery_retries_blocks_idx", "tenant_id", "subscription_id", "order_key", postgresql_where="blocks"),
)

attempts = tenant_table(
    "attempts",
    uuid("subscription_id", null=False, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("n", Integer, primary_key=True, autoincrement=False),
    instant("at", null=False, primary_key=True),
    uuid("event_id", null=False),
    uuid("lead_id"),
    Column("ms", Integer, nullable=False),
    Column("code", Integer),
    string("error_kind"),
    string("response_head"),
    string("trigger", null=False),
    Index("attempts_at_idx", "tenant_id", "subscription_id", "at"),
    postgresql_partition_by="RANGE (at)",
)
