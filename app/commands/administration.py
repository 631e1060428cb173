"""Commands for an operator: create tenants, create and revoke keys, verify the transition logs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app import ids
from app.database.transaction import Database
from app.journeys.verify import verify
from app.policy.shipped import Shipped
from app.reports.summaries import differences, rebuild
from app.settings import PROGRAM, CannotStart
from app.tenants import across, sql
from app.tenants.audit_chain import audit_faults
from app.tenants.create import NewKey, create_key, create_tenant
from app.web.auth import SCOPES

MAX_SHOWN = 100
console = Console(highlight=False)


async def verify_all(engine: Database) -> int:
    """Recompute every journey from its transitions and check the audit logs; print what differs. 1 if anything does."""
    checked_count = differing = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Verifying journeys", total=None)
        async for checked in verify(engine):
            checked_count += 1
            progress.update(task, description=f"Verifying journeys: {checked_count}")
            if checked.faults:
                differing += 1
                if differing <= MAX_SHOWN:
                    console.print(f"{checked.lead_id} {checked.journey_id}: {'; '.join(checked.faults)}", markup=False)
    console.print(f"{checked_count} journeys, {differing} differ from their log.")
    faulty = await _verify_audit(engine)
    faulty += await _verify_summaries(engine)
    return 1 if differing or faulty else 0


async def _verify_summaries(engine: Database) -> int:
    """Compare the summaries of reports with the milestones, and print what differs; of how many tenants."""
    faulty = 0
    async with engine.connect() as tx:
        tenant_ids = await across.tenant_ids(tx)
    for tenant_id in tenant_ids:
        async with engine.begin() as tx:
            found = await differences(tx, tenant_id)
        for one in found:
            console.print(f"{ids.show('tenant', tenant_id)} {one}", markup=False)
        faulty += bool(found)
    advice = f": make them anew with `{PROGRAM} reports rebuild`" if faulty else ""
    console.print(f"{len(tenant_ids)} tenants, the summaries of {faulty} differ from the milestones{advice}.")
    return faulty


async def rebuild_summaries(engine: Database) -> None:
    """Make the summaries of all tenants anew, showing how many journeys are done."""
    async with engine.connect() as tx:
        tenant_ids = await across.tenant_ids(tx)
    count = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("Summarizing journeys", total=None)
        for tenant_id in tenant_ids:
            async for done in rebuild(engine, tenant_id, datetime.now(UTC)):
                count += done
                progress.update(task, description=f"Summarizing journeys: {count}")
    console.print(f"The summaries of {count} journeys of {len(tenant_ids)} tenants are made.")


async def _verify_audit(engine: Database) -> int:
    """Check the chain of the audit log of each tenant and print what is wrong; how many logs are not whole."""
    faulty = 0
    async with engine.connect() as tx:
        tenant_ids = await across.tenant_ids(tx)
        for tenant_id in tenant_ids:
            if faults := await audit_faults(tx, tenant_id):
                faulty += 1
                console.print(f"{ids.show('tenant', tenant_id)} audit log: {'; '.join(faults)}", markup=False)
    console.print(f"{len(tenant_ids)} audit logs, {faulty} not whole.")
    return faulty


async def make_tenant(engine: Database, name: str, policy: Shipped) -> None:
    """Create a tenant and its first API key; the secret is printed once and not stored."""
    now = datetime.now(UTC)
    async with engine.begin() as tx:
        tenant_id = await create_tenant(tx, name, policy, now)
        key = await create_key(tx, tenant_id, "admin", ("admin",), now)
    console.print(f"Tenant {ids.show('tenant', tenant_id)} is created with the policy {policy}.")
    _print_key(key)


async def make_key(engine: Database, tenant: str | None, name: str, scopes: Sequence[str]) -> None:
    """Create an API key; `tenant` is an id or a name, by default the first tenant. The secret is printed once."""
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown:
        raise CannotStart(f"unknown scopes: {', '.join(unknown)}; scopes are {', '.join(SCOPES)}")
    async with engine.begin() as tx:
        tenant_id = await across.tenant_by_id_or_name(tx, tenant)
        if tenant_id is None:
            raise CannotStart(no_tenant(tenant))
        key = await create_key(tx, tenant_id, name, scopes, datetime.now(UTC))
    _print_key(key)


async def revoke(engine: Database, key: str) -> None:
    """Revoke a key by its id."""
    try:
        key_id = ids.read("key", key)
    except ValueError:
        raise CannotStart(f"{key} is not a key id: ids of keys begin with key_") from None
    async with engine.begin() as tx:
        tenant_id = await across.tenant_of_key(tx, key_id)
        row = None if tenant_id is None else await sql.revoke_key(tx, tenant_id, key_id, datetime.now(UTC))
    if row is None:
        raise CannotStart(f"no live key {key}: it does not exist or was revoked before")
    console.print(f"{key} ({row.name}) is revoked; every process refuses it within five seconds.", markup=False)


def no_tenant(tenant: str | None) -> str:
    missing = f"there is no tenant {tenant}" if tenant else "there is no tenant yet"
    return f"{missing}: create one with `{PROGRAM} tenants create NAME`"


def _print_key(key: NewKey) -> None:
    console.print(f"Key {ids.show('key', key.row.id)}, shown only now:\n{key.secret}", markup=False, soft_wrap=True)
