"""Tenants, users, keys, policies, the audit log and idempotency keys."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from app.database.tables.columns import (
    due_index,
    hash_index,
    id_column,
    instant,
    jsonb,
    kid_index,
    list_indexes,
    member_index,
    metadata,
    sealed,
    string,
    tenant_foreign_key,
    tenant_table,
    timestamps,
    uuid,
    version,
)

tenants = Table(
    "tenants",
    metadata,
    id_column(),
    version(),
    string("name", null=False),
    string("secret_salt", null=False),
    jsonb("calendar"),
    instant("snapshot_due_at"),  # when the open opportunities are kept next; null: at once
    jsonb("retention"),  # for how many days what is kept; what is not in it has its default
    instant("retention_due_at"),  # when the next run begins or goes on; null: at once
    jsonb("retention_run", null=True),  # the run that is under way
    jsonb("retention_latest", null=True),  # what the latest run removed
    *(Column(name, Integer) for name in ("submissions_per_minute", "requests_per_minute", "in_flight")),
    instant("created_at", null=False),
    due_index("tenants", "snapshot_due_at"),
    due_index("tenants", "retention_due_at"),
)

users = tenant_table(
    "users",
    id_column(),
    version(),
    string("name", null=False),
    string("email", null=False),
    string("role", null=False),
    string("team"),
    string("time_zone", null=False),
    jsonb("working_hours"),
    Column("capacity", Integer),
    Column("weight", Integer, nullable=False, server_default="1"),  # turns in a round robin
    jsonb("absences", empty="[]"),
    Column("active", Boolean, nullable=False, server_default="true"),
    string("external_id"),
    uuid("manager_id"),
    *timestamps(),
    tenant_foreign_key("users", "manager_id"),
    Index("users_email_key", "tenant_id", "email", unique=True),
    Index("users_external_id_key", "tenant_id", "external_id", unique=True),
    *list_indexes("users", "created_at"),
)

# What changes of users replaced, of what reports show as of an earlier instant: `name` and `team`.
user_changes = tenant_table(
    "user_changes",
    uuid("user_id", null=False, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    instant("recorded_at", null=False),
    jsonb("before"),
    tenant_foreign_key("users", "user_id"),
)

keys = tenant_table(
    "keys",
    id_column(),
    version(),
    string("name", null=False),
    string("secret_sha256", null=False),
    string("prefix", null=False),
    Column("scopes", ARRAY(Text), nullable=False),
    instant("created_at", null=False),
    instant("expires_at"),
    instant("revoked_at"),
    instant("last_used_at"),
    Index("keys_secret_sha256_key", "secret_sha256", unique=True),
    *list_indexes("keys", "created_at"),
)

# Links that log in to the console, and sessions of it. A token is given once; its SHA-256 is stored.
console_sessions = tenant_table(
    "console_sessions",
    string("token_sha256", null=False, primary_key=True),
    string("kind", null=False),
    uuid("key_id", null=False),
    instant("created_at", null=False),
    instant("expires_at", null=False),
    CheckConstraint("kind IN ('link', 'session')", name="kind"),
    tenant_foreign_key("keys", "key_id"),
)

policies = tenant_table(
    "policies",
    id_column(),
    version(),
    Column("number", Integer, nullable=False),
    string("name", null=False),
    string("state", null=False),
    string("origin", null=False),
    jsonb("document", empty=None),
    string("sha256", null=False),
    instant("effective_from"),
    instant("activated_at"),
    jsonb("mapping", null=True),  # as given at the activation: {stage that this version lacks: its stage instead}
    jsonb("activation_refused", null=True),  # the problem because of which a planned activation did not happen
    instant("review_due_at"),
    *timestamps(),
    Index(
        "policies_planned_idx", "effective_from", postgresql_where="state = 'proposed' AND effective_from IS NOT NULL"
    ),
    Index("policies_review_due_idx", "review_due_at", postgresql_where="review_due_at IS NOT NULL"),
    Index("policies_number_key", "tenant_id", "number", unique=True),
    Index("policies_active_key", "tenant_id", unique=True, postgresql_where="state = 'active'"),
    *list_indexes("policies", "created_at"),
)

approvals = tenant_table(
    "approvals",
    uuid("policy_id", null=False, primary_key=True),
    string("side", null=False, primary_key=True),
    uuid("user_id", null=False),
    string("role", null=False),
    string("sha256", null=False),
    instant("approved_at", null=False),
    tenant_foreign_key("policies", "policy_id"),
    Index("approvals_user_id_key", "tenant_id", "policy_id", "user_id", unique=True),
)

activations = tenant_table(
    "activations",
    instant("at", null=False, primary_key=True),
    uuid("policy_id", null=False),
    uuid("scheduled_to"),  # the last lead that is scheduled for evaluation by the new version
    instant("scheduled_at"),  # when all were
    tenant_foreign_key("policies", "policy_id"),
    Index("activations_unscheduled_idx", "tenant_id", "at", postgresql_where="scheduled_at IS NULL"),
)

# How likely leads become customers, learned of the tenant's finished journeys (docs/likelihood.md).
models = tenant_table(
    "models",
    Column("version", Integer, primary_key=True, autoincrement=False),
    string("state", null=False),  # queued, ready, failed
    instant("requested_at", null=False),
    instant("trained_at"),
    jsonb("document", null=True),
    string("sha256"),
    CheckConstraint("state IN ('queued', 'ready', 'failed')", name="state"),
    Index("models_queued_idx", "requested_at", postgresql_where="state = 'queued'"),
)

# Rows are only added. A trigger numbers them for each tenant, and gives each a hash of its values and of the hash of
# the row before (docs/decisions/0079).
audit = tenant_table(
    "audit",
    id_column(),
    instant("recorded_at", null=False),
    jsonb("actor"),
    string("act", null=False),
    string("subject"),
    jsonb("detail"),
    Column("number", BigInteger),
    Column("hash", LargeBinary),
    Index("audit_number_key", "tenant_id", "number", unique=True),
    Index("audit_recorded_at_idx", "tenant_id", "recorded_at", "id"),
    Index("audit_by_act_idx", "tenant_id", "act", "recorded_at", "id"),
    Index("audit_by_subject_idx", "tenant_id", "subject", "recorded_at", "id"),
    member_index("audit_by_actor_idx", "actor", "id", "recorded_at", "id"),
)

# Number and hash of the latest audit row of each tenant, so that it shows where the last rows are gone; and of the
# last row that retention removed, after which the log begins.
audit_heads = tenant_table(
    "audit_heads",
    Column("number", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("begins_after", BigInteger, nullable=False, server_default="0"),
    Column("begins_hash", LargeBinary, nullable=False, server_default=""),
)

# What tenants set for reports, with its history, so that a report of the past has what held then: the latest row of a
# name until the instant counts.
report_settings = tenant_table(
    "report_settings",
    id_column(),
    string("name", null=False),
    instant("recorded_at", null=False),
    jsonb("actor"),
    jsonb("document"),
    Index("report_settings_recorded_at_idx", "tenant_id", "recorded_at", "id"),
)

# What campaigns cost, from `from_on` to the day before `to_on`. Of a campaign and period the latest row until an
# instant counts; without an amount there is no cost.
campaign_costs = tenant_table(
    "campaign_costs",
    id_column(),
    string("campaign", null=False),
    Column("from_on", Date, nullable=False),
    Column("to_on", Date, nullable=False),
    Column("amount", Numeric),
    string("currency"),
    jsonb("actor"),
    instant("recorded_at", null=False),
    Index("campaign_costs_from_on_idx", "tenant_id", "from_on"),
    hash_index("campaign_costs_campaign_idx", "campaign"),
)

idempotency_keys = tenant_table(
    "idempotency_keys",
    string("key", null=False, primary_key=True),
    string("fingerprint", null=False),
    Column("status", Integer, nullable=False),
    jsonb("headers"),
    sealed("body", "idempotency|{key}", owner="tenant_id", null=False),
    uuid("lead_id"),
    instant("created_at", null=False),
    Index("idempotency_keys_sweep_idx", "created_at"),
    kid_index("idempotency_keys_kid_idx", "body"),
)
