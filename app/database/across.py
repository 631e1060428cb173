"""SQL over the encrypted values of all tenants: samples by key id, and replacing them page by page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Column, case, select, text, tuple_, update

from app.database.transaction import Record, Records, Tx

SAMPLE: Final = 20  # values of one column under one key
PAGE: Final = 500

# Every encrypted value of a column, of which one text may hold several: for small tables.
ALL_VALUES: Final = """
    SELECT kid, {key}, value FROM (
        SELECT found[2] AS kid, {key}, found[1] AS value, row_number() OVER (PARTITION BY found[2]) AS n
          FROM {table}, regexp_matches({column}, '(v1\\.([^.]+)\\.[A-Za-z0-9+/=]+)', 'g') AS found) numbered
     WHERE n <= {sample}
"""
# The same from an index of the key ids (`kid_index`), with one probe for each id: for tables with millions of rows.
INDEXED_VALUES: Final = """
    WITH RECURSIVE kids AS (
        SELECT min({kid}) AS kid FROM {table}
         UNION ALL
        SELECT (SELECT min({kid}) FROM {table} WHERE {kid} > kids.kid) FROM kids WHERE kids.kid IS NOT NULL)
    SELECT kids.kid, {key}, value FROM kids, LATERAL (
        SELECT {key}, {column} AS value FROM {table} WHERE {kid} = kids.kid LIMIT {sample}) sample
"""
WITH_INDEX: Final = {"idempotency_keys": "split_part(body, '.', 2)"}


async def sealed_sample(tx: Tx, column: Column[str]) -> Records:
    """Some values of this column for each key id: kid, value, and the row's primary key."""
    kid = WITH_INDEX.get(column.table.name)
    statement = (INDEXED_VALUES if kid else ALL_VALUES).format(
        table=column.table.name, column=column.name, key=", ".join(_key(column)), kid=kid, sample=SAMPLE
    )
    return (await tx.execute(text(statement))).all()


async def sealed_page(tx: Tx, column: Column[str], kid: str, after: Sequence[Any]) -> Records:
    """The next rows by primary key; `stored` is the column if a value in it needs another key than `kid`, else null.

    Every page reads the same number of rows, so that it takes the same time however few of them need another key.
    """
    table, key = column.table, list(column.table.primary_key.columns)
    stored = case((column.regexp_match(rf"v1\.(?!{kid}\.)"), column)).label("stored")
    rows = select(*key, stored).select_from(table).order_by(*key).limit(PAGE)
    if after:
        rows = rows.where(tuple_(*key) > tuple_(*after))
    return (await tx.execute(rows)).all()


async def write_sealed(tx: Tx, column: Column[str], row: Record, sealed: str) -> bool:
    """Replace the value of one row of `sealed_page`; False if it was changed meanwhile, and is left as it is.

    What it decrypts to, and so the version of the row, stays the same.
    """
    same = [each == getattr(row, each.name) for each in column.table.primary_key.columns]
    replaced = update(column.table).where(*same, column == row.stored).values({column: sealed}).returning(column)
    return bool((await tx.execute(replaced)).all())


def _key(column: Column[str]) -> list[str]:
    return [each.name for each in column.table.primary_key.columns]
