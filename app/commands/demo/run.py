"""`baton demo`: find a service or start one, tell it the stories, and say what to look at."""

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
from typing import Final

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from app.commands.demo import tell
from app.commands.demo.doors import TIMEOUT, Doors
from app.commands.demo.plan import Story, stories
from app.commands.serve import prepare
from app.database.server import open_database, running_database
from app.settings import CannotStart, Settings, load, with_secrets
from app.tenants.create import create_key, create_tenant

READY_SECONDS: Final = 60
STAGES: Final = ("suspect", "inquiry", "mql", "sal", "sql", "converted", "recycled", "disqualified")
COLUMNS: Final = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
console = Console(highlight=False, soft_wrap=True)


def demo(url: str | None, key: str | None, leads: int, seed: int, data_dir: Path | None) -> None:
    """Tells the stories to the service at `url`, or to that of the data directory, started if need be."""
    plan = stories(seed, leads, datetime.now(UTC))
    if url is not None:
        if not key:
            raise CannotStart("--url needs --key: a key of that service with the scopes admin and actors:assert")
        asyncio.run(_at(url, key, plan, seed))
        return
    settings = load(data_dir=data_dir)
    with running_database(with_secrets(settings)) as ready:
        admin = asyncio.run(prepare(ready, owned=settings.embedded))
        asyncio.run(_here(ready, plan, seed))
    if admin is not None:
        console.print(f"\nAdmin key of the service, shown only now: {admin}", markup=False)


async def _here(settings: Settings, plan: list[Story], seed: int) -> None:
    """In a tenant of its own, so that invented leads never stand among real ones."""
    now = datetime.now(UTC)
    async with open_database(settings.url) as engine, engine.begin() as tx:
        tenant_id = await create_tenant(tx, f"demo {seed}", "waterfall", now)
        key = (await create_key(tx, tenant_id, "demo", ("admin",), now)).secret
    if await _serves(settings.address, key):
        await _at(settings.address, key, plan, seed)
        return
    async with _own_service(settings, key) as address:
        await _at(address, key, plan, seed, after=settings.address)


async def _serves(address: str, key: str) -> bool:
    """Whether a service at this address works on our database: it knows the key that was just made there."""
    try:
        asked = {"Authorization": f"Bearer {key}"}
        client = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5), headers=asked)
        async with client, client.get(f"{address}/v1/me") as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@asynccontextmanager
async def _own_service(settings: Settings, key: str) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "app.commands.cli", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--data-dir", str(settings.data_dir)]
    environment = {**os.environ, "BATON_DRAIN_SECONDS": "0", "BATON_LOG_FORMAT": "json"}
    said = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed below
    process = subprocess.Popen(command, stdout=said, stderr=said, env=environment)  # noqa: ASYNC220 - it is quick
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(READY_SECONDS * 10):
            if await _serves(address, key):
                break
            if process.poll() is not None:
                said.seek(0)
                raise CannotStart(f"the service did not start: {said.read().strip()}")
            await asyncio.sleep(0.1)
        yield address
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 60)
        said.close()


async def _at(address: str, key: str, plan: list[Story], seed: int, after: str | None = None) -> None:
    began = time.monotonic()
    connector = aiohttp.TCPConnector(limit=tell.SIDE_BY_SIDE)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        doors = Doors(session, address, key)
        try:
            await _tell(doors, plan, seed)
        except* CannotStart as refused:
            raise refused.exceptions[0] from None
        counts, newest = await tell.count(doors)
    _show(after or address, key, counts, newest, time.monotonic() - began)
    if after is not None:
        console.print("\nThe service is stopped again; with all of this in it it starts by: python3 -m app serve")


async def _tell(doors: Doors, plan: list[Story], seed: int) -> None:
    stage = await tell.prepare(doors, seed)
    with Progress(*COLUMNS, console=console) as progress:

        def bar(name: str, total: int) -> tell.Advance:
            task = progress.add_task(name, total=total)
            return lambda steps: progress.advance(task, steps)

        total = Counter(one.kind for story in plan for one in story.activities)
        await tell.submit(doors, stage, plan, bar("Form fills, signed", len(plan)))
        await tell.find(doors, stage, plan, bar("Understood as leads", len(plan)))
        await tell.act(doors, stage, plan, "interest", bar("Signs of interest", total["interest"]))
        await tell.walk(doors, stage, plan, bar("What people did", sum(len(story.steps) for story in plan)))
        await tell.act(doors, stage, plan, "contact_attempt", bar("Contact attempts", total["contact_attempt"]))


def _show(address: str, key: str, counts: dict[str, int], newest: dict[str, str], seconds: float) -> None:
    total = sum(counts.values())
    console.print(f"\nHalf a year of {total} leads in {seconds:.0f} seconds. Where they stand:")
    for stage in sorted(counts, key=STAGES.index):
        console.print(f"  {stage:<13}{counts[stage]:>6}  {counts[stage] / total:>4.0%}  {newest[stage]}", markup=False)
    lead = newest.get("converted") or next(iter(newest.values()))
    waiting = newest.get("inquiry", lead)
    ask = 'curl -s -H "Authorization: Bearer $KEY"'
    console.print(f"\nWhat to look at:\n  export BATON={address} KEY={key}", markup=False)
    for what, path in (
        ("A story from form fill to opportunity", f"/v1/leads/{lead}/timeline"),
        ("What it was converted to", f"/v1/leads/{lead}/conversion"),
        ("Why is this one not an MQL?", f"/v1/leads/{waiting}/eligibility"),
        ("Who waits for an SDR", "/v1/leads?stage=mql&limit=5"),
        ("The last word on everything", "/v1/events?after=earliest&types=lead.converted&limit=5"),
    ):
        console.print(f'  # {what}\n  {ask} "$BATON{path}"', markup=False)
