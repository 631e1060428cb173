"""A report as of an instant never changes, whatever happens to the leads afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from random import Random

import hypothesis
import pytest

from app.reports.table import REPORTS
from app.settings import Settings
from tests.api import running
from tests.stories.life import Life, begin

INSTANTS, STEPS_BETWEEN = 10, 5
# One metric of each report that has no `mql_to_sal`.
METRICS = {
    "wins": "win_rate",
    "pipeline": "volume_qualified",
    "accounts": "several_people",
    "response": "attempted_response",
    "ageing": "mql:0-7",
    "rules": "rule:title",
    "ideal": "won:persona:decision_maker",
}


def addresses(life: Life) -> Iterator[str]:
    """Every report, and one group and one page of evidence of each, as of now."""
    now = life.api.now
    window = f"from={now.date() - timedelta(days=400)}&to={now.date() + timedelta(days=400)}"
    window += f"&as_of={now.isoformat().replace('+00:00', 'Z')}"
    for one in REPORTS:
        path = f"/v1/reports/{one.name}"
        metric = METRICS.get(one.name, "mql_to_sal")
        yield f"{path}?{window}"
        yield f"{path}?{window}&by={life.random.choice(one.parameters.groups())}"
        yield f"{path}/evidence?{window}&metric={metric}&limit=200"


@pytest.mark.parametrize("policy", ["waterfall", "pipeline"])
async def test_every_report_as_of_an_instant_stays_what_it_was_byte_for_byte(settings: Settings, policy: str) -> None:
    """One life under each policy; others under `--hypothesis-profile=search`."""
    seed = 12 if hypothesis.settings().derandomize else Random().randrange(10**9)
    async with running(settings, policy) as api:
        life = await begin(api, seed)
        told: list[tuple[str, bytes]] = []
        for _ in range(INSTANTS):
            for _ in range(STEPS_BETWEEN):
                await life.step()
            for address in list(addresses(life)):
                answer = await api.call("GET", address)
                assert answer.status_code == 200, answer.text
                told.append((address, answer.content))
            await life.pass_time(60)
        for address, content in told:
            again = await api.call("GET", address)
            assert again.content == content, f"seed {seed}, {address}\n{life.story()}"
        if hypothesis.settings().derandomize:
            assert any(b'"numerator":1' in content for _, content in told), "this life has nothing to report"
