"""`baton torture`: run the service under load and faults, wait until it has nothing more to do, judge its ledger.

docs/guarantees.md says what is promised; docs/decisions/0100 why it is checked in this way.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import sys
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from signal import SIGCONT, SIGKILL, SIGSTOP, SIGTERM
from typing import Any, Final

import aiohttp
import asyncpg

from app import ids
from app.commands.torture import ledger as ledgers
from app.commands.torture.clients import TIMEOUT, Api, Writers, follow_feed, note_committed
from app.commands.torture.faults import Fault, schedule
from app.commands.torture.judge import RULES, Violation, checked, judge
from app.commands.torture.ledger import Entry, Ledger
from app.commands.torture.processes import SERVE, Services, services
from app.commands.torture.receivers import HABITS, Receivers, receivers
from app.database import migrate

STOPPED: Final = 143  # the status after SIGTERM
TRIED_SECONDS: Final = 30.0
QUIET_SECONDS: Final = 420.0  # longer than a breaker's second wait, a lease and the last retries together
LINE_SECONDS: Final = 15.0  # between two lines of progress where no terminal shows them
REPLAYED_SECONDS: Final = 20.0  # how far back a replay begins
MOST_TOLD: Final = 20
MOST_LANES: Final = 4  # as many requests as the least of the receivers gets at a time


@dataclass(slots=True)
class Torture:
    """One run, while it goes on."""

    services: Services
    receivers: Receivers
    api: Api
    ledger: Ledger
    seconds: float
    subscriptions: dict[str, str] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)
    replays: list[tuple[str, str]] = field(default_factory=list)

    async def subscribe(self) -> None:
        for name, habit in HABITS.items():
            limits = {
                "concurrency": habit.concurrency,
                "timeout_seconds": habit.timeout_seconds,
                "retry_schedule": habit.retries,
            }
            body = {"url": f"{self.receivers.url}/{name}", "types": ["lead.*"], "start": "earliest", "limits": limits}
            made = await self.api.send("POST", "/v1/subscriptions", body)
            self.receivers.know(name, made["secret"])
            self.subscriptions[name] = made["id"]
            most = {"concurrency": habit.concurrency, "lanes": MOST_LANES}
            self.ledger.note("subscription", name=name, id=made["id"], **most)

    async def disturb(self, faults: Sequence[Fault]) -> None:
        """Let each fault begin at its time; returns when all of them have ended."""
        began = self.ledger.now
        async with asyncio.TaskGroup() as tasks:
            for fault in faults:
                await asyncio.sleep(began + fault.at - self.ledger.now)
                tasks.create_task(self._let_happen(fault))

    async def _let_happen(self, fault: Fault) -> None:
        match fault.kind:
            case "kill":
                await self._signal(fault, stops=False)
            case "pause" | "suspend":
                await self._signal(fault, stops=True)
            case "restart":
                await self._restart(fault)
            case "hold":
                await self._hold(fault)
            case "replay":
                await self._replay(fault)
            case "lanes":
                await self._change_lanes(fault)

    async def _signal(self, fault: Fault, *, stops: bool) -> None:
        """Kill processes, or stop them and let them go on. One that does not work yet, or is stopped, is left alone."""
        at = self.ledger.now
        hit = [process for process in self.services.chosen(fault.target, fault.number) if process.works]
        for process in hit:
            process.send(SIGSTOP if stops else SIGKILL)
        if stops:
            await asyncio.sleep(fault.lasts)
            for process in hit:
                process.send(SIGCONT)
        if hit:
            name = fault.target if len(hit) > 1 else hit[0].name
            self._note(fault, name, at, repeats=hit[0].role == "dispatch")

    async def _restart(self, fault: Fault) -> None:
        if fault.target in self.busy:
            return
        self.busy.add(fault.target)
        at = self.ledger.now
        await self.services.restart_database()
        self._note(fault, fault.target, at, repeats=True)
        self.busy.discard(fault.target)

    async def _hold(self, fault: Fault) -> None:
        name = list(HABITS)[fault.number % len(HABITS)]
        if name in self.busy:
            return
        self.busy.add(name)
        at, path = self.ledger.now, f"/v1/subscriptions/{self.subscriptions[name]}"
        await self.api.send("POST", f"{path}/pause")
        await asyncio.sleep(fault.lasts)
        await self.api.send("POST", f"{path}/resume")
        self._note(fault, name, at)
        self.busy.discard(name)

    async def _replay(self, fault: Fault) -> None:
        """Send the latest events of a subscription once more; not of the one whose dead deliveries are counted."""
        names = [name for name, habit in HABITS.items() if not habit.refuses]
        name, at = names[fault.number % len(names)], self.ledger.now
        begin = (datetime.now(UTC) - timedelta(seconds=REPLAYED_SECONDS)).isoformat()
        path = f"/v1/subscriptions/{self.subscriptions[name]}/replays"
        key = {"Idempotency-Key": f"replay-{fault.at}"}
        made = await self.api.send("POST", path, {"from": begin}, key, may="nothing_to_send")
        if made is not None:  # 409: the subscription is paused; 422: dispatch stood still, so the log has nothing new
            self.replays.append((name, made["id"]))
            self._note(fault, name, at)

    async def _change_lanes(self, fault: Fault) -> None:
        names, at = list(HABITS), self.ledger.now
        name, number = names[fault.number % len(names)], 1 + fault.number // len(names) % MOST_LANES
        changed = await self.api.send("PATCH", f"/v1/subscriptions/{self.subscriptions[name]}", {"lanes": number})
        if changed is not None:  # 409: it was paused at the same moment
            self._note(fault, name, at, repeats=True)

    def _note(self, fault: Fault, whom: str, at: float, *, repeats: bool = False) -> None:
        """A fault after which deliveries may be repeated is a disturbance."""
        what = "disturbed" if repeats else "fault"
        self.ledger.note(what, at=at, until=self.ledger.now, kind=fault.kind, process=whom)

    async def end(self) -> None:
        """Wait until nothing more is to be done, and note what the service then has."""
        self.receivers.calm = True
        ends, tried_at = self.ledger.now + QUIET_SECONDS, -math.inf
        while busy := await self._unfinished():
            if self.ledger.now > ends:
                self.ledger.note("wrong", text=f"not finished {QUIET_SECONDS:.0f} s after the last fault: {busy}")
                return
            if self.ledger.now > tried_at + TRIED_SECONDS:
                tried_at = self.ledger.now
                await self._try_receivers()
            await asyncio.sleep(1)

    async def _try_receivers(self) -> None:
        """Have those tried at once that are taken to be down: the next probe may be a quarter of an hour away."""
        for subscription in await self.api.pages("/v1/subscriptions", state="failing"):
            for asked in ("pause", "resume"):
                await self.api.send("POST", f"/v1/subscriptions/{subscription['id']}/{asked}")

    async def _unfinished(self) -> str:
        """What the service has still to do; empty if it is quiet."""
        waiting = [row for row in await self.api.pages("/v1/submissions") if row["state"] != "processed"]
        if waiting:
            return f"{len(waiting)} submissions"
        if (number := await self._value("SELECT count(*) FROM pending")) > 0:
            return f"{number} events without a position"
        for subscription in await self.api.pages("/v1/subscriptions"):
            if subscription["lag"] or subscription["breaker"] != "closed":
                return f"{subscription['id']}: lag {subscription['lag']}, breaker {subscription['breaker']}"
            if await self._deliveries(subscription["id"], "retry") or await self._deliveries(
                subscription["id"], "held"
            ):
                return f"{subscription['id']}: retries"
        for name, replay in self.replays:
            if (shown := await self._replay_of(name, replay))["state"] in ("pending", "running"):
                return f"replay of {name}: {shown['remaining']} remain"
        return ""

    async def _deliveries(self, identifier: str, state: str) -> list[Any]:
        return await self.api.pages(f"/v1/subscriptions/{identifier}/deliveries", state=state)

    async def _replay_of(self, name: str, replay: str) -> Any:
        return await self.api.send("GET", f"/v1/subscriptions/{self.subscriptions[name]}/replays/{replay}")

    async def _value(self, query: str) -> Any:
        connection = await asyncpg.connect(self.services.server.dsn)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    async def note_state(self) -> None:
        """Note what the service has, for the judge."""
        leads_of: dict[str, list[str]] = defaultdict(list)
        for submission in await self.api.pages("/v1/submissions"):
            for item in submission["items"]:
                leads_of[item["lead_id"]].append(submission["id"])
        await note_committed(self.api, leads_of)
        for event in await self._value("SELECT coalesce(array_agg(id), '{}') FROM events"):
            self.ledger.note("stored", event=ids.show("event", event))
        for name, identifier in self.subscriptions.items():
            for delivery in await self._deliveries(identifier, "dead"):
                self.ledger.note("dead", to=name, position=int(delivery["position"]))
        for name, identifier in self.replays:
            shown = await self._replay_of(name, identifier)
            first, last = int(shown["from_position"]), int(shown["to_position"])
            members = {"state": shown["state"], "failed": shown["failed"], "first": first, "last": last}
            self.ledger.note("replay", to=name, replay=identifier, **members)

    async def verify(self, command: Sequence[str]) -> None:
        """Run `baton verify` on the database."""
        of_any = self.services.processes[0]
        ran = await asyncio.create_subprocess_exec(
            *command[:-1], "verify", env=of_any.environment, cwd=of_any.log.parent, stdout=PIPE, stderr=STDOUT
        )
        output, _ = await ran.communicate()
        if ran.returncode != 0:
            self.ledger.note("wrong", text=f"baton verify: {output.decode(errors='replace').strip()}")

    async def show_progress(self) -> None:
        """One line: written over on a terminal, else again every fifteen seconds."""
        on_terminal = sys.stdout.isatty()
        while True:
            counts = self.ledger.counts
            faults = counts.get("disturbed", 0) + counts.get("fault", 0)
            line = (
                f"{self.ledger.now:5.0f} s: {faults} faults, {counts.get('acknowledged', 0)} changes acknowledged,"
                f" {counts.get('received', 0)} requests received, {counts.get('wrong', 0)} wrong"
            )
            print(line, end="\r" if on_terminal else "\n", flush=True)
            await asyncio.sleep(0.5 if on_terminal else LINE_SECONDS)


def torture(minutes: float, seed: int, command: Sequence[str] = SERVE) -> int:
    """Run for so many minutes; prints a table. 1 if a promise was broken: the folder with the evidence is then kept.

    command: what starts a process of the service; its last word is `serve`.
    """
    folder = Path(tempfile.mkdtemp(prefix="baton-torture-"))
    folder.chmod(0o711)  # PostgreSQL may run as another user, who must reach it
    print(f"in {folder}", flush=True)
    try:
        asyncio.run(_run(folder, minutes * 60, seed, command))
    except asyncio.CancelledError:
        shutil.rmtree(folder, ignore_errors=True)
        return STOPPED
    entries = ledgers.read(folder / "ledger.jsonl")
    violations = judge(entries)
    print(report(entries, violations, minutes, seed))
    if violations:
        print(f"The evidence is in {folder}: ledger.jsonl, the logs of the processes, and the database.")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _run(folder: Path, seconds: float, seed: int, command: Sequence[str]) -> None:
    ledger, task = Ledger(folder / "ledger.jsonl"), asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(SIGTERM, task.cancel)  # its processes and PostgreSQL end with it
    try:
        with services(folder, ledger, command) as running:
            await migrate.upgrade(running.server.url)
            async with receivers(ledger, seed) as listening, aiohttp.ClientSession(timeout=TIMEOUT) as session:
                api = Api(session, running.addresses, ledger)
                await _one(Torture(running, listening, api, ledger, seconds), seed, command)
    finally:
        ledger.close()


async def _one(run: Torture, seed: int, command: Sequence[str]) -> None:
    writing_ends, feed_ends = asyncio.Event(), asyncio.Event()
    async with _meanwhile(run.services.keep_running(), run.ledger.sync_forever(), run.show_progress()):
        for process in run.services.processes:
            process.start()
        await run.services.until_ready()
        await run.subscribe()
        source = await run.api.send("POST", "/v1/sources", {"name": "Torture", "preset": "generic"})
        writers = Writers(run.api, f"/v1/ingest/{source['key']}", seed, writing_ends)
        async with _meanwhile(writers.run(), follow_feed(run.api, feed_ends)) as (writing, following):
            await run.disturb(schedule(seed, run.seconds))
            writing_ends.set()
            await writing
            await run.end()
            feed_ends.set()
            await following
        await run.note_state()
        await run.verify(command)


@asynccontextmanager
async def _meanwhile(*jobs: Coroutine[Any, Any, None]) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run the jobs during the block; what has not ended then is cancelled."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def report(entries: Sequence[Entry], violations: Sequence[Violation], minutes: float, seed: int) -> str:
    """The table at the end, and the first violations."""
    found, counts = Counter(violation.rule for violation in violations), checked(entries)
    faults = Counter(
        entry["kind"]
        if entry["kind"] in ("hold", "replay", "lanes")
        else f"{entry['kind']} {entry['process'].rstrip(' 0123')}"
        for entry in entries
        if entry["what"] in ("disturbed", "fault")
    )
    lines = [
        "",
        f"{minutes:g} minutes, seed {seed}: "
        + ", ".join(f"{number} x {name}" for name, number in sorted(faults.items())),
        "",
        f"{'rule':<38}{'checked':>10}{'broken':>10}",
        *(f"{rule:<38}{counts[rule]:>10}{found[rule]:>10}" for rule in RULES),
        "",
        *(f"{violation.rule}: {violation.text}" for violation in violations[:MOST_TOLD]),
    ]
    if len(violations) > MOST_TOLD:
        lines.append(f"and {len(violations) - MOST_TOLD} more")
    return "\n".join(lines)
