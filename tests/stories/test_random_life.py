"""Whatever happens to leads: their past stays what was answered then, and each journey follows from its transitions."""

from __future__ import annotations

from random import Random

import hypothesis
import pytest

from app.settings import Settings
from tests.api import running
from tests.merging.steps import faults
from tests.stories.life import begin

STEPS = 50


@pytest.mark.parametrize("round_", range(2))
@pytest.mark.parametrize("policy", ["waterfall", "pipeline"])
async def test_a_lead_as_of_each_instant_is_byte_for_byte_what_was_answered_then(
    settings: Settings, policy: str, round_: int
) -> None:
    """Two lives under each policy; others under `--hypothesis-profile=search`."""
    seed = round_ if hypothesis.settings().derandomize else Random().randrange(10**9)
    async with running(settings, policy) as api:
        life = await begin(api, seed)
        for _ in range(STEPS):
            await life.step()
        await life.pass_time(60)
        assert await faults(api) == [], life.story()
        for at, path, shown in life.snapshots:
            then = await api.call("GET", path, params={"as_of": at.isoformat().replace("+00:00", "Z")})
            assert then.content == shown, f"seed {seed}, {path} as of {at}\n{life.story()}"
