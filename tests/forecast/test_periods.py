"""Periods of a fiscal calendar: they follow each other without gaps, and their names and instants find them again."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import get_args
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.forecast.periods import FORMS, FiscalCalendar, Kind, Period

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS = get_args(Kind)
ZONES = sorted(available_timezones())
CALENDARS = st.builds(
    FiscalCalendar,
    st.integers(1, 12),
    st.sampled_from(["months", "4-4-5"]),
    st.integers(0, 6),
    st.sampled_from(ZONES).map(ZoneInfo),
)
DAYS = st.integers(2_000, 65_000)  # since 1970
INSTANTS = st.builds(
    lambda days, us: EPOCH + timedelta(days=days, microseconds=us), DAYS, st.integers(0, 86_399_999_999)
)


def within(calendar: FiscalCalendar, outer: Period, kind: Kind) -> list[Period]:
    """The periods of a kind from the first day of `outer` to its last."""
    found = [calendar.period_at(kind, outer.starts_at)]
    while found[-1].end_on < outer.end_on:
        found.append(calendar.after(found[-1]))
    return found


@pytest.mark.parametrize("kind", KINDS)
@given(calendar=CALENDARS, at=INSTANTS)
def test_every_instant_is_in_exactly_one_period_of_a_kind_and_the_name_leads_back_to_it(
    kind: Kind, calendar: FiscalCalendar, at: datetime
) -> None:
    period = calendar.period_at(kind, at)
    assert period.starts_at <= at < period.ends_at
    assert calendar.period(period.name) == period
    before, after = calendar.before(period), calendar.after(period)
    assert (before.end_on, before.ends_at) == (period.first_on, period.starts_at)
    assert (after.first_on, after.starts_at) == (period.end_on, period.ends_at)
    assert calendar.before(after) == calendar.after(before) == period
    assert len({before.name, period.name, after.name}) == 3
    assert calendar.period_at(kind, period.starts_at) == period
    assert calendar.period_at(kind, period.ends_at) == after


@given(calendar=CALENDARS, year=st.integers(1975, 2150))
def test_quarters_and_months_tile_the_year(calendar: FiscalCalendar, year: int) -> None:
    whole = calendar.period(f"FY{year}")
    counts: list[tuple[Kind, int]] = [("quarter", 4), ("month", 12)]
    for kind, count in counts:
        parts = within(calendar, whole, kind)
        assert len(parts) == count
        assert (parts[0].first_on, parts[-1].end_on) == (whole.first_on, whole.end_on)
        assert all(before.end_on == after.first_on for before, after in pairwise(parts))
    quarters = within(calendar, whole, "quarter")
    assert [one.name for one in quarters] == [f"{year}-Q{number}" for number in (1, 2, 3, 4)]


@given(calendar=CALENDARS, year=st.integers(1975, 2150))
def test_a_year_by_4_4_5_is_52_or_53_whole_weeks(calendar: FiscalCalendar, year: int) -> None:
    by_weeks = FiscalCalendar(calendar.first_month, "4-4-5", calendar.first_weekday, calendar.zone)
    whole = by_weeks.period(f"FY{year}")
    weeks = within(by_weeks, whole, "week")
    assert len(weeks) in (52, 53)
    assert (weeks[0].first_on, weeks[-1].end_on) == (whole.first_on, whole.end_on)
    assert [one.name for one in weeks] == [f"{year}-W{number:02}" for number in range(1, len(weeks) + 1)]
    months = [(one.end_on - one.first_on) // timedelta(weeks=1) for one in within(by_weeks, whole, "month")]
    assert months == [4, 4, 5] * 3 + [4, 4, 5 + len(weeks) - 52]
    assert all(one.first_on.weekday() == calendar.first_weekday for one in weeks)


@given(day=st.dates(date(1975, 1, 1), date(2150, 1, 1)))
def test_weeks_from_monday_in_a_year_from_january_are_those_of_iso_8601(day: date) -> None:
    year, week, _ = day.isocalendar()
    for layout in ("months", "4-4-5"):
        found = FiscalCalendar(1, layout).period_at("week", datetime(day.year, day.month, day.day, tzinfo=UTC))
        assert found.name == f"{year}-W{week:02}"


@pytest.mark.parametrize("zone", ZONES)
def test_weeks_begin_at_midnight_in_every_zone_also_where_clocks_change(zone: str) -> None:
    calendar = FiscalCalendar(zone=ZoneInfo(zone))
    week = calendar.period("2010-W52")
    while week.name != "2012-W02":  # Samoa leaves out a day in between
        following = calendar.after(week)
        assert week.ends_at == following.starts_at
        assert timedelta(days=5, hours=22) <= week.ends_at - week.starts_at <= timedelta(days=7, hours=2)
        local = week.starts_at.astimezone(calendar.zone)
        just_before = (week.starts_at - timedelta(microseconds=1)).astimezone(calendar.zone)
        assert (local.date(), just_before.date() < week.first_on) == (week.first_on, True)
        for at in (week.starts_at, week.ends_at - timedelta(microseconds=1)):
            assert calendar.period_at("week", at) == week
        week = following


@pytest.mark.parametrize(
    ("calendar", "name", "first_on", "last_on"),
    [
        (FiscalCalendar(), "FY2026", "2026-01-01", "2026-12-31"),
        (FiscalCalendar(), "2026-Q4", "2026-10-01", "2026-12-31"),
        (FiscalCalendar(), "2026-11", "2026-11-01", "2026-11-30"),
        (FiscalCalendar(), "2026-W48", "2026-11-23", "2026-11-29"),
        (FiscalCalendar(), "2026-W53", "2026-12-28", "2027-01-03"),
        (FiscalCalendar(4), "FY2027", "2026-04-01", "2027-03-31"),
        (FiscalCalendar(4), "2027-Q1", "2026-04-01", "2026-06-30"),
        (FiscalCalendar(4), "2026-11", "2026-11-01", "2026-11-30"),
        (FiscalCalendar(4), "2027-W01", "2026-03-30", "2026-04-05"),
        (FiscalCalendar(1, "4-4-5"), "FY2026", "2025-12-29", "2027-01-03"),
        (FiscalCalendar(1, "4-4-5"), "2026-Q4", "2026-09-28", "2027-01-03"),
        (FiscalCalendar(1, "4-4-5"), "2026-12", "2026-11-23", "2027-01-03"),
        (FiscalCalendar(2, "4-4-5", 6), "2027-Q1", "2026-02-01", "2026-05-02"),
        (FiscalCalendar(2, "4-4-5", 6), "2026-03", "2026-03-01", "2026-03-28"),
    ],
)
def test_periods_by_hand(calendar: FiscalCalendar, name: str, first_on: str, last_on: str) -> None:
    period = calendar.period(name)
    assert (str(period.first_on), str(period.end_on - timedelta(days=1))) == (first_on, last_on)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("2026-W99", "2026 has the weeks W01 to W53"),
        ("2025-W53", "2025 has the weeks W01 to W52"),
        ("2026-W00", "2026 has the weeks W01 to W53"),
        ("2026-Q5", "2026 has the quarters Q1 to Q4"),
        ("2026-Q0", "2026 has the quarters Q1 to Q4"),
        ("2026-13", "2026 has the months 01 to 12"),
        ("1900-W99", "the year must be from 1972 to 2197"),
        ("2026-W1", FORMS),
    ],
)
def test_a_number_that_no_year_has_is_told(name: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}$"):
        FiscalCalendar().period(name)


@given(name=st.text(max_size=12) | st.from_regex(r"\d{4}-?[QW]?\d{0,3}|FY\d{1,6}", fullmatch=True), calendar=CALENDARS)
def test_a_text_is_a_period_of_this_name_or_refused(name: str, calendar: FiscalCalendar) -> None:
    try:
        found = calendar.period(name)
    except ValueError:
        return
    assert found.name == name
    assert found.starts_at < found.ends_at
