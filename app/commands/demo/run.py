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
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import IO, Final

import aiohttp
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy.exc import DBAPIError

from app.commands.demo import play
from app.commands.demo.client import TIMEOUT, Client
from app.commands.demo.plan import DAYS, PlannedLead, PolicyName, plan_leads
from app.commands.serve import prepare
from app.database.server import open_database, running_database
from app.settings import PROGRAM, CannotStart, Settings, load, with_secrets
from app.tenants.create import create_key, create_tenant

READY_SECONDS: Final = 60
PACKAGE_PARENT: Final = str(Path(__file__).parents[3])
FUNNELS: Final[dict[PolicyName, str]] = {
    "pipeline": "MQL to SAL to SRL to SQL to won",
    "waterfall": "MQL to SAL to SQL to won",
}
STAGES: Final = ("suspect", "inquiry", "mql", "sal", "srl", "sql", "converted", "recycled", "disqualified")
POLICY: Final[PolicyName] = "pipeline"
WEEKS: Final = 12  # lived week by week, where the clock of the service can be moved
COLUMNS: Final = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
console = Console(highlight=False, soft_wrap=True)


@dataclass(frozen=True, slots=True)
class Planned:
    """How many leads, by which seed, and the instant at which their half year ends."""

    leads: int
    seed: int
    end: datetime


