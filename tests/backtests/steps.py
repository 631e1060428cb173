"""Steps of tests of back-tests: stored drafts, and the worker's runs until nothing is left to do."""

from __future__ import annotations

from typing import Any

from app.backtests.run import run_backtests
from app.events.partitions import create_partitions
from app.events.sequence import sequence
from app.policy.document import Policy
from tests.api import Api
from tests.rules.make import document


async def draft(api: Api, policy: Policy) -> str:
    """Creates a draft of this policy; its id."""
    return str((await api.post("/v1/policies", document(policy)))["id"])


async def run(api: Api) -> None:
    """Runs the batches of all jobs until none has anything left to do."""
    engine = api.app.state.engine
    await create_partitions(engine)
    await sequence(engine)
    while await run_backtests(engine, api.now):
        pass


async def backtest(api: Api, policy_id: str, **window: str) -> dict[str, Any]:
    """A back-test of the policy, once it is done."""
    started = await api.post(f"/v1/policies/{policy_id}/backtests", window, status=202)
    await run(api)
    found = dict(await api.get(f"/v1/backtests/{started['id']}"))
    assert (found["state"], found["progress"], found["fault"]) == ("done", 1.0, None)
    return found


async def journeys(api: Api, backtest_id: str, listed: str) -> list[dict[str, Any]]:
    """All journeys of one of its lists."""
    return list((await api.get(f"/v1/backtests/{backtest_id}/journeys?list={listed}&limit=200"))["data"])
