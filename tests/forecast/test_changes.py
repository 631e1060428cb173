"""What changed since a week: the parts add up exactly, for random lives; weekly snapshots are made once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.forecast.changes import OPEN_CATEGORIES, OpenDeal, Scope, steps
from app.forecast.periods import FiscalCalendar
from app.forecast.snapshot import SETTLE, take_snapshots
from tests.api import Api
from tests.conversion.steps import BANT, rows
from tests.forecast.test_forecast import CATEGORIES, PERIOD, deal, eur
from tests.pipeline.test_advance import step
from tests.pipeline.test_forecast_members import patch

USERS = [UUID(int=number) for number in range(4)]
QUARTER = FiscalCalendar().period(PERIOD)
AMOUNTS = st.none() | st.tuples(st.sampled_from(["EUR", "USD"]), st.integers(0, 999).map(Decimal))
DEALS = st.none() | st.builds(
    OpenDeal,
    st.sampled_from([*USERS, None]),
    st.none() | st.dates(QUARTER.first_on - timedelta(days=40), QUARTER.end_on + timedelta(days=40)),
    st.sampled_from(OPEN_CATEGORIES),
    AMOUNTS.map(lambda one: dict([one]) if one else {}),
)
TEAMS = st.sets(st.sampled_from(USERS))


def flat(sums: Any) -> Counter[tuple[str, str]]:
    return Counter({(category, code): amount for category, part in sums.items() for code, amount in part.items()})


@given(then=DEALS, now=DEALS, teams=st.tuples(TEAMS, TEAMS), outcome=st.sampled_from(["won", "lost", "qualified"]))
def test_the_steps_of_an_opportunity_add_up_to_its_difference(
    then: OpenDeal | None, now: OpenDeal | None, teams: tuple[set[UUID], set[UUID]], outcome: str
) -> None:
    before, after = (Scope(QUARTER.has, lambda owner, team=team: owner in team) for team in teams)  # type: ignore[misc]
    total = flat(after.sums(now))
    total.subtract(flat(before.sums(then)))
    found = list(steps(UUID(int=9), then, now, (before, after), outcome))
    for one in found:
        total.subtract(flat(one.change))
    assert not any(total.values())
    if before.sums(then) == after.sums(now):
        assert sum(len(one.change) for one in found) % 2 == 0 or not found
    if then is None or now is None:
        assert {one.part for one in found} <= {"new" if then is None else "won" if outcome == "won" else "lost"}


async def begin_week(api: Api, week: str) -> None:
    """Moves the clock to when the snapshot of the week is due, and takes it."""
    api.clock.ahead += FiscalCalendar().period(week).starts_at + SETTLE - api.now
    assert await take_snapshots(api.app.state.engine, api.now) >= 1


async def changes(api: Api, query: str) -> dict[str, Any]:
    return dict(await api.get(f"/v1/reports/forecast/changes?period={PERIOD}&{query}"))


def amounts(listed: list[dict[str, str]]) -> dict[str, Decimal]:
    return {one["currency"]: Decimal(one["value"]) for one in listed}


def part(report: dict[str, Any], name: str) -> dict[str, Decimal]:
    return amounts(next(one for one in report["parts"] if one["name"] == name)["amounts"])


async def commit(api: Api, owner: str, value: str, **members: Any) -> str:
    made = await deal(api, owner, value, **members)
    await patch(api, made, owner, forecast_category="commit")
    return made


async def test_each_kind_of_change_is_told_as_what_it_is(api: Api) -> None:
    await begin_week(api, "2031-W18")
    boss = await api.user("manager")
    ae = await api.user("ae", manager_id=boss)
    other = await api.user("ae")
    names = ("won", "lost", "out", "in", "up", "down", "better", "worse", "gone", "come", "same")
    made = {name: await commit(api, ae, "100.00") for name in names if name not in ("in", "come")}
    made["in"] = await commit(api, ae, "100.00", close_date="2031-08-01")
    made["come"] = await commit(api, other, "100.00")
    await patch(api, made["better"], ae, forecast_category="upside")
    await begin_week(api, "2031-W19")
    await step(api, made["won"], ae, action="qualify", bant=BANT)
    await step(api, made["won"], ae, action="win")
    await step(api, made["lost"], ae, action="lose", reason_code="price")
    for name, change in (
        ("out", {"close_date": "2031-07-02"}),
        ("in", {"close_date": "2031-06-30"}),
        ("up", {"amount": eur("150.00")}),
        ("down", {"amount": eur("30.00")}),
        ("better", {"forecast_category": "commit"}),
        ("worse", {"forecast_category": "omitted"}),
        ("gone", {"owner_id": other}),
        ("come", {"owner_id": ae}),
    ):
        assert (await patch(api, made[name], boss, **change)).status_code == 200
    await commit(api, ae, "900.00")
    report = await changes(api, f"since=2031-W19&owner={boss}")
    expected = {
        "new": 900,
        "won": -100,
        "lost": -100,
        "slipped_out": -100,
        "pulled_in": 100,
        "amount_up": 50,
        "amount_down": -70,
        "category_up": 0,
        "category_down": -100,
        "owner_in": 100,
        "owner_out": -100,
    }
    assert {name: part(report, name).get("EUR", Decimal()) for name in expected} == expected
    better = next(one for one in report["parts"] if one["name"] == "category_up")["by_category"]
    assert amounts(better["commit"]) == {"EUR": 100}
    assert amounts(better["upside"]) == {"EUR": -100}
    evidence = await api.get(f"{report['evidence_url']}&part=won")
    assert [one["opportunity_id"] for one in evidence["data"]] == [made["won"]]


@pytest.mark.parametrize("seed", range(3))
async def test_two_snapshots_and_the_changes_between_them_balance_for_random_lives(api: Api, seed: int) -> None:
    random = Random(seed)
    await begin_week(api, "2031-W10")
    boss = await api.user("manager")
    users = [await api.user("ae", manager_id=manager) for manager in (boss, boss, None)]
    deals: list[str] = []
    weeks = ["2031-W11", "2031-W12", "2031-W13"]
    for week in weeks:
        for _ in range(10):
            if random.random() < 0.4 or not deals:
                day = f"2031-0{random.randint(3, 8)}-11"
                deals.append(await deal(api, random.choice(users), f"{random.randint(1, 999)}.00", close_date=day))
                await step(api, deals[-1], users[0], action="qualify", bant=BANT)
            one = random.choice(deals)
            change: dict[str, Any] = random.choice(
                [
                    {"amount": eur(f"{random.randint(1, 999)}.00", random.choice(["EUR", "USD"]))},
                    {"close_date": f"2031-0{random.randint(3, 8)}-20"},
                    {"forecast_category": random.choice(CATEGORIES)},
                    {"owner_id": random.choice(users)},
                    {"archived": random.random() < 0.5},
                ]
            )
            await patch(api, one, boss, **change)
            if random.random() < 0.2:
                action = random.choice(["win", "lose", "reopen"])
                reason = {"lose": "price", "reopen": "mistake"}.get(action)
                await step(api, one, users[0], action=action, reason_code=reason)
            if random.random() < 0.2:
                body = {"manager_id": random.choice([boss, None])}
                await api.call("PATCH", f"/v1/users/{random.choice(users)}", body)
        await begin_week(api, week)
    for since, until in (("2031-W10", "2031-W11"), ("2031-W11", "2031-W13"), ("2031-W12", None)):
        for owner in ("", f"&owner={boss}"):
            report = await changes(api, f"since={since}{f'&until={until}' if until else ''}{owner}")
            as_of = report["as_of"]
            group_filter = f"&as_of={as_of}{owner}"
            shown = await api.get(f"/v1/reports/forecast?period={PERIOD}{group_filter}")
            tops = [one for one in shown["groups"] if one["level"] == 0]
            for category in OPEN_CATEGORIES:
                parts: Counter[str] = Counter()
                for one in report["parts"]:
                    parts.update(amounts(one["by_category"][category]))
                before, after = (Counter(amounts(report[name][category])) for name in ("before", "after"))
                balance = Counter(after)
                balance.subtract(before)
                balance.subtract(parts)
                assert not any(balance.values())
                rolled: Counter[str] = Counter()
                for group in tops:
                    rolled.update(amounts(next(m for m in group["metrics"] if m["name"] == category)["amounts"]))
                assert rolled == after, "what is open now is what the forecast has"


async def test_a_snapshot_is_made_once_however_many_workers_run(api: Api) -> None:
    ae = await api.user("ae")
    await begin_week(api, "2031-W18")
    open_deal = await commit(api, ae, "5.00")
    lost = await deal(api, ae)
    await step(api, lost, ae, action="lose", reason_code="price")
    api.clock.ahead += FiscalCalendar().period("2031-W19").starts_at + SETTLE - api.now
    taken = await asyncio.gather(*(take_snapshots(api.app.state.engine, api.now) for _ in range(8)))
    assert sum(taken) == 1
    found = await rows(api, "SELECT opportunity_id, forecast_category, amount FROM snapshot_rows")
    assert [(one.forecast_category, one.amount) for one in found] == [("commit", 5)]
    await patch(api, open_deal, ae, amount=eur("6.00"))
    assert await take_snapshots(api.app.state.engine, api.now) == 0
    api.clock.ahead += timedelta(weeks=3)  # no worker ran for three weeks
    assert await take_snapshots(api.app.state.engine, api.now) == 3
    weeks = [one["week"] for one in (await api.get("/v1/snapshots"))["data"]]
    assert weeks == ["2031-W22", "2031-W21", "2031-W20", "2031-W19", "2031-W18"]


@pytest.mark.parametrize(
    ("zone", "day"),
    [("Europe/Berlin", (2031, 3, 31)), ("America/New_York", (2031, 11, 3)), ("Pacific/Apia", (2031, 5, 5))],
)
async def test_a_snapshot_is_taken_at_the_midnight_of_the_tenant(
    api: Api, zone: str, day: tuple[int, int, int]
) -> None:
    await api.call("PUT", "/v1/calendar", {"time_zone": zone})
    midnight = datetime(*day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    api.clock.ahead += midnight + SETTLE - timedelta(seconds=1) - api.now
    await take_snapshots(api.app.state.engine, api.now)
    earlier = (await api.get("/v1/snapshots"))["data"]
    api.clock.ahead += timedelta(seconds=2)
    assert await take_snapshots(api.app.state.engine, api.now) == 1
    newest = (await api.get("/v1/snapshots"))["data"][0]
    assert (newest not in earlier, datetime.fromisoformat(newest["at"])) == (True, midnight)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=2031-W18", "since"),
        ("since=2031-Q1", "since"),
        ("since=2031-W77", "since"),
        ("since=last", "since"),
    ],
)
async def test_a_week_without_a_snapshot_is_refused_and_named(api: Api, query: str, field: str) -> None:
    answer = await api.call("GET", f"/v1/reports/forecast/changes?period={PERIOD}&{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
