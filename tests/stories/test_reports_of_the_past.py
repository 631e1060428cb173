"""A report as of an instant never changes, whatever happens to the leads afterwards."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from random import Random
from urllib.parse import urlencode

import hypothesis
import pytest

from app.reports.table import REPORTS
from app.settings import Settings
from tests.api import running
from tests.stories.forgetful import ForgetfulLife
from tests.stories.life import Life, begin

INSTANTS, STEPS_BETWEEN = 6, 12
# One metric of each report that has no `mql_to_sal`.
METRICS = {
    "wins": "win_rate",
    "pipeline": "volume_qualified",
    "accounts": "several_people",
    "response": "attempted_response",
    "ageing": "mql:0-7",
    "rules": "rule:title",
    "ideal": "won:persona:decision_maker",
    "sources": "mql",
    "feedback": "accepted",
}
OPTIONS = {"sources": "&touch=last&by=campaign", "cohorts": "&per=month", "feedback": "&hours=1"}


async def ask_all(life: Life) -> AsyncIterator[tuple[str, bytes]]:
    """Every report, and one group and one page of evidence of each, as of now: the address, and what it answered."""
    now = life.api.now
    window = f"from={now.date() - timedelta(days=400)}&to={now.date() + timedelta(days=400)}"
    window += f"&as_of={now.isoformat().replace('+00:00', 'Z')}"
    for one in REPORTS:
        path = f"/v1/reports/{one.name}"
        answered = await ask(life, f"{path}?{window}{OPTIONS.get(one.name, '')}")
        yield answered
        yield await ask(life, f"{path}?{window}&by={life.random.choice(one.parameters.groups())}")
        numbers = [
            (group["key"], metric["name"], metric["denominator"], metric["numerator"])
            for group in json.loads(answered[1])["groups"]
            for metric in group["metrics"]
        ]
        if numbers:
            key, metric, *counts = life.random.choice([number for number in numbers if number[2]] or numbers)
            chosen = urlencode({"metric": metric, "limit": 200, **({} if key is None else {"key": key})})
            address, content = await ask(life, f"{path}/evidence?{window}&{chosen}{OPTIONS.get(one.name, '')}")
            rows = json.loads(content)["data"]
            assert [len(rows), sum(row["counted"] for row in rows)] == counts, f"{address}\n{life.story()}"
            yield address, content


async def ask_forecast(life: Life) -> AsyncIterator[tuple[str, bytes]]:
    """The forecast of this quarter, what changed in it since last week, and the opportunities behind both."""
    as_of = f"as_of={life.api.now.isoformat().replace('+00:00', 'Z')}"
    yield await ask(life, f"/v1/reports/forecast?{as_of}")
    for metric in ("pipeline", "commit", "closed"):
        yield await ask(life, f"/v1/reports/forecast/evidence?{as_of}&metric={metric}&limit=200")
    weeks = [row["week"] for row in (await life.api.get("/v1/snapshots"))["data"]]
    if weeks:
        quarter = f"{life.api.now.year}-Q{(life.api.now.month + 2) // 3}"
        changes = f"/v1/reports/forecast/changes?period={quarter}&since={life.random.choice(weeks)}&{as_of}"
        answered = await ask(life, changes)
        yield answered
        for part in json.loads(answered[1])["parts"]:
            yield await ask(life, changes.replace("/changes?", f"/changes/evidence?part={part['name']}&"))


async def ask(life: Life, address: str) -> tuple[str, bytes]:
    answer = await life.api.call("GET", address)
    assert answer.status_code == 200, answer.text
    return address, answer.content


async def set_cost(life: Life) -> None:
    """Another cost of a campaign by which leads come, or none any more."""
    amount = {"value": str(life.random.randint(1, 10**6)), "currency": life.random.choice(("EUR", "JPY"))}
    month = f"{life.api.now - timedelta(days=life.random.randint(0, 90)):%Y-%m}"
    body = {"amount": life.random.choice((amount, amount, None)), "month": month}
    await life.send("PUT", f"/v1/campaigns/{life.random.choice(('spring', 'x'))}/cost", body)


@pytest.mark.parametrize("policy", ["waterfall", "pipeline"])
async def test_every_report_as_of_an_instant_stays_what_it_was_byte_for_byte(settings: Settings, policy: str) -> None:
    """One life under each policy; others under `--hypothesis-profile=search`."""
    seed = 1001 if hypothesis.settings().derandomize else Random().randrange(10**9)
    async with running(settings, policy) as api:
        life = await begin(api, seed, ForgetfulLife)
        told: list[tuple[str, bytes]] = []
        for _ in range(INSTANTS):
            for _ in range(STEPS_BETWEEN):
                await life.step()
            await set_cost(life)
            told += [one async for one in ask_all(life)]
            told += [one async for one in ask_forecast(life)]
            await life.pass_time(60)
        for address, content in told:
            again = await api.call("GET", address)
            assert again.content == content, f"seed {seed}, {address}\n{life.story()}"
        if hypothesis.settings().derandomize:
            assert any(b'"numerator":1' in content for _, content in told), "this life has nothing to report"
            story = life.story()
            assert "/conversion/revert manager {'reason_code': 'mistake'} → 200" in story, "nothing was reverted"
            assert "unqualified" in story, "retention erased nobody"
            assert "/erasure manager" in story, "nobody was erased"
