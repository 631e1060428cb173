"""`baton retention`: removes what tenants and the operator have kept long enough, or counts it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from rich.console import Console

from app import ids
from app.database.transaction import Database
from app.expiry.drop import drop_due
from app.expiry.due import Periods, due
from app.retention.run import count_due, run_due
from app.settings import PROGRAM, CannotStart
from app.tenants import across, sql

console = Console(highlight=False)


async def remove_or_count(engine: Database, name: str | None, periods: Periods, *, dry_run: bool) -> None:
    """A line for each tenant, and one for what is of all. Raises CannotStart where no tenant has this id or name."""
    async with engine.connect() as tx:
        tenant_ids = await across.tenant_ids(tx)
        if name is not None:
            found = await across.tenant_by_id_or_name(tx, name)
            if found is None:
                raise CannotStart(f"there is no tenant {name}: create one with `{PROGRAM} tenants create NAME`")
            tenant_ids = [found]
    for tenant_id in tenant_ids:
        counts = await (_count if dry_run else _remove)(engine, tenant_id)
        words = ", ".join(f"{kind} {_words(kind, n, periods)}" for kind, n in counts.items())
        verb = "would remove" if dry_run else "removed"
        _print(f"{ids.show('tenant', tenant_id)} {verb}: {words or 'nothing'}")
    if name is None:
        await _drop(engine, periods, dry_run=dry_run)


def _words(kind: str, count: int | None, periods: Periods) -> str:
    if count is not None:
        return str(count)
    return f"kept for {periods.attempts.days} days" if kind == "attempts" else "kept for good"


async def _drop(engine: Database, periods: Periods, *, dry_run: bool) -> None:
    now = datetime.now(UTC)
    async with engine.connect() as tx:
        found = await due(tx, periods, now)
    if not dry_run:
        await drop_due(engine, periods, now)
    names = ", ".join(one.name for one in found)
    _print(f"all tenants {'would drop' if dry_run else 'dropped'}: {names or 'no partition'}")


def _print(line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


async def _count(engine: Database, tenant_id: UUID) -> Mapping[str, int | None]:
    async with engine.connect() as tx:
        row = await sql.tenant(tx, tenant_id)
        assert row is not None, "a tenant is never deleted"
        return await count_due(tx, tenant_id, row.retention, datetime.now(UTC))


async def _remove(engine: Database, tenant_id: UUID) -> Mapping[str, int | None]:
    """One whole run, at once; the parts of a run that is under way come first."""
    while await run_due(engine, datetime.now(UTC), tenant_id):
        async with engine.connect() as tx:
            row = await sql.tenant(tx, tenant_id)
        assert row is not None, "a tenant is never deleted"
        if row.retention_run is None:
            return dict(row.retention_latest["removed"])
    return {}
