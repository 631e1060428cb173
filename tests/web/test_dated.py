"""When what a request writes is dated: when its transaction begins, however long it waited for a connection."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.api import Api

COST = {"amount": {"value": "5", "currency": "EUR"}, "month": "2026-01"}
WRITES = [
    ("POST", "/v1/users", {"name": "Ann", "email": "ann@acme.example", "role": "sdr"}, "created_at"),
    ("PUT", "/v1/campaigns/spring/cost", COST, "recorded_at"),
    ("POST", "/v1/leads", {"fields": {"email": "bob@acme.example"}}, "created_at"),
]


@pytest.mark.parametrize(("method", "path", "body", "member"), WRITES, ids=[path for _, path, _, _ in WRITES])
async def test_what_a_request_writes_is_dated_after_its_wait_for_a_connection(
    api: Api, method: str, path: str, body: dict[str, Any], member: str
) -> None:
    slots: asyncio.Semaphore = api.app.state.connection_slots
    taken = 0
    while not slots.locked():
        await slots.acquire()
        taken += 1
    writing = asyncio.create_task(api.call(method, path, body))
    while not slots._waiters:
        await asyncio.sleep(0.001)
    api.clock.ahead += timedelta(hours=1)
    had_a_connection_at = api.now
    for _ in range(taken):
        slots.release()
    answer = await writing
    assert answer.status_code in (200, 201), answer.text
    assert datetime.fromisoformat(answer.json()[member]) >= had_a_connection_at.replace(microsecond=0)
