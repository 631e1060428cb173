"""Tenants, their people, keys, policies, and what was done in administration."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Index, Integer, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

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

tenants = Table(
    "tenants",
    metadata,
    own_id(),
    version(),
    words("name", null=False),
    words("secret_salt", null=False),
    document("calendar"),
    instant("created_at", null=False),
)

users = table(
    "users",
    own_id(),
    version(),
    words("name", null=False),
    words("email", null=False),
    words("role", null=False),
    words("team"),
    words("time_zone", null=False),
    document("working_hours"),
    Column("capacity", Integer),
    Column("active", Boolean, nullable=False, server_default="true"),
    words("external_id"),
    *stamps(),
    Index("users_email_key", "tenant_id", "email", unique=True),
    Index("users_external_id_key", "tenant_id", "external_id", unique=True),
    *lists("users", "created_at"),
)

keys = table(
    "keys",
    own_id(),
    version(),
    words("name", null=False),
    words("secret_sha256", null=False),
    words("prefix", null=False),
    Column("scopes", ARRAY(Text), nullable=False),
    instant("created_at", null=False),
    instant("expires_at"),
    instant("revoked_at"),
    instant("last_used_at"),
    Index("keys_secret_sha256_key", "secret_sha256", unique=True),
    *lists("keys", "created_at"),
)

policies = table(
    "policies",
    own_id(),
    Column("number", Integer, nullable=False),
    words("name", null=False),
    words("state", null=False),
    words("origin", null=False),
    document("document", empty=None),
    words("sha256", null=False),
    instant("effective_from"),
    *stamps(),
    Index("policies_number_key", "tenant_id", "number", unique=True),
    Index("policies_active_key", "tenant_id", unique=True, postgresql_where="state = 'active'"),
    *lists("policies", "created_at"),
)

activations = table(
    "activations",
    instant("at", null=False, primary_key=True),
    uuid("policy_id", null=False),
    of_tenant("policies", "policy_id"),
)

audit = table(
    "audit",
    own_id(),
    instant("recorded_at", null=False),
    document("actor"),
    words("act", null=False),
    words("subject"),
    document("detail"),
)

idempotency_keys = table(
    "idempotency_keys",
    words("key", null=False, primary_key=True),
    words("fingerprint", null=False),
    Column("status", Integer, nullable=False),
    document("headers"),
    words("body", null=False),
    uuid("lead_id"),
    instant("created_at", null=False),
    Index("idempotency_keys_created_at_idx", "tenant_id", "created_at"),
)
