"""Background work restarts after an exception, and shutdown waits for deliveries in flight."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import text

from app.clock import Clock
from app.commands import worker
from app.database.transaction import Database
from app.events.record import NewEvent, record_events
from app.events.wake import Wake
from app.ids import new_id
from app.settings import Settings
from app.webhooks import deliver
from app.webhooks.event_facts import decoded, view_of
from app.webhooks.schemas import Limits
from tests.api import running
from tests.waiting import until


class Faulty:
    """An engine whose first connections raise an unexpected exception."""

    def __init__(self, engine: Database, faults: int) -> None:
        self.engine, self.faults = engine, faults

    def connect(self) -> Any:
        if self.faults:
            self.faults -= 1
            raise RuntimeError("unknown protocol state")
        return self.engine.connect()

    def begin(self) -> Any:
        return self.engine.begin()

    async def storage_full(self) -> bool:
        return await self.engine.storage_full()


async def test_work_is_restarted_after_an_unexpected_exception(engine: Database, settings: Settings) -> None:
    clock = Clock()
    async with engine.begin() as tx:
        await record_events(tx, new_id(), [NewEvent("policy.activated", {}, clock.now())], clock.now())
    faulty, wake = Faulty(engine, 4), Wake(str(settings.database_url))
    state = SimpleNamespace(engine=faulty, wake=wake, settings=settings, clock=clock)
    async with worker.running(state, ["dispatch"]):

        async def sequenced() -> bool:
            async with engine.connect() as tx:
                return bool((await tx.execute(text("SELECT count(*) FROM event_log"))).scalar_one())

        await until(sequenced, "the sequencer to restart")
    assert faulty.faults == 0


def test_each_shutdown_timeout_is_longer_than_the_one_it_contains() -> None:
    longest = next(limit.le for limit in Limits.model_fields["timeout_seconds"].metadata if hasattr(limit, "le"))
    assert longest < deliver.STOP_SECONDS < worker.GRACE_SECONDS


async def test_decoded_events_are_forgotten_soon_whatever_the_process_does(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FORGET_SECONDS", 0.01)
    async with running(settings):  # it has no background work but this
        decoded('{"lead_id": "of somebody who was erased"}')

        async def is_empty() -> bool:
            return decoded.cache_info().currsize == view_of.cache_info().currsize == 0

        await until(is_empty)
