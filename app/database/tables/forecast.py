"""What opportunities were after each change, weekly snapshots, and what people set for forecasts; all append-only."""

from __future__ import annotations

from sqlalchemy import Column, Date, Index, Integer, Numeric

from app.database.tables.columns import instant, jsonb, string, tenant_foreign_key, tenant_table, uuid

# Written by a trigger on `opportunities` (docs/decisions/0061). `probability` and `forecast_category` are those that
# counted then.
opportunity_states = tenant_table(
    "opportunity_states",
    uuid("opportunity_id", null=False, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    string("stage", null=False),
    string("class", null=False),
    instant("stage_entered_at", null=False),
    string("forecast_category", null=False),
    Column("probability", Integer, nullable=False),
    Column("amount", Numeric),
    string("currency"),
    Column("close_date", Date),
    uuid("owner_id"),
    string("business", null=False),
    instant("archived_at"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    tenant_foreign_key("opportunities", "opportunity_id"),
    Index("opportunity_states_close_date_idx", "tenant_id", "close_date", "opportunity_id"),
    Index(
        "opportunity_states_won_idx",
        "tenant_id",
        "stage_entered_at",
        "opportunity_id",
        postgresql_where="class = 'won'",
    ),
    Index("opportunity_states_recorded_at_idx", "tenant_id", "recorded_at", "opportunity_id"),
)

snapshots = tenant_table(
    "snapshots",
    instant("at", null=False, primary_key=True),
    string("week", null=False),
    instant("recorded_at", null=False),
)

snapshot_rows = tenant_table(
    "snapshot_rows",
    instant("at", null=False, primary_key=True),
    uuid("opportunity_id", null=False, primary_key=True),
    string("stage", null=False),
    string("forecast_category", null=False),
    Column("amount", Numeric),
    string("currency"),
    Column("close_date", Date),
    uuid("owner_id"),
)


# Who reports to whom, from `recorded_at` on.
reporting_lines = tenant_table(
    "reporting_lines",
    uuid("id", null=False, primary_key=True),
    uuid("user_id", null=False),
    uuid("manager_id"),
    instant("recorded_at", null=False),
    tenant_foreign_key("users", "user_id"),
    tenant_foreign_key("users", "manager_id"),
    Index("reporting_lines_user_id_idx", "tenant_id", "user_id", "recorded_at"),
)

# Calendars of the tenant, each from `recorded_at` on; the present one also stands in `tenants`.
calendars = tenant_table(
    "calendars",
    uuid("id", null=False, primary_key=True),
    jsonb("calendar"),
    instant("recorded_at", null=False),
    Index("calendars_recorded_at_idx", "tenant_id", "recorded_at"),
)

# Each row counts from `recorded_at` on, until the next one of its period and user; without an amount there is no quota.
quotas = tenant_table(
    "quotas",
    uuid("id", null=False, primary_key=True),
    string("period", null=False),
    uuid("user_id", null=False),
    Column("amount", Numeric),
    string("currency"),
    jsonb("actor"),
    instant("recorded_at", null=False),
    tenant_foreign_key("users", "user_id"),
    Index("quotas_period_idx", "tenant_id", "period", "user_id", "recorded_at"),
)

# Rates of exchange into `currency`, each list from `recorded_at` on.
rates = tenant_table(
    "rates",
    uuid("id", null=False, primary_key=True),
    string("currency", null=False),
    jsonb("rates"),
    jsonb("actor"),
    instant("recorded_at", null=False),
    Index("rates_recorded_at_idx", "tenant_id", "recorded_at"),
)

judgements = tenant_table(
    "judgements",
    uuid("id", null=False, primary_key=True),
    string("period", null=False),
    uuid("user_id", null=False),
    jsonb("judgement"),
    jsonb("actor"),
    instant("recorded_at", null=False),
    tenant_foreign_key("users", "user_id"),
    Index("judgements_period_idx", "tenant_id", "period", "user_id", "recorded_at"),
)
