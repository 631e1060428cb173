"""PostgreSQL that is restarted without a checkpoint while events are recorded and sent."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from app import ids
from app.database import embedded, migrate
from app.database.engine import make_engine
from app.database.faults import DATABASE_ERRORS
from app.events.wake import Wake
from app.settings import Settings
from app.webhooks.schemas import Limits
from tests.database.embedded.conftest import Start, data_dir, start  # noqa: F401
from tests.waiting import until
from tests.webhooks.conftest import RETRIES, World, inbox
from tests.webhooks.test_crash import CONCURRENCY, UNFLUSHED, delayed, dispatcher, duplicates

LEADS = [ids.new_id() for _ in range(10)]
RESTARTS, ROUNDS = 2, 15


def restart(server: embedded.Server) -> None:
    stop = [server.programs["pg_ctl"], "-D", str(server.data), "-m", "immediate", "-w", "stop"]
    assert server.runner.run(stop, quiet=True).returncode == 0
    assert server.restart_if_dead()


async def test_dispatchers_survive_an_immediate_restart_of_postgresql_and_lose_nothing(
    start: Start,  # noqa: F811
    settings: Settings,
) -> None:
    server = await asyncio.to_thread(start)
    await migrate.upgrade(server.url)
    engine = make_engine(server.url)
    world = World(engine, server.url, settings, Wake(server.url))
    count = 0

    async def recorded() -> bool:
        nonlocal count
        with suppress(*DATABASE_ERRORS):  # connections of the pool that the restart has closed
            count += await world.record_many(LEADS, 1)
            return True
        return False

    async with inbox(delayed) as box, world.running(dispatchers=0), dispatcher(world) as process:
        await world.subscribe(box.url, Limits(timeout_seconds=20, retry_schedule=RETRIES))
        for _ in range(RESTARTS):
            count += await world.record_many(LEADS, ROUNDS)
            await box.until_received(count - len(LEADS) * ROUNDS // 2)
            await asyncio.to_thread(restart, server)
            await until(recorded, "an event is recorded after the restart")
            await box.until_received(count)
        assert process.returncode is None
    assert box.in_order()
    assert box.one_body_for_each_id()
    assert duplicates(box) <= RESTARTS * (CONCURRENCY + UNFLUSHED)
    await engine.dispose()
