"""Erasures of people, and what keeps an erased person from being stored again (docs/erasure.md)."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, SmallInteger, Uuid
from sqlalchemy.dialects.postgresql import ARRAY

from app.database.tables.columns import instant, sealed, string, tenant_foreign_key, tenant_table, uuid

# `lead_id`: the lead that remained of those that were merged; `lead_ids`: that and all that were merged into it.
# `sought`: the addresses, numbers and ids that the later steps look for, encrypted; null once all are done.
erasures = tenant_table(
    "erasures",
    uuid("lead_id", null=False, primary_key=True),
    Column("lead_ids", ARRAY(Uuid), nullable=False),
    string("reason", null=False),
    string("request_id"),
    instant("erased_at", null=False),
    sealed("sought", "erasure|{lead_id}", owner="tenant_id"),
    Column("step", SmallInteger, nullable=False, server_default="0"),
    string("after"),  # the last row that the present step has done
    instant("finished_at"),
    tenant_foreign_key("leads", "lead_id"),
    Index("erasures_unfinished_idx", "erased_at", postgresql_where="finished_at IS NULL"),
)

# One salt for each tenant that has erased somebody, encrypted.
suppression_salts = tenant_table("suppression_salts", sealed("salt", "suppression", owner="tenant_id", null=False))

# HMAC-SHA256 of identities that were erased, and of the submission keys under which they came.
suppressions = tenant_table(
    "suppressions",
    Column("hash", LargeBinary, primary_key=True),
    uuid("lead_id", null=False),
    instant("erased_at", null=False),
)
