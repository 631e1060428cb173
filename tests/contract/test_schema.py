"""Tenant isolation (architecture, decision 11): checks the schema, and the signature of every function with SQL."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from app.database.transaction import Tx

APP = Path(__file__).parents[2] / "app"
EXEMPT_TABLES = {"tenants", "sequencer", "alembic_version"}
EXEMPT_INDEXES = {"keys_secret_sha256_key", "sources_key_key"}  # looked up before the tenant is known

# Statements across tenants; each returns rows with a tenant_id, or no rows of tenants.
ACROSS = {
    "consumers": {"count_consumers"},
    "confirmations": {"sweep_requests"},
    "database": {"sealed_page", "sealed_sample", "write_sealed"},
    "backtests": {"claim", "with_work"},
    "erasure": {"claim"},
    "expiry": {"detach", "drop", "finalize", "first_at", "has_stragglers", "leftovers"},
    "events": {
        "attach",
        "count_pending",
        "days_ahead",
        "drain",
        "first_position",
        "heads",
        "last_numbers",
        "lock_sequencer",
        "partitions",
    },
    "forecast": {"snapshots_due"},
    "imports": {"sweep_abandoned"},
    "leads": {"claim_checks"},
    "likelihood": {"claim_model", "untrained"},
    "journeys": {"claim_due", "opportunity_transitions_of", "logs_of", "next_journeys", "postpone"},
    "policies": {"planned", "reviews_due", "unscheduled"},
    "reports": {"open_transactions", "take_time", "tenants_to_summarize"},
    "sources": {"source_with_key"},
    "retention": {"next_due"},
    "submissions": {"claim", "claim_fetches", "claim_listed", "claim_one", "claim_unchecked", "insert_received"},
    "tenants": {
        "oldest_tenant",
        "key_with_secret",
        "list_tenants",
        "lock_first_run",
        "oldest_admin_key",
        "tenant_by_id_or_name",
        "tenant_ids",
        "tenant_of_key",
    },
    "webhooks": {
        "claim_lanes",
        "count_lanes",
        "parked",
        "settled_after",
        "renew_lanes",
        "requested",
        "want_lanes",
        "read_logs",
        "changed",
        "advance_lanes",
    },
}
# Modules with SQL besides sql.py and across.py: authentication, idempotency, readiness, migrations, column defaults.
WITH_SQL = {
    "database/migrate.py",
    "database/tables/columns.py",
    "web/auth.py",
    "web/idempotency.py",
    "web/operations.py",
}

INDEXES = text(
    """
    SELECT c.relname AS "table", i.relname AS name, x.indisprimary AS is_primary,
           (SELECT attname FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = x.indkey[0]) AS first
      FROM pg_index x
      JOIN pg_class i ON i.oid = x.indexrelid
      JOIN pg_class c ON c.oid = x.indrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE x.indisunique AND n.nspname = 'public'
     ORDER BY 1, 2
    """
)
FOREIGN_KEYS = text(
    """
    SELECT c.relname AS "table", k.conname AS name,
           (SELECT attname FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[1]) AS first,
           (SELECT attname FROM pg_attribute a WHERE a.attrelid = k.confrelid AND a.attnum = k.confkey[1]) AS target
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
     WHERE k.contype = 'f' ORDER BY 1, 2
    """
)


async def test_every_unique_key_starts_with_the_tenant(tx: Tx) -> None:
    rows = (await tx.execute(INDEXES)).all()
    assert len(rows) > 40
    wrong = {row.name for row in rows if row.first != "tenant_id" and row.table not in EXEMPT_TABLES}
    assert wrong == EXEMPT_INDEXES


async def test_no_foreign_key_can_cross_tenants(tx: Tx) -> None:
    rows = (await tx.execute(FOREIGN_KEYS)).all()
    assert len(rows) > 20
    assert [row.name for row in rows if (row.first, row.target) != ("tenant_id", "tenant_id")] == []


async def test_every_table_belongs_to_a_tenant_or_is_named_here(tx: Tx) -> None:
    without = text(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public'"
        " AND c.relkind IN ('r', 'p') AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid"
        " AND a.attname = 'tenant_id' AND NOT a.attisdropped)"
    )
    assert set((await tx.execute(without)).scalars()) == EXEMPT_TABLES


def functions(path: Path) -> Iterator[ast.AsyncFunctionDef]:
    """The public async functions of a module: those that run statements."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node


@pytest.mark.parametrize("path", sorted(APP.glob("*/*sql.py")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_function_with_sql_takes_the_tenant_as_its_second_parameter(path: Path) -> None:
    arguments = {node.name: [argument.arg for argument in node.args.args[:2]] for node in functions(path)}
    assert {name: taken for name, taken in arguments.items() if taken != ["tx", "tenant_id"]} == {}


def test_functions_across_tenants_are_listed_here() -> None:
    found = {path.parent.name: {node.name for node in functions(path)} for path in APP.glob("*/across.py")}
    assert found == ACROSS


def test_sql_is_written_in_the_expected_modules_only() -> None:
    words = {"select", "insert", "update", "delete", "text"}

    def writes_sql(path: Path) -> bool:
        imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        return any(node.module == "sqlalchemy" and words & {name.name for name in node.names} for node in imports)

    found = {path.relative_to(APP) for path in APP.glob("**/*.py") if writes_sql(path)}
    own = {path for path in found if path.name.endswith("sql.py") or path.name == "across.py"}
    assert {str(path) for path in found - own} == WITH_SQL
