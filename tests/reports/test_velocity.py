"""Velocity is the Kaplan–Meier median: journeys that are still on the way, or ended without arriving, count too."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from app.reports.velocity import quantiles
from tests.api import Api
from tests.reports.steps import day, evidence, go_to, metric, report

DAYS = st.lists(st.integers(0, 12).map(Decimal), max_size=40)


def by_definition(reached: list[Decimal], censored: list[Decimal], share: Fraction) -> Decimal | None:
    """The first time at which the product-limit estimate, as an exact fraction, is at most `share`."""
    left = Fraction(1)
    for at in sorted(set(reached)):
        waiting = sum(one >= at for one in (*reached, *censored))
        left *= Fraction(waiting - reached.count(at), waiting)
        if left <= share:
            return at
    return None


@given(DAYS, DAYS)
def test_median_and_p90_are_those_of_the_definition(reached: list[Decimal], censored: list[Decimal]) -> None:
    expected = tuple(by_definition(reached, censored, share) for share in (Fraction(1, 2), Fraction(1, 10)))
    assert quantiles(reached, censored) == expected


async def test_22_velocity_with_open_ones(api: Api) -> None:
    sdr = await api.user("sdr")
    go_to(api, day(1))
    leads = [await api.mql() for _ in range(5)]
    start = api.now
    for number, lead in enumerate(leads[:4], 1):
        go_to(api, day(1 + number))
        assert (await api.ask(lead, "accept", sdr)).status_code == 201
    go_to(api, day(11))
    found = metric(await report(api, "velocity"), "mql_to_sal")
    assert (round(found["median_days"], 2), found["n"], found["n_open"]) == (3, 5, 1), start
    assert (found["numerator"], found["denominator"], found["p90_days"], found["mature"]) == (4, 5, None, False)
    rows = await evidence(api, "velocity", "mql_to_sal")
    assert [row["counted"] for row in rows] == [True] * 4 + [False]
    early = metric(await report(api, "velocity", as_of="2026-01-03T12:00:00Z"), "mql_to_sal")
    assert (early["numerator"], early["n_open"]) == (2, 3)


async def test_a_journey_that_ended_without_the_milestone_is_not_open(api: Api) -> None:
    sdr = await api.user("sdr")
    go_to(api, day(1))
    lead = await api.mql()
    go_to(api, day(3))
    ended = await api.ask(lead, "disqualify", sdr, reason_code="no_budget")
    assert ended.status_code == 201, ended.text
    found = metric(await report(api, "velocity"), "mql_to_sal")
    assert (found["n"], found["n_open"], found["numerator"], found["median_days"]) == (1, 0, 0, None)
    before = metric(await report(api, "velocity", as_of="2026-01-02T00:00:00Z"), "mql_to_sal")
    assert (before["n"], before["n_open"]) == (1, 1)
