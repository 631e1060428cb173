"""Cohorts: who entered a milestone in the same week or month, and what share had reached the next one by each week."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.shipped import shipped
from app.reports.cohorts import MOST_CELLS, cohorts_of
from app.reports.funnel import milestones_of
from app.reports.heat_map import COLOURS, heat_map
from app.reports.parameters import Per
from tests.api import Api
from tests.console.test_pages import LARGEST
from tests.reports.steps import JANUARY, day, evidence, fraction, go_to, metric, report
from tests.reports.test_funnel import begin

NEXT = list(pairwise(milestones_of(shipped("pipeline"))))


def cells(document: dict[str, Any], cohort: str, key: str | None = None) -> list[tuple[int, int, bool]]:
    """Numerator, denominator and maturity of the cells of a cohort, week by week."""
    [group] = [one for one in document["groups"] if one["key"] == key]
    found = [one for one in group["metrics"] if one["cohort"] == cohort]
    assert [one["weeks"] for one in found] == list(range(1, len(found) + 1))
    return [(one["numerator"], one["denominator"], one["mature"]) for one in found]


async def accepted_after(api: Api, sdr: str, entered: datetime, *spans: timedelta | None) -> list[str]:
    """Leads that become MQLs at an instant, and are accepted after these spans; None: never."""
    go_to(api, entered)
    leads = [(span, await api.mql()) for span in spans]
    for span, lead in sorted(((s, one) for s, one in leads if s is not None), key=lambda one: one[0]):
        go_to(api, entered + span)
        assert (await api.ask(lead, "accept", sdr)).status_code == 201
    return [lead["id"] for _, lead in leads]


async def test_each_cell_is_the_share_that_had_come_further_by_then(api: Api) -> None:
    sdr, _ = await begin(api)
    leads = await accepted_after(api, sdr, day(6), timedelta(days=1), timedelta(days=13), timedelta(days=15), None)
    await accepted_after(api, sdr, day(26), timedelta(hours=1), None)
    go_to(api, day(41))
    found = await report(api, "cohorts", weeks=4)
    assert cells(found, "2026-W02") == [(1, 4, True), (2, 4, True), (3, 4, True), (3, 4, True)]
    assert cells(found, "2026-W05") == [(1, 2, True), (1, 2, True), (1, 2, False), (1, 2, False)]
    assert cells(found, "2026-W03") == [(0, 0, True)] * 4
    empty = metric(found, "2026-W03.week_1")
    assert (empty["value"], empty["band"], empty["in_band"]) == (None, None, None)
    cell = metric(found, "2026-W02.week_2")
    assert (cell["from"], cell["to"], cell["value"], cell["horizon_days"]) == ("mql", "sal", 0.5, 14)
    for name in ("2026-W02.week_2", "2026-W05.week_1", "2026-W03.week_1"):
        rows = await evidence(api, "cohorts", name, weeks=4)
        assert (sum(row["counted"] for row in rows), len(rows)) == fraction(found, name)
    rows = await evidence(api, "cohorts", "2026-W02.week_2", weeks=4, limit=1)
    assert [row["counted"] for row in rows] == [True, True, False, False]
    assert [row["lead_id"] for row in rows] == leads


async def test_a_cohort_may_be_a_month_and_of_a_window_only_its_days_count(api: Api) -> None:
    sdr, _ = await begin(api)
    await accepted_after(api, sdr, day(6), timedelta(days=1))
    await accepted_after(api, sdr, day(26), timedelta(days=8), None)
    go_to(api, day(80))
    months: dict[str, Any] = {"per": "month", "weeks": 2, "to": "2026-03-15"}
    found = await report(api, "cohorts", **months)
    assert cells(found, "2026-01") == [(1, 3, True), (2, 3, True)]
    assert cells(found, "2026-02") == cells(found, "2026-03") == [(0, 0, True), (0, 0, True)]
    part = await report(api, "cohorts", **{**months, "from": "2026-01-10"})
    assert cells(part, "2026-01") == [(0, 2, True), (1, 2, True)]


@pytest.mark.parametrize(
    ("at", "zone", "cohort"),
    [
        ("2026-01-11T22:30:00+00:00", "UTC", "2026-W02"),
        ("2026-01-11T22:30:00+00:00", "Europe/Bucharest", "2026-W03"),
        ("2026-01-12T05:00:00+00:00", "America/New_York", "2026-W03"),
        ("2026-01-12T04:59:00+00:00", "America/New_York", "2026-W02"),
        ("2026-01-11T11:00:00+00:00", "Pacific/Auckland", "2026-W03"),
    ],
)
async def test_a_week_begins_on_monday_in_the_time_zone_of_the_tenant(
    api: Api, at: str, zone: str, cohort: str
) -> None:
    await begin(api)
    assert (await api.call("PUT", "/v1/calendar", {"time_zone": zone})).status_code == 200
    go_to(api, datetime.fromisoformat(at))
    await api.mql()
    go_to(api, day(40))
    found = await report(api, "cohorts", weeks=1)
    assert {one["cohort"]: one["denominator"] for one in found["groups"][0]["metrics"] if one["denominator"]} == {
        cohort: 1
    }


async def test_cohorts_have_groups_and_the_evidence_of_each(api: Api) -> None:
    sdr, _ = await begin(api)
    go_to(api, day(6))
    for country in ("RO", "RO", "DE"):
        lead = await api.mql(country=country)
    assert (await api.ask(lead, "accept", sdr)).status_code == 201
    found = await report(api, "cohorts", by="country", weeks=1)
    assert {key: cells(found, "2026-W02", key)[0][:2] for key in ("RO", "DE")} == {"RO": (0, 2), "DE": (1, 1)}
    rows = await evidence(api, "cohorts", "2026-W02.week_1", by="country", key="DE", weeks=1)
    assert [(row["lead_id"], row["counted"]) for row in rows] == [(lead["id"], True)]


@pytest.mark.parametrize(("start", "to"), NEXT)
async def test_a_cohort_may_enter_each_milestone_that_another_one_follows(
    pipeline_api: Api, start: str, to: str
) -> None:
    go_to(pipeline_api, day(40))
    found = await report(pipeline_api, "cohorts", milestone=start, weeks=1)
    assert {(one["from"], one["to"]) for one in found["groups"][0]["metrics"]} == {(start, to)}


@pytest.mark.parametrize("milestone", ["won", "lost", "inquiry", "MQL", "", "x" * 64, "'; --"])
async def test_an_unknown_milestone_is_refused_with_those_that_there_are(pipeline_api: Api, milestone: str) -> None:
    go_to(pipeline_api, day(40))
    for path, more in (("cohorts", {}), ("cohorts/evidence", {"metric": "2026-W02.week_1"})):
        refused = await report(pipeline_api, path, expect=422, milestone=milestone, **more)
        assert [one["field"] for one in refused["errors"]] == ["milestone"]
        if len(milestone) < 64:
            assert all(start in refused["errors"][0]["detail"] for start, _ in NEXT)


LIMITS: list[tuple[dict[str, Any], str, str]] = [
    ({"per": "day"}, "per", "'week' or 'month'"),
    ({"per": ""}, "per", "'week' or 'month'"),
    ({"weeks": "0"}, "weeks", "1"),
    ({"weeks": "53"}, "weeks", "52"),
    ({"weeks": "many"}, "weeks", "whole number"),
    ({"weeks": "52", "from": "2025-01-01"}, "weeks", str(MOST_CELLS)),
    ({"skipped": "maybe"}, "skipped", "include"),
]


@pytest.mark.parametrize(("parameters", "named", "told"), LIMITS)
async def test_what_is_beyond_a_limit_is_refused_and_named(
    api: Api, parameters: dict[str, Any], named: str, told: str
) -> None:
    go_to(api, day(40))
    for path, more in (("cohorts", {}), ("cohorts/evidence", {"metric": "2026-W02.week_1"})):
        refused = await report(api, path, expect=422, **parameters, **more)
        assert [one["field"] for one in refused["errors"]] == [named]
        assert told in refused["errors"][0]["detail"], refused


async def test_groups_times_cells_beyond_the_limit_are_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.reports.read.MOST_NUMBERS", 59)
    await begin(api)
    for country in ("RO", "DE"):
        await api.mql(country=country)
    assert len((await report(api, "cohorts", by="country", weeks=5))["groups"]) == 2
    refused = await report(api, "cohorts", expect=422, by="country", weeks=6)
    assert (refused["errors"][0]["field"], refused["errors"][0]["code"]) == ("by", "too_many_groups")


async def test_a_heat_map_says_in_words_what_it_shows(api: Api) -> None:
    sdr, _ = await begin(api)
    await accepted_after(api, sdr, day(6), timedelta(days=1), None)
    for accept in ("image/svg+xml", "text/csv"):
        answer = await api.call(
            "GET", "/v1/reports/cohorts", params={**JANUARY, "weeks": 2}, headers={"Accept": accept}
        )
        assert answer.headers["content-type"].startswith(accept)
        if accept == "text/csv":
            rows = list(csv.DictReader(io.StringIO(answer.text)))
            assert [(one["cohort"], one["weeks"], one["value"]) for one in rows if one["numerator"] == "1"] == [
                ("2026-W02", "1", "0.5"),
                ("2026-W02", "2", "0.5"),
            ]
            continue
        root = ElementTree.fromstring(answer.text)
        words = [one.text or "" for one in root.iter() if one.tag.endswith(("title", "desc", "text"))]
        assert root.attrib["role"] == "img"
        assert "prefers-color-scheme:dark" in answer.text
        assert any("2026-W02, 2 journeys: 50%, 50%" in one for one in words)
        assert "2026-W02, week 2: 50.0% (1 of 2), not mature" in words
        assert "2026-W03, week 1: no data" in words
        assert len(answer.content) < 60_000


HOSTILE = st.text(max_size=30) | st.sampled_from(("<script>", "a&b", '"', "\x00", "\ufffe"))
VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=6) | st.lists(st.none(), min_size=1, max_size=6)


@given(st.lists(st.tuples(st.none() | HOSTILE, VALUES), max_size=4))
def test_a_heat_map_of_any_names_and_values_is_a_picture_that_fits(rows: list[tuple[str | None, list[Any]]]) -> None:
    groups = [
        {
            "key": key,
            "metrics": [
                {"cohort": "2026-W01", "weeks": n, "from": "mql", "to": "sal", "value": value, "mature": n % 2 == 0}
                | {"numerator": 0, "denominator": 0 if value is None else 3}
                for n, value in enumerate(values, 1)
            ],
        }
        for key, values in rows
    ]
    drawn = heat_map({"report": "cohorts", "from": "a", "to": "b", "as_of": "c", "groups": groups})
    root = ElementTree.fromstring(drawn)
    width, height = (float(root.attrib[name]) for name in ("width", "height"))
    boxes = [one.attrib for one in root.iter() if one.tag.endswith("rect")]
    assert len(boxes) == sum(len(values) for _, values in rows)
    for box in boxes:
        assert float(box["x"]) + float(box["width"]) <= width
        assert float(box["y"]) + float(box["height"]) <= height


@pytest.mark.parametrize(("cohorts", "left_out"), [(53, None), (54, None), (55, "1 more"), (300, "246 more")])
def test_a_heat_map_of_many_cohorts_is_small_and_says_how_many_it_leaves_out(
    cohorts: int, left_out: str | None
) -> None:
    cell = {"from": "mql", "to": "sal", "value": 1.0, "mature": False, "numerator": 12345, "denominator": 12345}
    groups = [
        {
            "key": f"a campaign, number {number}",
            "metrics": [{**cell, "cohort": "2026-W10", "weeks": n} for n in range(1, 13)],
        }
        for number in range(cohorts)
    ]
    drawn = heat_map({"report": "cohorts", "from": "a", "to": "b", "as_of": "c", "groups": groups})
    assert len(drawn.encode()) < LARGEST
    assert drawn.count("<rect") == 12 * min(cohorts, 54)
    assert ("more cohorts" in drawn) is (left_out is not None)
    assert left_out is None or f"{left_out} cohorts" in drawn


@pytest.mark.parametrize("pair", [pair for scheme in COLOURS.values() for pair in scheme])
def test_the_numbers_of_a_heat_map_can_be_read_upon_each_colour(pair: str) -> None:
    fill, ink = (luminance(colour) for colour in pair.split())
    assert (max(fill, ink) + 0.05) / (min(fill, ink) + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """The relative luminance of a colour, by WCAG 2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


DAYS = st.dates(date(1970, 1, 1), date(2199, 12, 31))


@given(DAYS, st.integers(1, 1_100), st.sampled_from(("week", "month")))
def test_each_day_of_a_window_is_in_exactly_one_cohort(from_on: date, days: int, per: Per) -> None:
    to_on = from_on + timedelta(days=days)
    found = list(cohorts_of(from_on, to_on, per))
    assert len({name for name, _ in found}) == len(found)
    assert found[0][1] <= from_on
    assert found[-1][1] < to_on
    for (name, begins_on), (_, ends_on) in pairwise(found):
        assert name == (f"{begins_on:%G-W%V}" if per == "week" else f"{begins_on:%Y-%m}")
        assert ends_on - begins_on == timedelta(weeks=1) if per == "week" else ends_on.day == 1
