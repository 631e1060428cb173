"""Requests to the same process go on between two evaluations of leads."""

from __future__ import annotations

import asyncio

from app.journeys.give_way import TURNS, give_way


async def test_a_request_takes_several_steps_before_the_next_lead_is_evaluated() -> None:
    done: list[str] = []

    async def request() -> None:
        for _ in range(TURNS - 1):
            await asyncio.sleep(0)
        done.append("request")

    waiting = asyncio.create_task(request())
    await give_way()
    done.append("evaluation")
    await waiting
    assert done == ["request", "evaluation"]
