"""`baton torture` as a command, and that it finds a service which breaks a promise."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from app import ids
from app.commands.torture import ledger as ledgers
from app.commands.torture.faults import schedule
from app.commands.torture.judge import RULES, judge
from app.commands.torture.ledger import Ledger
from app.commands.torture.receivers import HABITS, receivers
from app.webhooks.schemas import Limits
from tests.waiting import TIMEOUT_SECONDS, until
from tests.webhooks.conftest import World
from tests.webhooks.test_crash import LONG

ROOT = Path(__file__).parents[2]
MINUTES, SEED = 0.2, 1
LEADS = [ids.new_id() for _ in range(30)]
DISPATCHER = "import runpy; runpy.run_module('tests.webhooks.dispatcher', run_name='__main__')"
# The position moves past what is not acknowledged yet.
MUTATED = f"import app.webhooks.lane as l; l.Lane.settled_to = property(lambda lane: lane.read_to); {DISPATCHER}"


def test_a_short_torture_breaks_no_promise() -> None:
    command = [sys.executable, "-m", "app.commands.cli", "torture", "--minutes", str(MINUTES), "--seed", str(SEED)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=2 * TIMEOUT_SECONDS, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    table = {line[:38].strip(): line[38:].split() for line in ran.stdout.splitlines()}
    for rule in RULES:
        assert table[rule][1] == "0"
    for rule in ("acknowledged is committed", "nothing is lost", "one body, signed", "the feed is complete"):
        assert int(table[rule][0]) > 20, f"too little was checked: {ran.stdout}"


def test_the_short_torture_has_faults() -> None:
    assert len(schedule(SEED, MINUTES * 60)) > 2


@pytest.mark.parametrize(
    ("code", "broken"), [(DISPATCHER, set()), (MUTATED, {"nothing is lost"})], ids=["sound", "mutated"]
)
async def test_a_service_that_moves_its_position_before_the_acknowledgement_is_found(
    world: World, tmp_path: Path, code: str, broken: set[str]
) -> None:
    ledger, name = Ledger(tmp_path / "ledger.jsonl"), "slow"
    async with receivers(ledger, 1) as listening, world.running(dispatchers=0):
        limits = Limits(timeout_seconds=20, concurrency=HABITS[name].concurrency)
        _, secret = await world.subscribe(f"{listening.url}/{name}", limits)
        listening.know(name, secret)
        ledger.note("subscription", name=name, concurrency=limits.concurrency, lanes=1)
        count = await world.record_many(LEADS, 5)
        await world.until_row(f"SELECT 1 FROM event_log HAVING count(*) = {count}")

        async def dispatched(wanted: int | str) -> None:
            """Run a dispatcher until so much was received, or a row is there; then kill it."""
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, world.url, str(LONG), cwd=ROOT)
            if isinstance(wanted, int):
                await until(lambda: ledger.counts.get("received", 0) >= wanted)
            else:
                await world.until_row(wanted)
            ledger.note("disturbed", until=ledger.now, kind="kill", process="dispatch 1")
            process.kill()
            await process.wait()
            async with world.engine.begin() as tx:
                await tx.execute(text("UPDATE lanes SET lease_until = now()"))

        await dispatched(count // 2)
        await dispatched("SELECT 1 FROM lanes WHERE position = (SELECT max(position) FROM event_log)")
    bodies = {entry["event"]: entry["body"] for entry in ledgers.read(ledger.path) if entry["what"] == "received"}
    for row in await world.rows("SELECT id, position FROM event_log JOIN events ON seq = event_seq ORDER BY position"):
        event = ids.show("event", row.id)
        body = bodies.get(event)
        ledger.note("committed", event=event, position=row.position, type="lead.updated", keys=[], body=body)
        ledger.note("stored", event=event)
        ledger.note("fed", event=event)
    ledger.close()
    assert {violation.rule for violation in judge(ledgers.read(ledger.path))} == broken
