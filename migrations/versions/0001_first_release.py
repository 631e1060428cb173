"""The first release.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WIDTH = 5_000_000  # rows in a partition of events and of event_log (delivery.md, section 1.7)
TABLES_OF_NUMBERS = ("events", "event_log")


def upgrade() -> None:
    make_tables()
    make_partitions()
    op.execute("INSERT INTO sequencer (scope) VALUES (0)")
    op.execute("ALTER TABLE pending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000)")
    guard_the_audit()


def make_partitions() -> None:
    """The first three partitions of each log; later ones are made by the dispatcher, two ahead."""
    for table in TABLES_OF_NUMBERS:
        for n in range(3):
            first = 1 + n * WIDTH
            op.execute(
                f"CREATE TABLE {table}_{n:05d} PARTITION OF {table} FOR VALUES FROM ({first}) TO ({first + WIDTH})"
            )
    op.execute(
        """
        DO $$ DECLARE day date; BEGIN
            FOR day IN SELECT generate_series(0, 14) + (now() AT TIME ZONE 'UTC')::date LOOP
                EXECUTE format('CREATE TABLE attempts_%s PARTITION OF attempts FOR VALUES FROM (%L) TO (%L)',
                               to_char(day, 'YYYYMMDD'), day || ' 00:00:00+00', (day + 1) || ' 00:00:00+00');
            END LOOP;
        END $$
        """
    )


def guard_the_audit() -> None:
    op.execute(
        """
        CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'audit is append-only'; END $$
        """
    )
    op.execute(
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit"
        " FOR EACH ROW EXECUTE FUNCTION audit_is_append_only()"
    )


def downgrade() -> None:
    drop_tables()
    op.execute("DROP FUNCTION audit_is_append_only")


def make_tables() -> None:
    op.create_table(
        "attempts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("ms", sa.Integer(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=True),
        sa.Column("error_kind", sa.Text(), nullable=True),
        sa.Column("response_head", sa.Text(), nullable=True),
        sa.Column("trigger", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "subscription_id", "position", "n", "at", name=op.f("attempts_pkey")),
        postgresql_partition_by="RANGE (at)",
    )
    op.create_index("attempts_at_idx", "attempts", ["tenant_id", "subscription_id", "at"], unique=False)
    op.create_table(
        "audit",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "actor", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column(
            "detail", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("audit_pkey")),
    )
    op.create_table(
        "event_log",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("order_key", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "position", name=op.f("event_log_pkey")),
        postgresql_partition_by="RANGE (position)",
    )
    op.create_index("event_log_lead_id_idx", "event_log", ["tenant_id", "lead_id", "position"], unique=False)
    op.create_index("event_log_type_idx", "event_log", ["tenant_id", "type", "position"], unique=False)
    op.create_table(
        "events",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("order_key", sa.Uuid(), nullable=False),
        sa.Column("lead_version", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("schema_version", sa.SmallInteger(), server_default="1", nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tx_id", sa.Uuid(), nullable=False),
        sa.Column("tx_index", sa.SmallInteger(), nullable=False),
        sa.Column("tx_size", sa.SmallInteger(), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "seq", name=op.f("events_pkey")),
        postgresql_partition_by="RANGE (seq)",
    )
    op.create_index("events_id_idx", "events", ["tenant_id", "id"], unique=False)
    op.create_index("events_lead_id_idx", "events", ["tenant_id", "lead_id", "seq"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column(
            "headers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "key", name=op.f("idempotency_keys_pkey")),
    )
    op.create_index("idempotency_keys_created_at_idx", "idempotency_keys", ["tenant_id", "created_at"], unique=False)
    op.create_table(
        "keys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("keys_pkey")),
    )
    op.create_index("keys_created_at_idx", "keys", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index("keys_secret_sha256_key", "keys", ["secret_sha256"], unique=True)
    op.create_table(
        "pending",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("scope", sa.SmallInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "seq", name=op.f("pending_pkey")),
    )
    op.create_index("pending_scope_idx", "pending", ["scope", "seq"], unique=False)
    op.create_table(
        "policies",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("effective_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("policies_pkey")),
    )
    op.create_index("policies_active_key", "policies", ["tenant_id"], unique=True, postgresql_where="state = 'active'")
    op.create_index("policies_created_at_idx", "policies", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index("policies_number_key", "policies", ["tenant_id", "number"], unique=True)
    op.create_table(
        "sequencer",
        sa.Column("scope", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("scope", name=op.f("sequencer_pkey")),
    )
    op.create_table(
        "sources",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("preset", sa.Text(), nullable=False),
        sa.Column(
            "overrides", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("secrets", sa.Text(), nullable=True),
        sa.Column(
            "defaults", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("enabled", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("builtin", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("sources_pkey")),
    )
    op.create_index("sources_builtin_key", "sources", ["tenant_id", "name"], unique=True, postgresql_where="builtin")
    op.create_index("sources_created_at_idx", "sources", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index("sources_key_key", "sources", ["key"], unique=True)
    op.create_table(
        "submissions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column(
            "headers", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="received", nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("processed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("submissions_pkey")),
    )
    op.create_index("submissions_received_at_idx", "submissions", ["tenant_id", "received_at", "id"], unique=False)
    op.create_index(
        "submissions_received_idx",
        "submissions",
        ["received_at", "id"],
        unique=False,
        postgresql_where="state = 'received'",
    )
    op.create_index(
        "submissions_source_id_idx", "submissions", ["tenant_id", "source_id", "received_at", "id"], unique=False
    )
    op.create_table(
        "subscriptions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column(
            "types", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'[]'::jsonb"), nullable=False
        ),
        sa.Column(
            "filter", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("mode", sa.Text(), server_default="full", nullable=False),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("secrets", sa.Text(), nullable=False),
        sa.Column(
            "limits", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("state", sa.Text(), server_default="active", nullable=False),
        sa.Column("state_reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("subscriptions_pkey")),
    )
    op.create_index("subscriptions_created_at_idx", "subscriptions", ["tenant_id", "created_at", "id"], unique=False)
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret_salt", sa.Text(), nullable=False),
        sa.Column(
            "calendar", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("tenants_pkey")),
    )
    op.create_table(
        "users",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column(
            "working_hours",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("active", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("users_pkey")),
    )
    op.create_index("users_created_at_idx", "users", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index("users_email_key", "users", ["tenant_id", "email"], unique=True)
    op.create_index("users_external_id_key", "users", ["tenant_id", "external_id"], unique=True)
    op.create_table(
        "activations",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "policy_id"],
            ["policies.tenant_id", "policies.id"],
            name=op.f("activations_tenant_id_policy_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "at", name=op.f("activations_pkey")),
    )
    op.create_table(
        "delivery_retries",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("order_key", sa.Uuid(), nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("last_code", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "subscription_id"],
            ["subscriptions.tenant_id", "subscriptions.id"],
            name=op.f("delivery_retries_tenant_id_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "subscription_id", "position", name=op.f("delivery_retries_pkey")),
    )
    op.create_index(
        "delivery_retries_next_at_idx",
        "delivery_retries",
        ["tenant_id", "subscription_id", "next_at"],
        unique=False,
        postgresql_where="state = 'retry'",
    )
    op.create_index(
        "delivery_retries_order_key_idx",
        "delivery_retries",
        ["tenant_id", "subscription_id", "order_key", "position"],
        unique=False,
    )
    op.create_table(
        "lanes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("lane_no", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=True),
        sa.Column("fence", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), server_default="-infinity", nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default="-infinity", nullable=False),
        sa.Column(
            "breaker", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "subscription_id"],
            ["subscriptions.tenant_id", "subscriptions.id"],
            name=op.f("lanes_tenant_id_subscription_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "subscription_id", "lane_no", name=op.f("lanes_pkey")),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("lanes_due_at_idx", "lanes", ["due_at"], unique=False)
    op.create_table(
        "leads",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("kind", sa.Text(), server_default="person", nullable=False),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("stage_entered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "fields", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "raw", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "custom", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "flags", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "consents", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("first_touch", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("last_touch", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("fit", sa.Integer(), server_default="0", nullable=False),
        sa.Column("engagement", sa.Integer(), server_default="0", nullable=False),
        sa.Column("level", sa.Integer(), server_default="0", nullable=False),
        sa.Column("temperature", sa.Text(), server_default="cold", nullable=False),
        sa.Column("below_threshold_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("evaluate_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("opportunity_id", sa.Uuid(), nullable=True),
        sa.Column("merged_into", sa.Uuid(), nullable=True),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "owner_id"], ["users.tenant_id", "users.id"], name=op.f("leads_tenant_id_owner_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("leads_pkey")),
    )
    op.create_index("leads_created_at_idx", "leads", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index(
        "leads_evaluate_at_idx", "leads", ["evaluate_at"], unique=False, postgresql_where="evaluate_at IS NOT NULL"
    )
    op.create_index(
        "leads_owner_id_idx",
        "leads",
        ["tenant_id", "owner_id", "id"],
        unique=False,
        postgresql_where="owner_id IS NOT NULL",
    )
    op.create_index("leads_stage_entered_at_idx", "leads", ["tenant_id", "stage_entered_at", "id"], unique=False)
    op.create_index("leads_stage_idx", "leads", ["tenant_id", "stage", "stage_entered_at", "id"], unique=False)
    op.create_index("leads_updated_at_idx", "leads", ["tenant_id", "updated_at", "id"], unique=False)
    op.create_table(
        "submission_items",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("submission_id", sa.Uuid(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=False),
        sa.Column("submission_key", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("mapped", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "submission_id"],
            ["submissions.tenant_id", "submissions.id"],
            name=op.f("submission_items_tenant_id_submission_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "submission_id", "index", name=op.f("submission_items_pkey")),
    )
    op.create_index("submission_items_lead_id_idx", "submission_items", ["tenant_id", "lead_id"], unique=False)
    op.create_index(
        "submission_items_submission_key_key",
        "submission_items",
        ["tenant_id", "source_id", "submission_key"],
        unique=True,
        postgresql_where="verdict NOT IN ('duplicate', 'quarantined')",
    )
    op.create_table(
        "accounts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("name_key", sa.Text(), nullable=True),
        sa.Column("domain", sa.Text(), nullable=True),
        sa.Column("website", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("industry", sa.Text(), nullable=True),
        sa.Column("employees", sa.Integer(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column(
            "custom", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("origin_lead_id", sa.Uuid(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "origin_lead_id"],
            ["leads.tenant_id", "leads.id"],
            name=op.f("accounts_tenant_id_origin_lead_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "owner_id"], ["users.tenant_id", "users.id"], name=op.f("accounts_tenant_id_owner_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("accounts_pkey")),
    )
    op.create_index("accounts_created_at_idx", "accounts", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index(
        "accounts_domain_key", "accounts", ["tenant_id", "domain"], unique=True, postgresql_where="archived_at IS NULL"
    )
    op.create_index(
        "accounts_external_id_key",
        "accounts",
        ["tenant_id", "external_id"],
        unique=True,
        postgresql_where="archived_at IS NULL",
    )
    op.create_index("accounts_name_key_idx", "accounts", ["tenant_id", "name_key", "country"], unique=False)
    op.create_table(
        "activities",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("activity_key", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "properties", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("actor", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint("kind IN ('interest', 'contact_attempt')", name=op.f("activities_kind_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("activities_tenant_id_lead_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("activities_pkey")),
    )
    op.create_index("activities_activity_key_key", "activities", ["tenant_id", "lead_id", "activity_key"], unique=True)
    op.create_index("activities_occurred_at_idx", "activities", ["tenant_id", "lead_id", "occurred_at"], unique=False)
    op.create_table(
        "bant",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("criterion", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("evidence", sa.Text(), nullable=True),
        sa.Column("due_on", sa.Date(), nullable=True),
        sa.Column("amount", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("criterion IN ('budget', 'authority', 'need', 'timing')", name=op.f("bant_criterion_check")),
        sa.CheckConstraint("status IN ('unknown', 'confirmed', 'denied')", name=op.f("bant_status_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("bant_tenant_id_lead_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("bant_pkey")),
    )
    op.create_index("bant_lead_id_idx", "bant", ["tenant_id", "lead_id", "recorded_at"], unique=False)
    op.create_table(
        "consents",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("channel", sa.Text(), nullable=True),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("consents_tenant_id_lead_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("consents_pkey")),
    )
    op.create_index(
        "consents_lead_id_idx", "consents", ["tenant_id", "lead_id", "purpose", "recorded_at"], unique=False
    )
    op.create_table(
        "identities",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), server_default="", nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("primary", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("identities_tenant_id_lead_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "namespace", "value", name=op.f("identities_pkey")),
    )
    op.create_index("identities_lead_id_idx", "identities", ["tenant_id", "lead_id"], unique=False)
    op.create_table(
        "journeys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=True),
        sa.Column("business", sa.Text(), server_default="new", nullable=False),
        sa.Column("baseline_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("assigned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("previous_owner_id", sa.Uuid(), nullable=True),
        sa.Column("wake_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("recycles", sa.Integer(), server_default="0", nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closing_reason", sa.Text(), nullable=True),
        sa.Column("stage_entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("journeys_tenant_id_lead_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("journeys_pkey")),
    )
    op.create_index("journeys_number_key", "journeys", ["tenant_id", "lead_id", "number"], unique=True)
    op.create_index(
        "journeys_open_key", "journeys", ["tenant_id", "lead_id"], unique=True, postgresql_where="closed_at IS NULL"
    )
    op.create_table(
        "lead_changes",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "actor", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "before", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("lead_changes_tenant_id_lead_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "lead_id", "version", name=op.f("lead_changes_pkey")),
    )
    op.create_table(
        "shared_identities",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("primary", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"],
            ["leads.tenant_id", "leads.id"],
            name=op.f("shared_identities_tenant_id_lead_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "kind", "value", "lead_id", name=op.f("shared_identities_pkey")),
    )
    op.create_index("shared_identities_lead_id_idx", "shared_identities", ["tenant_id", "lead_id"], unique=False)
    op.create_table(
        "touches",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("source_id", sa.Uuid(), nullable=True),
        sa.Column("submission_id", sa.Uuid(), nullable=True),
        sa.Column(
            "attribution",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'::jsonb"),
            nullable=False,
        ),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("touches_tenant_id_lead_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("touches_pkey")),
    )
    op.create_index("touches_lead_id_idx", "touches", ["tenant_id", "lead_id", "recorded_at"], unique=False)
    op.create_table(
        "contacts",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("email_key", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("first_name", sa.Text(), nullable=True),
        sa.Column("last_name", sa.Text(), nullable=True),
        sa.Column("full_name", sa.Text(), nullable=True),
        sa.Column("job_title", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=True),
        sa.Column("seniority", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("website", sa.Text(), nullable=True),
        sa.Column(
            "custom", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("origin_lead_id", sa.Uuid(), nullable=True),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["accounts.tenant_id", "accounts.id"],
            name=op.f("contacts_tenant_id_account_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "origin_lead_id"],
            ["leads.tenant_id", "leads.id"],
            name=op.f("contacts_tenant_id_origin_lead_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "owner_id"], ["users.tenant_id", "users.id"], name=op.f("contacts_tenant_id_owner_id_fkey")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("contacts_pkey")),
    )
    op.create_index("contacts_account_id_idx", "contacts", ["tenant_id", "account_id"], unique=False)
    op.create_index("contacts_created_at_idx", "contacts", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index(
        "contacts_email_key_key",
        "contacts",
        ["tenant_id", "email_key"],
        unique=True,
        postgresql_where="archived_at IS NULL",
    )
    op.create_index(
        "contacts_external_id_key",
        "contacts",
        ["tenant_id", "external_id"],
        unique=True,
        postgresql_where="archived_at IS NULL",
    )
    op.create_index("contacts_phone_idx", "contacts", ["tenant_id", "phone"], unique=False)
    op.create_table(
        "milestones",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("journey_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.Column("reached_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("skipped", sa.Boolean(), server_default="false", nullable=False),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "journey_id"],
            ["journeys.tenant_id", "journeys.id"],
            name=op.f("milestones_tenant_id_journey_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("milestones_pkey")),
    )
    op.create_index(
        "milestones_name_key",
        "milestones",
        ["tenant_id", "journey_id", "name"],
        unique=True,
        postgresql_where="voided_at IS NULL",
    )
    op.create_index("milestones_reached_at_idx", "milestones", ["tenant_id", "name", "reached_at"], unique=False)
    op.create_table(
        "transitions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("journey_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("from_stage", sa.Text(), nullable=True),
        sa.Column("to_stage", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "actor", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("on_behalf_of", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("correction_of", sa.Uuid(), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column(
            "evidence", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.CheckConstraint("seq >= 1", name=op.f("transitions_seq_check")),
        sa.ForeignKeyConstraint(
            ["tenant_id", "journey_id"],
            ["journeys.tenant_id", "journeys.id"],
            name=op.f("transitions_tenant_id_journey_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "journey_id", "seq", name=op.f("transitions_pkey")),
    )
    op.create_index("transitions_id_key", "transitions", ["tenant_id", "id"], unique=True)
    op.create_index("transitions_lead_id_idx", "transitions", ["tenant_id", "lead_id", "recorded_at"], unique=False)
    op.create_table(
        "opportunities",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.BigInteger(), server_default="1", nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), server_default="1", nullable=False),
        sa.Column("stage_entered_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
        sa.Column("origin_lead_id", sa.Uuid(), nullable=True),
        sa.Column("journey_id", sa.Uuid(), nullable=True),
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("amount", sa.Numeric(precision=18, scale=2), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("close_date", sa.Date(), nullable=True),
        sa.Column("business", sa.Text(), server_default="new", nullable=False),
        sa.Column("closing_reason", sa.Text(), nullable=True),
        sa.Column(
            "custom", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["accounts.tenant_id", "accounts.id"],
            name=op.f("opportunities_tenant_id_account_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "contact_id"],
            ["contacts.tenant_id", "contacts.id"],
            name=op.f("opportunities_tenant_id_contact_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "journey_id"],
            ["journeys.tenant_id", "journeys.id"],
            name=op.f("opportunities_tenant_id_journey_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "origin_lead_id"],
            ["leads.tenant_id", "leads.id"],
            name=op.f("opportunities_tenant_id_origin_lead_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "owner_id"],
            ["users.tenant_id", "users.id"],
            name=op.f("opportunities_tenant_id_owner_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("opportunities_pkey")),
    )
    op.create_index("opportunities_account_id_idx", "opportunities", ["tenant_id", "account_id"], unique=False)
    op.create_index("opportunities_created_at_idx", "opportunities", ["tenant_id", "created_at", "id"], unique=False)
    op.create_index(
        "opportunities_external_id_key",
        "opportunities",
        ["tenant_id", "external_id"],
        unique=True,
        postgresql_where="archived_at IS NULL",
    )
    op.create_table(
        "conversions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        sa.Column("journey_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.Uuid(), nullable=True),
        sa.Column("contact_id", sa.Uuid(), nullable=True),
        sa.Column("opportunity_id", sa.Uuid(), nullable=True),
        sa.Column("transition_id", sa.Uuid(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "actor", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("converted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reverted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "account_id"],
            ["accounts.tenant_id", "accounts.id"],
            name=op.f("conversions_tenant_id_account_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "contact_id"],
            ["contacts.tenant_id", "contacts.id"],
            name=op.f("conversions_tenant_id_contact_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "journey_id"],
            ["journeys.tenant_id", "journeys.id"],
            name=op.f("conversions_tenant_id_journey_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "lead_id"], ["leads.tenant_id", "leads.id"], name=op.f("conversions_tenant_id_lead_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "opportunity_id"],
            ["opportunities.tenant_id", "opportunities.id"],
            name=op.f("conversions_tenant_id_opportunity_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("conversions_pkey")),
    )
    op.create_index(
        "conversions_journey_id_key",
        "conversions",
        ["tenant_id", "journey_id"],
        unique=True,
        postgresql_where="reverted_at IS NULL",
    )
    op.create_index("conversions_lead_id_idx", "conversions", ["tenant_id", "lead_id"], unique=False)
    op.create_table(
        "opportunity_transitions",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("opportunity_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("from_stage", sa.Text(), nullable=True),
        sa.Column("to_stage", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column(
            "actor", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("on_behalf_of", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column(
            "evidence", postgresql.JSONB(astext_type=sa.Text()), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "opportunity_id"],
            ["opportunities.tenant_id", "opportunities.id"],
            name=op.f("opportunity_transitions_tenant_id_opportunity_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "opportunity_id", "seq", name=op.f("opportunity_transitions_pkey")),
    )
    op.create_index("opportunity_transitions_id_key", "opportunity_transitions", ["tenant_id", "id"], unique=True)


def drop_tables() -> None:
    op.drop_index("opportunity_transitions_id_key", table_name="opportunity_transitions")
    op.drop_table("opportunity_transitions")
    op.drop_index("conversions_lead_id_idx", table_name="conversions")
    op.drop_index("conversions_journey_id_key", table_name="conversions", postgresql_where="reverted_at IS NULL")
    op.drop_table("conversions")
    op.drop_index("opportunities_external_id_key", table_name="opportunities", postgresql_where="archived_at IS NULL")
    op.drop_index("opportunities_created_at_idx", table_name="opportunities")
    op.drop_index("opportunities_account_id_idx", table_name="opportunities")
    op.drop_table("opportunities")
    op.drop_index("transitions_lead_id_idx", table_name="transitions")
    op.drop_index("transitions_id_key", table_name="transitions")
    op.drop_table("transitions")
    op.drop_index("milestones_reached_at_idx", table_name="milestones")
    op.drop_index("milestones_name_key", table_name="milestones", postgresql_where="voided_at IS NULL")
    op.drop_table("milestones")
    op.drop_index("contacts_phone_idx", table_name="contacts")
    op.drop_index("contacts_external_id_key", table_name="contacts", postgresql_where="archived_at IS NULL")
    op.drop_index("contacts_email_key_key", table_name="contacts", postgresql_where="archived_at IS NULL")
    op.drop_index("contacts_created_at_idx", table_name="contacts")
    op.drop_index("contacts_account_id_idx", table_name="contacts")
    op.drop_table("contacts")
    op.drop_index("touches_lead_id_idx", table_name="touches")
    op.drop_table("touches")
    op.drop_index("shared_identities_lead_id_idx", table_name="shared_identities")
    op.drop_table("shared_identities")
    op.drop_table("lead_changes")
    op.drop_index("journeys_open_key", table_name="journeys", postgresql_where="closed_at IS NULL")
    op.drop_index("journeys_number_key", table_name="journeys")
    op.drop_table("journeys")
    op.drop_index("identities_lead_id_idx", table_name="identities")
    op.drop_table("identities")
    op.drop_index("consents_lead_id_idx", table_name="consents")
    op.drop_table("consents")
    op.drop_index("bant_lead_id_idx", table_name="bant")
    op.drop_table("bant")
    op.drop_index("activities_occurred_at_idx", table_name="activities")
    op.drop_index("activities_activity_key_key", table_name="activities")
    op.drop_table("activities")
    op.drop_index("accounts_name_key_idx", table_name="accounts")
    op.drop_index("accounts_external_id_key", table_name="accounts", postgresql_where="archived_at IS NULL")
    op.drop_index("accounts_domain_key", table_name="accounts", postgresql_where="archived_at IS NULL")
    op.drop_index("accounts_created_at_idx", table_name="accounts")
    op.drop_table("accounts")
    op.drop_index(
        "submission_items_submission_key_key",
        table_name="submission_items",
        postgresql_where="verdict NOT IN ('duplicate', 'quarantined')",
    )
    op.drop_index("submission_items_lead_id_idx", table_name="submission_items")
    op.drop_table("submission_items")
    op.drop_index("leads_updated_at_idx", table_name="leads")
    op.drop_index("leads_stage_idx", table_name="leads")
    op.drop_index("leads_stage_entered_at_idx", table_name="leads")
    op.drop_index("leads_owner_id_idx", table_name="leads", postgresql_where="owner_id IS NOT NULL")
    op.drop_index("leads_evaluate_at_idx", table_name="leads", postgresql_where="evaluate_at IS NOT NULL")
    op.drop_index("leads_created_at_idx", table_name="leads")
    op.drop_table("leads")
    op.drop_index("lanes_due_at_idx", table_name="lanes")
    op.drop_table("lanes")
    op.drop_index("delivery_retries_order_key_idx", table_name="delivery_retries")
    op.drop_index("delivery_retries_next_at_idx", table_name="delivery_retries", postgresql_where="state = 'retry'")
    op.drop_table("delivery_retries")
    op.drop_table("activations")
    op.drop_index("users_external_id_key", table_name="users")
    op.drop_index("users_email_key", table_name="users")
    op.drop_index("users_created_at_idx", table_name="users")
    op.drop_table("users")
    op.drop_table("tenants")
    op.drop_index("subscriptions_created_at_idx", table_name="subscriptions")
    op.drop_table("subscriptions")
    op.drop_index("submissions_source_id_idx", table_name="submissions")
    op.drop_index("submissions_received_idx", table_name="submissions", postgresql_where="state = 'received'")
    op.drop_index("submissions_received_at_idx", table_name="submissions")
    op.drop_table("submissions")
    op.drop_index("sources_key_key", table_name="sources")
    op.drop_index("sources_created_at_idx", table_name="sources")
    op.drop_index("sources_builtin_key", table_name="sources", postgresql_where="builtin")
    op.drop_table("sources")
    op.drop_table("sequencer")
    op.drop_index("policies_number_key", table_name="policies")
    op.drop_index("policies_created_at_idx", table_name="policies")
    op.drop_index("policies_active_key", table_name="policies", postgresql_where="state = 'active'")
    op.drop_table("policies")
    op.drop_index("pending_scope_idx", table_name="pending")
    op.drop_table("pending")
    op.drop_index("keys_secret_sha256_key", table_name="keys")
    op.drop_index("keys_created_at_idx", table_name="keys")
    op.drop_table("keys")
    op.drop_index("idempotency_keys_created_at_idx", table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_index("events_lead_id_idx", table_name="events")
    op.drop_index("events_id_idx", table_name="events")
    op.drop_table("events")
    op.drop_index("event_log_type_idx", table_name="event_log")
    op.drop_index("event_log_lead_id_idx", table_name="event_log")
    op.drop_table("event_log")
    op.drop_table("audit")
    op.drop_index("attempts_at_idx", table_name="attempts")
    op.drop_table("attempts")
