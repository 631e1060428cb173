"""`baton demo`: uses or starts a service, sends it the planned leads, and prints a summary with example requests."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.commands.demo import play
from app.commands.demo.client import TIMEOUT, Client
from app.commands.demo.plan import PlannedLead, plan_leads
from app.commands.serve import prepare
from app.database.server import open_database, running_database
from app.settings import PROGRAM, CannotStart, Settings, load, with_secrets
from app.tenants.create import create_key, create_tenant

READY_SECONDS: Final = 60
PACKAGE_PARENT: Final = str(Path(__file__).parents[3])
STAGES: Final = ("suspect", "inquiry", "mql", "sal", "sql", "converted", "recycled", "disqualified")
COLUMNS: Final = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
console = Console(highlight=False, soft_wrap=True)


def demo(url: str | None, key: str | None, leads: int, seed: int, data_dir: Path | None) -> None:
    """Send the leads to the service at `url`, or to that of the data directory, which is started if necessary."""
    plan = plan_leads(seed, leads, datetime.now(UTC))
    if url is not None:
        if not key:
            raise CannotStart("--url needs --key: give an API key with the scopes admin and actors:assert")
        asyncio.run(_send_and_show(url, key, plan, seed))
        return
    settings = load(data_dir=data_dir)
    with running_database(with_secrets(settings, generate=False)) as ready:
        admin = asyncio.run(prepare(ready, owned=settings.embedded))
        asyncio.run(_send_to_new_tenant(ready, plan, seed))
    if admin is not None:
        console.print(f"\nAdmin key of the service (shown only once): {admin}", markup=False)


async def _send_to_new_tenant(settings: Settings, plan: list[PlannedLead], seed: int) -> None:
    """Use a new tenant, so that generated leads do not mix with real ones."""
    now = datetime.now(UTC)
    async with open_database(settings.url) as engine, engine.begin() as tx:
        tenant_id = await create_tenant(tx, f"demo {seed}", "waterfall", now)
        key = (await create_key(tx, tenant_id, "demo", ("admin",), now)).secret
    if await _accepts_key(settings.address, key):
        await _send_and_show(settings.address, key, plan, seed)
        return
    async with _temporary_service(settings, key) as address:
        await _send_and_show(address, key, plan, seed, later_address=settings.address)


async def _accepts_key(address: str, key: str) -> bool:
    """Whether a service at this address uses our database: it accepts the key that was just created there."""
    try:
        headers = {"Authorization": f"Bearer {key}"}
        client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5), headers=headers)
        async with client, client.get(f"{address}/v1/me") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@asynccontextmanager
async def _temporary_service(settings: Settings, key: str) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # -P and PYTHONPATH: a folder `app` in the current directory must not be taken for ours.
    command = [sys.executable, "-P", "-m", "app.commands.cli", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--data-dir", str(settings.data_dir)]
    packages = os.pathsep.join(filter(None, (PACKAGE_PARENT, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": packages, "BATON_DRAIN_SECONDS": "0", "BATON_LOG_FORMAT": "json"}
    output = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
    process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)  # noqa: ASYNC220 - quick
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(READY_SECONDS * 10):
            if await _accepts_key(address, key):
                break
            if process.poll() is not None:
                raise CannotStart(f"the service did not start: {_text_of(output)}")
            await asyncio.sleep(0.1)
        else:
            raise CannotStart(f"the service was not ready after {READY_SECONDS} seconds: {_text_of(output)}")
        yield address
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 60)
        output.close()


def _text_of(output: IO[str]) -> str:
    output.seek(0)
    return output.read().strip()


async def _send_and_show(
    address: str, key: str, plan: list[PlannedLead], seed: int, later_address: str | None = None
) -> None:
    began = time.monotonic()
    connector = aiohttp.TCPConnector(limit=play.CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        client = Client(session, address, key)
        try:
            await _send(client, plan, seed)
        except* CannotStart as refused:
            raise refused.exceptions[0] from None
        counts, newest = await play.count(client)
    _show(later_address or address, key, counts, newest, time.monotonic() - began)
    if later_address is not None:
        console.print(f"\nThe service is stopped. To start it with these leads: {PROGRAM} serve")


async def _send(client: Client, plan: list[PlannedLead], seed: int) -> None:
    setup = await play.prepare(client, seed)
    with Progress(*COLUMNS, console=console) as progress:

        def bar(name: str, total: int) -> play.Advance:
            task = progress.add_task(name, total=total)
            return lambda steps: progress.advance(task, steps)

        total = Counter(one.kind for lead in plan for one in lead.activities)
        await play.submit(client, setup, plan, bar("Signed form fills", len(plan)))
        await play.wait_for_leads(client, setup, plan, bar("Leads created", len(plan)))
        await play.post_activities(client, setup, plan, "interest", bar("Interest activities", total["interest"]))
        await play.take_steps(client, setup, plan, bar("Steps taken by users", sum(len(lead.steps) for lead in plan)))
        await play.post_activities(
            client, setup, plan, "contact_attempt", bar("Contact attempts", total["contact_attempt"])
        )


def _show(address: str, key: str, counts: dict[str, int], newest: dict[str, str], seconds: float) -> None:
    total = sum(counts.values())
    console.print(f"\n{total} leads of half a year in {seconds:.0f} seconds. By stage, with the newest lead of each:")
    for stage in sorted(counts, key=STAGES.index):
        console.print(f"  {stage:<13}{counts[stage]:>6}  {counts[stage] / total:>4.0%}  {newest[stage]}", markup=False)
    lead = newest.get("converted") or next(iter(newest.values()))
    waiting = newest.get("inquiry", lead)
    curl = 'curl -s -H "Authorization: Bearer $KEY"'
    console.print(f"\nTo look at it, log in with this key at {address}/console", markup=False)
    console.print(f"\nExample requests:\n  export BATON={address} KEY={key}", markup=False)
    for what, path in (
        ("The timeline of a lead from form fill to opportunity", f"/v1/leads/{lead}/timeline"),
        ("Its account, contact and opportunity", f"/v1/leads/{lead}/conversion"),
        ("Why this lead is not an MQL", f"/v1/leads/{waiting}/eligibility"),
        ("MQLs that no SDR has accepted yet", "/v1/leads?stage=mql&limit=5"),
        ("The first conversions in the feed of events", "/v1/events?after=earliest&types=lead.converted&limit=5"),
    ):
        console.print(f'  # {what}\n  {curl} "$BATON{path}"', markup=False)