class ServiceClock:
    """The clock of a service with BATON_TEST_CLOCK: a file with the seconds that it is ahead."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def set(self, at: datetime | None) -> None:
        """Let it be this instant now, or the real time for None."""
        ahead = 0.0 if at is None else (at - datetime.now(UTC)).total_seconds()
        self.file.write_text(str(ahead))


def demo(url: str | None, key: str | None, leads: int, seed: int, data_dir: Path | None) -> None:
    """Send the leads to the service at `url`, or to that of the data directory, which is started if necessary."""
    planned = Planned(leads, seed, datetime.now(UTC))
    if url is not None:
        if not key:
            raise CannotStart("--url needs --key: give an API key with the scopes admin and actors:assert")
        asyncio.run(_send_and_show(url, key, planned))
        return
    if key is not None:
        raise CannotStart("--key needs --url: it is the key of a running service; without both, a tenant is made")
    settings = load(data_dir=data_dir)
    with running_database(with_secrets(settings, generate=False)) as ready:
        admin = asyncio.run(prepare(ready, owned=settings.embedded))
        asyncio.run(_send_to_new_tenant(ready, planned, is_alone=admin is not None))
        asyncio.run(_analyze(ready))
    if admin is not None:
        console.print(f"\nAdmin key of the service (shown only once): {admin}", markup=False)


async def _send_to_new_tenant(settings: Settings, planned: Planned, *, is_alone: bool) -> None:
    """Use a new tenant, so that generated leads do not mix with real ones.

    Where there are no others (`is_alone`), the clock of the service that is started is moved through the last weeks, so
    that each week's deals are known as they were then, and back-tests have history. With others it is not: their work
    would get a wrong time.
    """
    began = planned.end - timedelta(days=DAYS)
    async with open_database(settings.url) as engine, engine.begin() as tx:
        tenant_id = await create_tenant(tx, f"demo {planned.seed}", POLICY, began)
        key = (await create_key(tx, tenant_id, "demo", ("admin",), began)).secret
    if await _accepts_key(settings.address, key):
        await _send_and_show(settings.address, key, planned)
        return
    with tempfile.TemporaryDirectory(prefix="baton-demo-") as folder:
        clock = ServiceClock(Path(folder, "clock")) if is_alone else None
        if clock is not None:
            clock.set(planned.end - timedelta(weeks=WEEKS))
        async with _temporary_service(settings, key, clock) as address:
            await _send_and_show(address, key, planned, clock, later_address=settings.address)


async def _analyze(settings: Settings) -> None:
    """Reads how the leads are distributed, so that the first report is quick. What takes too long the server does."""
    async with open_database(settings.url) as engine, engine.connect() as tx:
        with suppress(DBAPIError):
            await tx.command("ANALYZE")


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
async def _temporary_service(settings: Settings, key: str, clock: ServiceClock | None = None) -> AsyncIterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    # -P and PYTHONPATH: a folder `app` in the current directory must not be taken for ours.
    command = [sys.executable, "-P", "-m", "app.commands.cli", "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--data-dir", str(settings.data_dir)]
    packages = os.pathsep.join(filter(None, (PACKAGE_PARENT, os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": packages, "BATON_DRAIN_SECONDS": "0", "BATON_LOG_FORMAT": "json"}
    if clock is not None:
        environment |= {"BATON_ENV": "test", "BATON_TEST_CLOCK": str(clock.file)}
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
    address: str, key: str, planned: Planned, clock: ServiceClock | None = None, later_address: str | None = None
) -> None:
    began = time.monotonic()
    connector = aiohttp.TCPConnector(limit=play.CONCURRENCY)
    async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
        client = Client(session, address, key)
        try:
            await send(client, planned, clock)
        except* CannotStart as refused:
            raise refused.exceptions[0] from None
        policy = await _policy(client)
        counts, newest = await play.count(client)
    _show(later_address or address, key, policy, counts, newest, time.monotonic() - began)
    if later_address is not None:
        console.print(f"\nThe service is stopped. To start it with these leads: {PROGRAM} serve")


async def send(client: Client, planned: Planned, clock: ServiceClock | None = None) -> None:
    """Send everything that happens to the planned leads, by the policy of the tenant; with a clock, week by week."""
    plan = plan_leads(planned.seed, planned.leads, planned.end, await _policy(client))
    setup = await play.prepare(client, planned.seed)
    with Progress(*COLUMNS, console=console) as progress:
        bars = _Bars(progress, plan)
        for part in _parts(plan, planned.end, clock):
            if clock is not None:
                clock.set(part.until)
            await play.submit(client, setup, part, bars.of("Signed form fills"))
            await play.wait_for_leads(client, setup, part, bars.of("Leads created"))
            await play.post_activities(client, setup, part, "interest", bars.of("Interest activities"))
            await play.take_steps(client, setup, part, bars.of("Steps taken by users"))
            await play.post_activities(client, setup, part, "contact_attempt", bars.of("Contact attempts"))
    await play.set_quotas(client, setup)


async def _policy(client: Client) -> PolicyName:
    """By which of the shipped policies the leads are planned: that of the tenant."""
    active = await client.get("/v1/policies?state=active")
    return "pipeline" if active["data"][0]["name"] == "pipeline" else "waterfall"


def _parts(plan: list[PlannedLead], end: datetime, clock: ServiceClock | None) -> Iterator[play.Part]:
    """The plan at once; or where the clock can be moved all before the last weeks, and then week by week until now."""
    bounds = [None] if clock is None else [*(end - timedelta(weeks=left) for left in range(WEEKS, 0, -1)), None]
    return (play.Part(plan, since, until) for since, until in pairwise([None, *bounds]))


class _Bars:
    """A bar of progress for each kind of request."""

    def __init__(self, progress: Progress, plan: list[PlannedLead]) -> None:
        kinds = Counter(one.kind for lead in plan for one in lead.activities)
        totals = {
            "Signed form fills": len(plan),
            "Leads created": len(plan),
            "Interest activities": kinds["interest"],
            "Steps taken by users": sum(len(lead.steps) for lead in plan),
            "Contact attempts": kinds["contact_attempt"],
        }
        self.progress = progress
        self.tasks = {name: progress.add_task(name, total=total) for name, total in totals.items()}

    def of(self, name: str) -> play.Advance:
        return lambda steps: self.progress.advance(self.tasks[name], steps)


def _show(
    address: str, key: str, policy: PolicyName, counts: dict[str, int], newest: dict[str, str], seconds: float
) -> None:
    total = sum(counts.values())
    console.print(f"\n{total} leads of half a year in {seconds:.0f} seconds. By stage, with the newest lead of each:")
    for stage in sorted(counts, key=lambda one: (STAGES.index(one) if one in STAGES else len(STAGES), one)):
        console.print(f"  {stage:<13}{counts[stage]:>6}  {counts[stage] / total:>4.0%}  {newest[stage]}", markup=False)
    lead = newest.get("converted") or next(iter(newest.values()))
    waiting = newest.get("inquiry", lead)
    today = datetime.now(UTC).date()
    window = f"from={today - timedelta(days=DAYS)}&to={today + timedelta(days=1)}"
    curl = 'curl -s -H "Authorization: Bearer $KEY"'
    console.print(f"\nExample requests:\n  export BATON={address} KEY={key}", markup=False)
    for what, path in (
        ("The timeline of a lead from form fill to opportunity", f"/v1/leads/{lead}/timeline"),
        ("Its account, contact and opportunity", f"/v1/leads/{lead}/conversion"),
        ("Why this lead is not an MQL", f"/v1/leads/{waiting}/eligibility"),
        ("MQLs that no SDR has accepted yet", "/v1/leads?stage=mql&limit=5"),
        ("The first conversions in the feed of events", "/v1/events?after=earliest&types=lead.converted&limit=5"),
        (f"The funnel of the half year: {FUNNELS[policy]}", f"/v1/reports/funnel?{window}"),
        ("The forecast of this quarter, by people", "/v1/reports/forecast"),
    ):
        console.print(f'  # {what}\n  {curl} "$BATON{path}"', markup=False)
    console.print(f"\nTo look at it, log in with this key at {address}/console", markup=False)
