"""Back-tests and shadow runs of policies.

Revision ID: 0029_backtests
Revises: 0027_routing

All steps can be repeated, since they commit as they go.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.dialects import postgresql

revision = "0029_backtests"
down_revision = "0027_routing"
branch_labels = None
depends_on = None


def instant(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def number(name: str, kind: type[sa.Integer]) -> sa.Column[int]:
    return sa.Column(name, kind(), server_default="0", nullable=False)


def upgrade() -> None:
    op.create_table(
        "backtests",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="queued", nullable=False),
        sa.Column("policy_id", sa.Uuid(), nullable=False),
        sa.Column("baseline_id", sa.Uuid(), nullable=False),
        sa.Column("documents", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        instant("from_at", nullable=False),
        instant("to_at"),
        number("leads", sa.Integer),
        number("leads_done", sa.Integer),
        sa.Column("last_lead_id", sa.Uuid(), nullable=True),
        number("log_position", sa.BigInteger),
        sa.Column("fault", sa.Text(), nullable=True),
        instant("finished_at"),
        instant("created_at", nullable=False),
        instant("updated_at", nullable=False),
        sa.CheckConstraint("kind IN ('backtest', 'shadow')", name=op.f("backtests_kind_check")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name=op.f("backtests_state_check")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("backtests_pkey")),
        if_not_exists=True,
    )
    op.create_table(
        "backtest_journeys",
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("backtest_id", sa.Uuid(), nullable=False),
        sa.Column("journey_id", sa.Uuid(), nullable=False),
        sa.Column("lead_id", sa.Uuid(), nullable=False),
        *(instant(f"{side}{what}") for side in ("baseline", "candidate") for what in ("_at", "_known_at")),
        instant("actual_at"),
        *(sa.Column(name, sa.Boolean(), server_default="false", nullable=False) for name in ("accepted", "sql", "won")),
        instant("due_at"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "backtest_id"],
            ["backtests.tenant_id", "backtests.id"],
            name=op.f("backtest_journeys_tenant_id_backtest_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("tenant_id", "backtest_id", "journey_id", name=op.f("backtest_journeys_pkey")),
        if_not_exists=True,
    )
    for table, name, columns, where in (
        ("backtests", "backtests_unfinished_idx", ["tenant_id", "id"], "finished_at IS NULL"),
        ("backtests", "backtests_created_at_idx", ["tenant_id", "created_at", "id"], None),
        (
            "backtest_journeys",
            "backtest_journeys_due_idx",
            ["tenant_id", "backtest_id", "due_at"],
            "due_at IS NOT NULL",
        ),
    ):
        condition = None if where is None else sa.text(where)
        op.create_index(name, table, columns, postgresql_where=condition, if_not_exists=True)
    # The newest index of a table without rows is the one that plans use (docs/decisions/0039).
    if not context.is_offline_mode() and op.get_bind().scalar(sa.text("SELECT NOT EXISTS (SELECT FROM backtests)")):
        with op.get_context().autocommit_block():
            op.execute("REINDEX INDEX CONCURRENTLY backtests_pkey")


def downgrade() -> None:
    op.drop_table("backtest_journeys", if_exists=True)
    op.drop_table("backtests", if_exists=True)
