"""What opportunities were after each change; forecast categories; who reports to whom; quotas, rates, snapshots.

Revision ID: 0037_forecast
Revises: 0036_reports

All steps can be repeated, since they commit as they go. Of opportunities that are there already, the stages of the past
are known by their transitions; amount, date and owner of the past are taken to be the present ones.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0037_forecast"
down_revision = "0036_reports"
branch_labels = None
depends_on = None

MANAGER = "users_tenant_id_manager_id_fkey"
KEPT = (
    "stage, class, stage_entered_at, forecast_category, probability, amount, currency, close_date, owner_id, business,"
    " archived_at"
)
# What counts where a process of an older release wrote the row, which knows neither category nor probability.
CATEGORY = (
    "CASE {0}.class WHEN 'won' THEN 'closed' WHEN 'lost' THEN 'omitted'"
    " ELSE coalesce({1}, CASE {0}.class WHEN 'qualified' THEN 'pipeline' ELSE 'omitted' END) END"
)
PROBABILITY = "CASE {0}.class WHEN 'won' THEN 100 WHEN 'lost' THEN 0 ELSE coalesce({1}, 0) END"
KEEP_STATE = f"""
    CREATE OR REPLACE FUNCTION keep_opportunity_state() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO opportunity_states (tenant_id, opportunity_id, version, {KEPT}, occurred_at, recorded_at)
        VALUES (NEW.tenant_id, NEW.id, NEW.version, NEW.stage, NEW.class, NEW.stage_entered_at,
                {CATEGORY.format("NEW", "NEW.forecast_category")}, {PROBABILITY.format("NEW", "NEW.probability")},
                NEW.amount, NEW.currency, NEW.close_date, NEW.owner_id, NEW.business, NEW.archived_at,
                CASE WHEN TG_OP = 'INSERT' OR NEW.seq > OLD.seq THEN NEW.stage_entered_at ELSE NEW.updated_at END,
                NEW.updated_at)
        ON CONFLICT (tenant_id, opportunity_id, version) DO NOTHING;
        RETURN NULL;
    END $$
