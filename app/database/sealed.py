"""All encrypted values (`app/keyring.py`): the keys they need, which are missing, and encrypting them anew."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Column

from app.database import across
from app.database.faults import run_with_retries
from app.database.tables import metadata
from app.database.transaction import Database, Record, Tx
from app.keyring import CannotOpen, KeyRing
from app.settings import CannotStart

SEALED: Final = [column for table in metadata.sorted_tables for column in table.columns if "sealed_as" in column.info]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a column: how many were encrypted anew, and the keys of those that could not be decrypted."""

    column: Column[str]
    rows: int
    resealed: int
    unreadable: list[str]


async def keys_in_use(tx: Tx, ring: KeyRing) -> dict[str, bool]:
    """The ids of all keys that values are encrypted under, and whether the ring can decrypt those values.

    An id alone does not identify a key, so some values are decrypted. One that was altered must not stop a service
    whose keys are right: of the values of a column under one key id, one that can be decrypted is enough.
    """
    found: dict[str, bool] = {}
    for column in SEALED:
        opened: dict[str, bool] = {}
        for row in await across.sealed_sample(tx, column):
            opened[row.kid] = opened.get(row.kid, False) or ring.opens(*_bound_to(column, row), row.value)
        for kid, opens in opened.items():
            found[kid] = found.get(kid, True) and opens
    return found


async def missing_keys(tx: Tx, ring: KeyRing) -> list[str]:
    """The ids of keys that values are encrypted under and that the ring lacks, or has another key for."""
    return sorted(kid for kid, opens in (await keys_in_use(tx, ring)).items() if not opens)


async def require_keys(engine: Database, ring: KeyRing) -> None:
    """Raise CannotStart, which names the missing keys, if there are any."""
    async with engine.connect() as tx:
        if missing := await missing_keys(tx, ring):
            raise CannotStart(needed(missing))


def needed(missing: list[str]) -> str:
    """The message about missing keys: which, and what to do."""
    return (
        f"secrets in the database are encrypted with keys that are not there, or not the same: {', '.join(missing)}; "
        "put the file secret_keys of this database back into the data directory, or set BATON_SECRET_KEYS to its keys"
    )


async def reseal(engine: Database, ring: KeyRing) -> AsyncGenerator[Page, None]:
    """Encrypt every value under the ring's first key, page by page, each in a transaction of its own.

    The service may run meanwhile. After an interruption, call it again: values under the first key are skipped.
    """
    for column in SEALED:
        after: list[Any] = []
        while True:
            page, after = await run_with_retries(lambda: _reseal_page(engine, ring, column, after))  # noqa: B023
            if not page.rows:
                break
            yield page


async def _reseal_page(
    engine: Database, ring: KeyRing, column: Column[str], after: list[Any]
) -> tuple[Page, list[Any]]:
    key = [each.name for each in column.table.primary_key.columns]
    resealed, unreadable = 0, []
    async with engine.begin() as tx:
        rows = await across.sealed_page(tx, column, ring.first, after)
        for row in rows:
            if row.stored is None:
                continue
            try:
                text = ring.reseal(*_bound_to(column, row), row.stored)
            except CannotOpen:
                unreadable.append(" ".join(str(getattr(row, name)) for name in key))
                continue
            resealed += await across.write_sealed(tx, column, row, text)
    last = [getattr(rows[-1], name) for name in key] if rows else after
    return Page(column, len(rows), resealed, unreadable), last


def _bound_to(column: Column[str], row: Record) -> tuple[UUID, UUID, str]:
    """The associated data of the values in this row: tenant, owner and name."""
    values: Mapping[str, Any] = row._mapping
    return values["tenant_id"], values[column.info["owner"]], column.info["sealed_as"].format_map(values)
