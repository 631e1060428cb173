"""What an operator does without HTTP: tenants, keys, the check of the log. Prints; answers the exit status."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app import ids
from app.auth import SCOPES
from app.database import make_engine
from app.journeys.verify import verify
from app.policy.shipped import NAMES
from app.settings import CannotStart
from app.tenants import across, sql
from app.tenants.create import NewKey, create_key, create_tenant

MOST_SHOWN = 100
console = Console(highlight=False)


class Refused(CannotStart):
    """One line that says what to do."""


async def verify_all(url: str) -> int:
    """Folds every journey's log; prints the ids of those that differ. 1 when any does."""
    engine = make_engine(url, 2)
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
    await engine.dispose()
    console.print(f"{seen} journeys, {wrong} differ from their log.")
    return 1 if wrong else 0


async def make_tenant(url: str, name: str, policy: str) -> int:
    """A tenant with its first key, whose secret is printed once."""
    chosen = next((known for known in NAMES if known == policy), None)
    if chosen is None:
        raise Refused(f"--policy takes one of {', '.join(NAMES)}")
    now = datetime.now(UTC)
    engine = make_engine(url, 2)
    async with engine.begin() as tx:
        tenant_id = await create_tenant(tx, name, chosen, now)
        key = await create_key(tx, tenant_id, "admin", ("admin",), now)
    await engine.dispose()
    console.print(f"Tenant {ids.show('tenant', tenant_id)} is made, under the policy {chosen}.")
    _print_key(key)
    return 0


async def make_key(url: str, tenant: str | None, name: str, scopes: Sequence[str]) -> int:
    """A key of a tenant (its id or name; the first one when not named), whose secret is printed once."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise Refused(f"unknown scopes: {', '.join(unknown)}; these exist: {', '.join(SCOPES)}")
    engine = make_engine(url, 2)
    async with engine.begin() as tx:
        tenant_id = await across.tenant_by_id_or_name(tx, tenant)
        if tenant_id is None:
            raise Refused(f"there is no tenant {tenant or ''}: baton tenants create NAME makes one")
        key = await create_key(tx, tenant_id, name, tuple(scopes), datetime.now(UTC))
    await engine.dispose()
    _print_key(key)
    return 0


async def revoke(url: str, key: str) -> int:
    """Revokes a key by its id."""
    try:
        key_id = ids.read("key", key)
    except ValueError:
        raise Refused(f"{key} is not an id of a key (key_…)") from None
    engine = make_engine(url, 2)
    async with engine.begin() as tx:
        tenant_id = await across.tenant_of_key(tx, key_id)
        row = None if tenant_id is None else await sql.revoke_key(tx, tenant_id, key_id, datetime.now(UTC))
    await engine.dispose()
    if row is None:
        raise Refused(f"there is no live key {key}")
    console.print(f"{key} ({row.name}) is revoked; it is refused everywhere within five seconds.", markup=False)
    return 0


def _print_key(key: NewKey) -> None:
    console.print(f"Key {ids.show('key', key.id)}, shown only now:\n{key.secret}", markup=False, soft_wrap=True)
