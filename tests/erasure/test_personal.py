"""The list of personal data knows every table and column of the schema (app/erasure/personal.py)."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from app.database.transaction import Tx
from app.erasure.personal import TABLES

# Kinds of columns that cannot hold what somebody has typed. Every other kind has to be listed, also unknown ones.
HARMLESS = ("uuid", "timestamp with time zone", "integer", "bigint", "smallint", "boolean", "date", "numeric", "uuid[]")

COLUMNS = text(
    """
    SELECT c.relname AS name, a.attname AS of, format_type(a.atttypid, NULL) AS kind
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
    """
)


async def schema(tx: Tx) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for row in (await tx.execute(COLUMNS)).all():
        found.setdefault(row.name, {})[row.of] = row.kind
    return found


async def unlisted(tx: Tx) -> list[str]:
    """What of the schema is not in the list."""
    return [
        f"{name}.{column} ({kind})"
        for name, columns in (await schema(tx)).items()
        for column, kind in columns.items()
        if name not in TABLES or (kind not in HARMLESS and column not in TABLES[name].columns)
    ]


async def test_every_table_and_every_column_that_can_hold_text_is_in_the_list(tx: Tx) -> None:
    assert await unlisted(tx) == []


async def test_the_list_names_only_what_there_is(tx: Tx) -> None:
    found = await schema(tx)
    assert found.keys() == TABLES.keys()
    assert {
        f"{name}.{column}" for name, table in TABLES.items() for column in table.columns - found[name].keys()
    } == set()


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE TABLE notes (id bigint)", "notes.id (bigint)"),
        ("ALTER TABLE bant ADD said text", "bant.said (text)"),
        ("ALTER TABLE tenants ADD said jsonb", "tenants.said (jsonb)"),
        ("ALTER TABLE milestones ADD said bytea", "milestones.said (bytea)"),
        ("ALTER TABLE milestones ADD said inet", "milestones.said (inet)"),
        ("ALTER TABLE events ADD said text[]", "events.said (text[])"),
        ("CREATE MATERIALIZED VIEW copies AS SELECT id FROM leads", "copies.id (uuid)"),
    ],
)
async def test_a_new_table_or_column_is_missed(tx: Tx, statement: str, named: str) -> None:
    await tx.execute(text(statement))
    assert await unlisted(tx) == [named]


def test_no_column_is_both_kept_and_erased() -> None:
    assert [name for name, table in TABLES.items() if set(table.kept.split()) & table.erased.keys()] == []
