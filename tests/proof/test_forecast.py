"""The forecast that the API answers is the one that follows from the events that it told."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import BANT, converted, sql_lead
from tests.forecast.test_forecast import CATEGORIES, PERIOD, deal, eur, set_clock
from tests.pipeline.test_advance import step
from tests.pipeline.test_forecast_members import patch
from tests.proof.feed import all_events
from tests.proof.forecast import forecast, told

QUARTER = (date(2031, 4, 1), date(2031, 7, 1))


async def live(api: Api, random: Random, actions: int) -> list[datetime]:
    """A random life of opportunities, of leads and without; instants in between."""
    boss = await api.user("manager")
    users = [await api.user("ae", manager_id=boss) for _ in range(3)]
    deals: list[str] = []
    instants = []
    for _ in range(actions):
        if random.random() < 0.25 or not deals:
            if random.random() < 0.2:
                lead = await sql_lead(api, users[0], email=f"p{len(deals)}@company{len(deals)}.example")
                order = {"opportunity": {"amount": eur(f"{random.randint(1, 999)}.50"), "close_date": "2031-06-01"}}
                deals.append((await converted(api, lead, users[0], order))["opportunity"]["id"])
            else:
                value, currency = random.choice([(None, "EUR"), ("77.70", "EUR"), ("1234", "JPY")])
                close_date = f"2031-0{random.randint(3, 8)}-01"
                deals.append(await deal(api, random.choice([*users, None]), value, currency, close_date=close_date))
        one = random.choice(deals)
        changes: list[dict[str, Any]] = [
            {"amount": eur(f"{random.randint(1, 999)}.25", random.choice(["EUR", "USD"]))},
            {"close_date": f"2031-0{random.randint(3, 8)}-20"},
            {"forecast_category": random.choice(CATEGORIES)},
            {"owner_id": random.choice([*users, None])},
            {"archived": random.random() < 0.1},
        ]
        await patch(api, one, boss, **random.choice(changes))
        action = random.choice(["qualify", "qualify", "advance", "win", "lose", "reopen", None, None])
        if action is not None:
            reason = {"lose": "price", "reopen": "mistake"}.get(action)
            members: dict[str, dict[str, Any]] = {"qualify": {"bant": BANT}, "advance": {"to": "negotiation"}}
            more = members.get(action, {})
            await step(api, one, users[0], action=action, reason_code=reason, **more)
        api.clock.ahead += timedelta(hours=random.randint(1, 40))
        instants.append(api.now)
    await api.call("PATCH", f"/v1/users/{users[1]}", {"active": False, "hand_to": users[2]})
    api.clock.ahead += timedelta(hours=1)
    return [*random.sample(instants, 5), api.now]


@pytest.mark.parametrize("seed", range(4))
async def test_the_forecast_is_that_of_the_events_to_the_last_digit_at_any_instant(api: Api, seed: int) -> None:
    set_clock(api, "04-20")
    instants = await live(api, Random(seed), 45)
    events = await all_events(api, "opportunity.*")
    compared = 0
    for at in instants:
        as_of = at.isoformat().replace("+00:00", "Z")
        report = await api.get(f"/v1/reports/forecast?period={PERIOD}&as_of={as_of}")
        expected = forecast(events, *QUARTER, at)
        assert told(report) == expected
        compared += sum(len(sums.amounts) for sums in expected.values())
    assert compared > 10, "there was something to compare"
