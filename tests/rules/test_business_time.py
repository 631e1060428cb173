"""Business time over weekends, holidays and changes of the clock, against a count minute by minute."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.lifecycle.business_time import FARTHEST, MINUTE, WEEKDAYS, Calendar, calendar_of

NINE_TO_SIX = {day: [["09:00", "18:00"]] for day in WEEKDAYS[:5]}
NIGHTS = {day: [["00:00", "06:00"], ["22:00", "24:00"]] for day in WEEKDAYS}
BUCHAREST, NEW_YORK = "Europe/Bucharest", "America/New_York"


def calendar(zone: str, hours: Any = NINE_TO_SIX, holidays: tuple[str, ...] = ()) -> Calendar:
    return Calendar.read({"time_zone": zone, "working_hours": hours, "holidays": list(holidays)})


def at(zone: str, local: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("zone", "hours", "start", "minutes", "due"),
    [
        (BUCHAREST, NINE_TO_SIX, "2026-06-15T10:00", 240, "2026-06-15T14:00"),
        (BUCHAREST, NINE_TO_SIX, "2026-06-15T17:00", 240, "2026-06-16T12:00"),
        (BUCHAREST, NINE_TO_SIX, "2026-06-15T14:00", 240, "2026-06-15T18:00"),
        (BUCHAREST, NINE_TO_SIX, "2026-06-15T05:00", 1, "2026-06-15T09:01"),
        (BUCHAREST, NINE_TO_SIX, "2026-06-19T17:00", 240, "2026-06-22T12:00"),  # over a weekend
        (BUCHAREST, NINE_TO_SIX, "2026-06-20T12:00", 240, "2026-06-22T13:00"),  # on a Saturday
        (BUCHAREST, NINE_TO_SIX, "2026-03-27T17:00", 240, "2026-03-30T12:00"),  # clocks are set forward on Sunday
        (BUCHAREST, NINE_TO_SIX, "2026-10-23T17:00", 240, "2026-10-26T12:00"),  # and back
        (NEW_YORK, NINE_TO_SIX, "2026-03-06T17:00", 240, "2026-03-09T12:00"),
        (NEW_YORK, NINE_TO_SIX, "2026-10-30T17:00", 240, "2026-11-02T12:00"),
        (BUCHAREST, NIGHTS, "2026-03-28T22:00", 420, "2026-03-29T06:00"),  # two hours, and five instead of six
        (BUCHAREST, NIGHTS, "2026-10-24T22:00", 540, "2026-10-25T06:00"),  # two hours, and seven
        (NEW_YORK, NIGHTS, "2026-03-07T22:00", 420, "2026-03-08T06:00"),
        (NEW_YORK, NIGHTS, "2026-10-31T22:00", 540, "2026-11-01T06:00"),
        (BUCHAREST, {}, "2026-03-29T00:00", 1380, "2026-03-30T00:00"),  # every hour of a day of 23
        (BUCHAREST, {}, "2026-10-25T00:00", 1500, "2026-10-26T00:00"),
        (BUCHAREST, {"mon": []}, "2026-06-20T12:00", 60, "2026-06-20T13:00"),  # no hours at all: every hour counts
    ],
)
def test_minutes_are_counted_in_the_hours_and_the_zone_of_the_calendar(
    zone: str, hours: Any, start: str, minutes: int, due: str
) -> None:
    assert calendar(zone, hours).add(at(zone, start), minutes) == at(zone, due)


def test_a_holiday_has_no_hours_in_the_zone_of_the_calendar() -> None:
    festive = calendar(BUCHAREST, holidays=("2026-12-01", "2026-12-25"))
    assert festive.add(at(BUCHAREST, "2026-11-30T17:00"), 120) == at(BUCHAREST, "2026-12-02T10:00")
    assert festive.add(at(BUCHAREST, "2026-12-24T17:00"), 120) == at(BUCHAREST, "2026-12-28T10:00")
    always = calendar(NEW_YORK, {}, ("2026-12-25",))
    assert always.add(at(NEW_YORK, "2026-12-24T23:00"), 120) == at(NEW_YORK, "2026-12-26T01:00")


@pytest.mark.parametrize(
    ("zone", "day", "span", "minutes"),
    [
        (BUCHAREST, "2026-03-29", ["03:00", "04:00"], 0),  # is skipped
        (BUCHAREST, "2026-03-29", ["03:15", "03:45"], 0),
        (BUCHAREST, "2026-03-29", ["02:30", "03:30"], 30),
        (BUCHAREST, "2026-03-29", ["03:30", "04:30"], 30),
        (BUCHAREST, "2026-10-25", ["03:00", "04:00"], 120),  # comes twice
        (BUCHAREST, "2026-10-25", ["02:00", "03:00"], 60),
        (BUCHAREST, "2026-10-25", ["04:00", "05:00"], 60),
        (NEW_YORK, "2026-03-08", ["01:30", "02:30"], 30),
        (NEW_YORK, "2026-11-01", ["01:00", "02:00"], 120),
        ("Australia/Lord_Howe", "2026-10-04", ["01:00", "04:00"], 150),  # half an hour is skipped
        ("Asia/Beirut", "2026-03-29", ["00:00", "02:00"], 60),  # midnight is skipped
        ("America/Havana", "2026-11-01", ["00:00", "02:00"], 180),  # midnight comes twice
        ("Pacific/Apia", "2011-12-30", ["00:00", "24:00"], 0),  # a whole day is skipped
    ],
)
def test_hours_over_a_change_of_the_clock_are_as_long_as_they_are(
    zone: str, day: str, span: list[str], minutes: int
) -> None:
    noon = datetime.fromisoformat(f"{day}T12:00+00:00")
    weekday = WEEKDAYS[noon.weekday()]
    around = noon - timedelta(days=2), noon + timedelta(days=2)
    assert calendar(zone, {weekday: [span]}).between(*around) == minutes * MINUTE


def test_a_user_has_the_own_hours_or_else_those_of_the_tenant_and_always_its_holidays() -> None:
    tenant = {"time_zone": BUCHAREST, "working_hours": NINE_TO_SIX, "holidays": ["2026-12-25"]}
    own = {"mon": [["08:00", "12:00"]]}
    assert calendar_of(tenant, NEW_YORK, own) == {**tenant, "time_zone": NEW_YORK, "working_hours": own}
    without: list[dict[str, list[list[str]]] | None] = [None, {}, {"mon": []}, {"mon": [], "tue": []}]
    for none in without:
        assert calendar_of(tenant, NEW_YORK, none) == tenant
    assert Calendar.read(calendar_of({}, None, None)) == calendar("UTC", {})


def test_a_calendar_with_hardly_any_hours_ends_after_ten_years() -> None:
    start = at(BUCHAREST, "2026-06-15T10:00")
    assert calendar(BUCHAREST, {"sun": [["03:00", "03:01"]]}).add(start, 1_000_000) == start + FARTHEST


ZONES = [BUCHAREST, NEW_YORK, "UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Havana", "Asia/Beirut"]
clock_times = st.integers(0, 24 * 4).map(lambda quarter: f"{quarter // 4:02}:{quarter % 4 * 15:02}")


@st.composite
def days(draw: st.DrawFn) -> list[list[str]]:
    times = sorted(draw(st.sets(clock_times, max_size=6)))
    return [list(span) for span in zip(times[::2], times[1::2], strict=False)]


@st.composite
def calendars(draw: st.DrawFn) -> Calendar:
    hours = draw(st.dictionaries(st.sampled_from(WEEKDAYS), days(), max_size=7))
    near = st.integers(0, 400).map(lambda day: (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=day)).date())
    holidays = draw(st.lists(near, max_size=10))
    zone = draw(st.sampled_from(ZONES))
    document = {"time_zone": zone, "working_hours": hours, "holidays": [day.isoformat() for day in holidays]}
    return Calendar.read(document)


# Near the changes of March and autumn, and at any second of the year.
CHANGES = [datetime(2026, 3, 8, 7), datetime(2026, 3, 29, 1), datetime(2026, 10, 25, 1), datetime(2026, 11, 1, 6)]  # noqa: DTZ001
instants = st.one_of(
    st.integers(0, 366 * 86400).map(lambda second: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second)),
    st.builds(
        lambda change, second: change.replace(tzinfo=UTC) + timedelta(seconds=second),
        st.sampled_from(CHANGES),
        st.integers(-90_000, 90_000),
    ),
)
minutes_given = st.integers(1, 5000)


@given(calendars(), instants, minutes_given)
@example(calendar(BUCHAREST, NIGHTS), at(BUCHAREST, "2026-10-25T03:30", fold=1), 120)
def test_what_was_added_is_measured_again(when: Calendar, start: datetime, minutes: int) -> None:
    due = when.add(start, minutes)
    if due == start + FARTHEST:
        assert when.between(start, due) <= minutes * MINUTE
        return
    assert when.between(start, due) == minutes * MINUTE
    assert when.between(start, due - timedelta(seconds=1)) < minutes * MINUTE, "no earlier instant would do"


@given(calendars(), instants, instants, minutes_given, minutes_given)
def test_what_starts_later_or_takes_longer_is_not_due_earlier(
    when: Calendar, one: datetime, other: datetime, few: int, more: int
) -> None:
    first, later = sorted((one, other))
    assert when.add(first, few) <= when.add(later, few)
    assert when.add(first, few) <= when.add(first, few + more)
    if when.add(first, few + more) < first + FARTHEST:
        assert when.add(when.add(first, few), more) == when.add(first, few + more)


@given(calendars(), instants, instants, instants)
def test_measured_times_add_up_and_are_never_negative(
    when: Calendar, one: datetime, two: datetime, three: datetime
) -> None:
    first, middle, last = sorted((one, two, three))
    whole = when.between(first, last)
    assert when.between(first, middle) + when.between(middle, last) == whole
    assert timedelta() <= whole <= last - first
    assert when.between(last, first) == timedelta()


@given(calendars(), instants, st.integers(0, 3000))
def test_no_minute_counts_whose_reading_of_the_clock_is_outside_the_hours(
    when: Calendar, start: datetime, minutes: int
) -> None:
    """Compared minute by minute, but in an hour that comes twice, of which a part can count that reads as outside."""
    start = start.replace(second=0)
    moments = [start + n * MINUTE for n in range(minutes)]
    counted, twice = 0, 0
    for moment in moments:
        local = moment.astimezone(when.zone)
        spans = when.hours.get(WEEKDAYS[local.weekday()], ()) if when.hours else [["00:00", "24:00"]]
        reading = f"{local.hour:02}:{local.minute:02}"
        opened = local.date() not in when.holidays and any(begin <= reading < end for begin, end in spans)
        ambiguous = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
        twice += ambiguous
        counted += opened and not ambiguous
    measured = when.between(start, start + minutes * MINUTE) // MINUTE
    assert counted <= measured <= counted + twice