"""  # noqa: S608 - made of the constants above
INDEXES = {
    "tenants_snapshot_due_at_idx": "tenants (coalesce(snapshot_due_at, '-infinity'), id)",
    "opportunities_open_idx": "opportunities (tenant_id, close_date) WHERE class NOT IN ('won', 'lost')",
    "opportunities_live_forecast_category_idx": "opportunities (tenant_id, forecast_category, created_at, id)"
    " WHERE archived_at IS NULL",
}
TRIGGERS = (
    "CREATE OR REPLACE TRIGGER keep_first_state AFTER INSERT ON opportunities"
    " FOR EACH ROW EXECUTE FUNCTION keep_opportunity_state()",
    "CREATE OR REPLACE TRIGGER keep_state AFTER UPDATE ON opportunities FOR EACH ROW WHEN ("
    + " OR ".join(f"OLD.{name} IS DISTINCT FROM NEW.{name}" for name in KEPT.split(", "))
    + ") EXECUTE FUNCTION keep_opportunity_state()",
)
# A transaction for each thousand opportunities, so that none is locked for long. The trigger keeps the present state.
FILL = f"""
    DO $$
    DECLARE
        after uuid[] := ARRAY['00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000'];
        batch record;
    BEGIN
        LOOP
            SELECT array_agg(p.tenant_id) AS tenants, array_agg(p.id) AS ids INTO batch FROM (
                SELECT tenant_id, id FROM opportunities WHERE (tenant_id, id) > (after[1], after[2])
                 ORDER BY tenant_id, id LIMIT 1000) p;
            EXIT WHEN batch.ids IS NULL;
            WITH stages AS (
                SELECT p.tenant_id, p.id AS policy_id, s.value ->> 'name' AS stage,
                       s.value ->> 'forecast_category' AS category, (s.value ->> 'probability')::integer AS probability
                  FROM policies p, jsonb_array_elements(p.document #> '{{opportunity,stages}}') s
                 WHERE p.tenant_id = ANY (batch.tenants)
            )
            INSERT INTO opportunity_states (tenant_id, opportunity_id, version, {KEPT}, occurred_at, recorded_at)
            SELECT t.tenant_id, t.opportunity_id, t.seq, t.to_stage, t.class, t.occurred_at,
                   {CATEGORY.format("t", "s.category")}, {PROBABILITY.format("t", "s.probability")},
                   o.amount, o.currency, o.close_date, o.owner_id, o.business, NULL, t.occurred_at, t.recorded_at
              FROM unnest(batch.tenants, batch.ids) b(tenant_id, id)
              JOIN opportunities o ON o.tenant_id = b.tenant_id AND o.id = b.id AND o.probability IS NULL
              JOIN opportunity_transitions t ON t.tenant_id = o.tenant_id AND t.opportunity_id = o.id
              LEFT JOIN stages s ON s.tenant_id = o.tenant_id AND s.policy_id = o.policy_id AND s.stage = t.to_stage
             WHERE t.seq < o.version
            ON CONFLICT (tenant_id, opportunity_id, version) DO NOTHING;
            UPDATE opportunities o
               SET forecast_category = {CATEGORY.format("o", "s.value ->> 'forecast_category'")},
                   probability = {PROBABILITY.format("o", "(s.value ->> 'probability')::integer")}
              FROM unnest(batch.tenants, batch.ids) b(tenant_id, id),
                   policies p, jsonb_array_elements(p.document #> '{{opportunity,stages}}') s
             WHERE o.tenant_id = b.tenant_id AND o.id = b.id AND o.probability IS NULL
               AND p.tenant_id = o.tenant_id AND p.id = o.policy_id AND s.value ->> 'name' = o.stage;
            after := ARRAY[batch.tenants[array_upper(batch.tenants, 1)], batch.ids[array_upper(batch.ids, 1)]];
            COMMIT;
        END LOOP;
    END $$
"""  # noqa: S608 - made of the constants above


def instant(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def document(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False)


def columns_of_money() -> list[sa.Column[object]]:
    return [
        sa.Column("amount", sa.Numeric(), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("close_date", sa.Date(), nullable=True),
        sa.Column("owner_id", sa.Uuid(), nullable=True),
    ]


def upgrade() -> None:
    op.add_column("opportunities", sa.Column("forecast_category", sa.Text(), nullable=True), if_not_exists=True)
    op.add_column("opportunities", sa.Column("probability", sa.Integer(), nullable=True), if_not_exists=True)
    _keep_states()
    _keep_people_and_calendars()
    _keep_snapshots()
    _keep_what_people_set()
    with op.get_context().autocommit_block():
        op.execute("SET statement_timeout = 0")
        op.execute(FILL)
        for name, definition in INDEXES.items():
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")  # an interrupted build leaves one that is not valid
            op.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON {definition}")
        op.execute("SET statement_timeout = '5min'")


def _keep_states() -> None:
    op.create_table(
        "opportunity_states",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("opportunity_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("class", sa.Text(), nullable=False),
        instant("stage_entered_at", nullable=False),
        sa.Column("forecast_category", sa.Text(), nullable=False),
        sa.Column("probability", sa.Integer(), nullable=False),
        *columns_of_money(),
        sa.Column("business", sa.Text(), nullable=False),
        instant("archived_at"),
        instant("occurred_at", nullable=False),
        instant("recorded_at", nullable=False),
        foreign_key("opportunity_states", "opportunity_id", "opportunities"),
        sa.PrimaryKeyConstraint("tenant_id", "opportunity_id", "version", name=op.f("opportunity_states_pkey")),
        if_not_exists=True,
    )
    columns = ["tenant_id", "close_date", "opportunity_id"]
    op.create_index("opportunity_states_close_date_idx", "opportunity_states", columns, if_not_exists=True)
    op.create_index(
        "opportunity_states_won_idx",
        "opportunity_states",
        ["tenant_id", "stage_entered_at", "opportunity_id"],
        postgresql_where=sa.text("class = 'won'"),
        if_not_exists=True,
    )
    for statement in (KEEP_STATE, *TRIGGERS):
        op.execute(statement)


def foreign_key(table: str, column: str, referred: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"{table}_tenant_id_{column}_fkey")
    return sa.ForeignKeyConstraint(["tenant_id", column], [f"{referred}.tenant_id", f"{referred}.id"], name=name)


def _keep_people_and_calendars() -> None:
    op.add_column("users", sa.Column("manager_id", sa.Uuid(), nullable=True), if_not_exists=True)
    # The column is new, so the constraint is quick to check; it is dropped first because a migration can be repeated.
    op.execute(f"-- squawk-ignore ban-drop-constraint\nALTER TABLE users DROP CONSTRAINT IF EXISTS {MANAGER}")
    op.execute(
        f"ALTER TABLE users ADD CONSTRAINT {MANAGER} FOREIGN KEY (tenant_id, manager_id)"
        " REFERENCES users (tenant_id, id) NOT VALID"
    )
    op.execute(f"-- squawk-ignore constraint-missing-not-valid\nALTER TABLE users VALIDATE CONSTRAINT {MANAGER}")
    op.create_table(
        "reporting_lines",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("manager_id", sa.Uuid(), nullable=True),
        instant("recorded_at", nullable=False),
        foreign_key("reporting_lines", "user_id", "users"),
        foreign_key("reporting_lines", "manager_id", "users"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("reporting_lines_pkey")),
        if_not_exists=True,
    )
    columns = ["tenant_id", "user_id", "recorded_at"]
    op.create_index("reporting_lines_user_id_idx", "reporting_lines", columns, if_not_exists=True)
    op.create_table(
        "calendars",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        document("calendar"),
        instant("recorded_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("calendars_pkey")),
        if_not_exists=True,
    )
    op.create_index("calendars_recorded_at_idx", "calendars", ["tenant_id", "recorded_at"], if_not_exists=True)
    op.execute(
        "INSERT INTO calendars (tenant_id, id, calendar, recorded_at)"
        " SELECT t.id, gen_random_uuid(), t.calendar, t.created_at FROM tenants t WHERE t.calendar <> '{}'"
        " AND NOT EXISTS (SELECT 1 FROM calendars c WHERE c.tenant_id = t.id)"
    )


def _keep_snapshots() -> None:
    op.add_column("tenants", instant("snapshot_due_at"), if_not_exists=True)
    op.create_table(
        "snapshots",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        instant("at", nullable=False),
        sa.Column("week", sa.Text(), nullable=False),
        instant("recorded_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "at", name=op.f("snapshots_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "snapshot_rows",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        instant("at", nullable=False),
        sa.Column("opportunity_id", sa.Uuid(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("forecast_category", sa.Text(), nullable=False),
        *columns_of_money(),
        sa.PrimaryKeyConstraint("tenant_id", "at", "opportunity_id", name=op.f("snapshot_rows_pkey")),
        if_not_exists=True,
    )


def _keep_what_people_set() -> None:
    for table, columns in (
        ("quotas", [sa.Column("amount", sa.Numeric()), sa.Column("currency", sa.Text())]),
        ("judgements", [document("judgement")]),
    ):
        op.create_table(
            table,
            sa.Column("tenant_id", sa.Uuid(), nullable=False),
            sa.Column("id", sa.Uuid(), nullable=False),
            sa.Column("period", sa.Text(), nullable=False),
            sa.Column("user_id", sa.Uuid(), nullable=False),
            *columns,
            document("actor"),
            instant("recorded_at", nullable=False),
            foreign_key(table, "user_id", "users"),
            sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f(f"{table}_pkey")),
            if_not_exists=True,
        )
        indexed = ["tenant_id", "period", "user_id", "recorded_at"]
        op.create_index(f"{table}_period_idx", table, indexed, if_not_exists=True)
    op.create_table(
        "rates",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        document("rates"),
        document("actor"),
        instant("recorded_at", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("rates_pkey")),
        if_not_exists=True,
    )
    op.create_index("rates_recorded_at_idx", "rates", ["tenant_id", "recorded_at"], if_not_exists=True)


def downgrade() -> None:
    with op.get_context().autocommit_block():
        for name in INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
    for table in ("rates", "judgements", "quotas", "snapshot_rows", "snapshots", "calendars", "reporting_lines"):
        op.drop_table(table, if_exists=True)
    op.drop_column("tenants", "snapshot_due_at", if_exists=True)
    op.drop_column("users", "manager_id", if_exists=True)
    for trigger in ("keep_first_state", "keep_state"):
        op.execute(f"DROP TRIGGER IF EXISTS {trigger} ON opportunities")
    op.execute("DROP FUNCTION IF EXISTS keep_opportunity_state()")
    op.drop_table("opportunity_states", if_exists=True)
    op.drop_column("opportunities", "probability", if_exists=True)
    op.drop_column("opportunities", "forecast_category", if_exists=True)
