"""Velocity is the Kaplan–Meier median: journeys that are still on the way, or ended without arriving, count too."""

from __future__ import annotations

import re
from fractions import Fraction
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from app.reports.survival import curve
from app.reports.velocity import PERCENT, quantiles
from tests.api import Api
from tests.reports.steps import JANUARY, day, evidence, go_to, metric, report

SVG = "{http://www.w3.org/2000/svg}"
DAYS = st.lists(st.integers(0, 12), max_size=40)


def by_definition(reached: list[int], censored: list[int], share: Fraction) -> int | None:
    """The first time at which the product-limit estimate, as an exact fraction, is at most `share`."""
    left = Fraction(1)
    for at in sorted(set(reached)):
        waiting = sum(one >= at for one in (*reached, *censored))
        left *= Fraction(waiting - reached.count(at), waiting)
        if left <= share:
            return at
    return None


@given(DAYS, DAYS)
def test_every_tenth_of_the_curve_is_that_of_the_definition(reached: list[int], censored: list[int]) -> None:
    expected = [by_definition(reached, censored, Fraction(percent, 100)) for percent in range(90, 0, -10)]
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
    steps = {"90": 1, "80": 1, "70": 2, "60": 2, "50": 3, "40": 3, "30": 4, "20": 4, "10": None}
    assert {percent: days and round(days) for percent, days in found["remaining"].items()} == steps
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


@given(DAYS, DAYS)
def test_the_curve_goes_down_from_all_to_the_last_share_that_is_known(reached: list[int], censored: list[int]) -> None:
    times = quantiles(reached, censored)
    remaining = {str(percent): None if at is None else float(at) for percent, at in zip(PERCENT, times, strict=True)}
    path = curve(remaining, 300, 60)
    steps = re.findall(r"H([0-9.]+)V([0-9.]+)", path)
    known = [percent for percent, at in zip(PERCENT, times, strict=True) if at is not None]
    assert [round(float(down)) for _, down in steps] == [60 * (100 - percent) // 100 for percent in known]
    across = [float(right) for right, _ in steps]
    assert across == sorted(across)
    assert all(0 <= right <= 300 for right in across)
    assert (path.startswith("M0 0"), path.endswith("H300")) == (True, True)


async def test_the_picture_of_velocity_has_a_curve_for_each_number_with_journeys(api: Api) -> None:
    sdr = await api.user("sdr")
    go_to(api, day(1))
    lead = await api.mql()
    go_to(api, day(3))
    assert (await api.ask(lead, "accept", sdr)).status_code == 201
    shown = {one["name"] for one in (await report(api, "velocity"))["groups"][0]["metrics"] if one["denominator"]}
    answer = await api.call("GET", "/v1/reports/velocity", params=JANUARY, headers={"Accept": "image/svg+xml"})
    root = ElementTree.fromstring(answer.text)
    assert {str(one.text) for one in root.iter(f"{SVG}title") if one.get("id") is None} == shown
    assert len(list(root.iter(f"{SVG}path"))) == len(shown)
    assert "mql_to_sal: half within 2.0 days, nine in ten within 2.0 days, of 1, 0 still on the way" in str(
        root[1].text
    )
    empty = await api.call(
        "GET",
        "/v1/reports/velocity",
        params={**JANUARY, "as_of": "2026-01-01T00:00:00Z"},
        headers={"Accept": "image/svg+xml"},
    )
    assert str(ElementTree.fromstring(empty.text)[1].text) == "no data"
