"""Back-tests and shadow runs of policies, and what came of each journey."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Index, Integer

from app.database.tables.columns import (
    id_column,
    instant,
    jsonb,
    list_indexes,
    string,
    tenant_foreign_key,
    tenant_table,
    timestamps,
    uuid,
)

backtests = tenant_table(
    "backtests",
    id_column(),
    string("kind", null=False),
    string("state", null=False, server_default="queued"),
    uuid("policy_id", null=False),  # without a foreign key: a draft may be deleted, its document stays here
    uuid("baseline_id", null=False),
    jsonb("documents"),  # of `baseline` and `candidate`, as they were when it was asked for: a draft may change
    string("sha256", null=False),  # of the candidate's document
    instant("from_at", null=False),
    instant("to_at"),  # null for a shadow run, which goes on
    Column("leads", Integer, nullable=False, server_default="0"),
    Column("leads_done", Integer, nullable=False, server_default="0"),
    uuid("last_lead_id"),  # leads up to this one are done
    Column("log_position", BigInteger, nullable=False, server_default="0"),  # of a shadow run: events read so far
    string("fault"),
    instant("finished_at"),
    *timestamps(),
    CheckConstraint("kind IN ('backtest', 'shadow')", name="kind"),
    CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"),
    Index("backtests_unfinished_idx", "tenant_id", "id", postgresql_where="finished_at IS NULL"),
    *list_indexes("backtests", "created_at"),
)

# A row for each journey that either policy made reach its first milestone, or that reached SQL or won; for a shadow run
# also for those that time alone may change (`due_at`).
backtest_journeys = tenant_table(
    "backtest_journeys",
    uuid("backtest_id", null=False, primary_key=True),
    uuid("journey_id", null=False, primary_key=True),
    uuid("lead_id", null=False),
    instant("baseline_at"),  # when the milestone was reached, and beside it when that could be known
    instant("baseline_known_at"),
    instant("candidate_at"),
    instant("candidate_known_at"),
    instant("actual_at"),
    *(Column(name, Boolean, nullable=False, server_default="false") for name in ("accepted", "sql", "won")),
    instant("due_at"),
    tenant_foreign_key("backtests", "backtest_id"),
    Index(
        "backtest_journeys_due_idx",
        "tenant_id",
        "backtest_id",
        "due_at",
        postgresql_where="due_at IS NOT NULL",
    ),
)
