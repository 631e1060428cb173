"""What an operator does without HTTP: tenants, keys, the check of the log. It prints what it did."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app import ids
from app.database.transaction import Database
from app.journeys.verify import verify
from app.policy.shipped import Shipped
from app.settings import CannotStart
from app.tenants import across, sql
from app.tenants.create import NewKey, create_key, create_tenant
from app.web.auth import SCOPES

MOST_SHOWN = 100
console = Console(highlight=False)


async def verify_all(engine: Database) -> int:
    """Folds every journey's log; prints the ids of those that differ. The exit status: 1 when any does."""
    seen = wrong = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Folding journeys", total=None)
        async for checked in verify(engine):
            seen += 1
            progress.update(task, description=f"Folding journeys: {seen}")
            if checked.faults:
                wrong += 1
                if wrong <= MOST_SHOWN:
                    console.print(f"{checked.lead_id} {checked.journey_id}: {'; '.join(checked.faults)}", markup=False)
    console.print(f"{seen} journeys, {wrong} differ from their log.")
    return 1 if wrong else 0


async def make_tenant(engine: Database, name: str, policy: Shipped) -> None:
    """A tenant with its first key, whose secret is printed once."""
    now = datetime.now(UTC)
    async with engine.begin() as tx:
        tenant_id = await create_tenant(tx, name, policy, now)
        key = await create_key(tx, tenant_id, "admin", ("admin",), now)
    console.print(f"Tenant {ids.show('tenant', tenant_id)} is made, under the policy {policy}.")
    _print_key(key)


async def make_key(engine: Database, tenant: str | None, name: str, scopes: Sequence[str]) -> None:
    """A key of a tenant (its id or name; the first one when not named), whose secret is printed once."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise CannotStart(f"unknown scopes: {', '.join(unknown)}; these exist: {', '.join(SCOPES)}")
    async with engine.begin() as tx:
        tenant_id = await across.tenant_by_id_or_name(tx, tenant)
        if tenant_id is None:
            raise CannotStart(f"there is no tenant {tenant or ''}: baton tenants create NAME makes one")
        key = await create_key(tx, tenant_id, name, scopes, datetime.now(UTC))
    _print_key(key)


async def revoke(engine: Database, key: str) -> None:
    """Revokes a key by its id."""
    try:
        key_id = ids.read("key", key)
    except ValueError:
        raise CannotStart(f"{key} is not an id of a key (key_…)") from None
    async with engine.begin() as tx:
        tenant_id = await across.tenant_of_key(tx, key_id)
        row = None if tenant_id is None else await sql.revoke_key(tx, tenant_id, key_id, datetime.now(UTC))
    if row is None:
        raise CannotStart(f"there is no live key {key}")
    console.print(f"{key} ({row.name}) is revoked; it is refused everywhere within five seconds.", markup=False)


def _print_key(key: NewKey) -> None:
    console.print(f"Key {ids.show('key', key.row.id)}, shown only now:\n{key.secret}", markup=False, soft_wrap=True)
