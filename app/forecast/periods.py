"""Fiscal years, quarters, months and weeks of a tenant, by name and by instant. Pure: no database, no clock.

A year has the number of the calendar year in which it ends; one that begins in January, of that year. It begins with
the first day of its first month; by 4-4-5, with the week that has the fourth day of that month. Week 1 is that same
week, so that with `mon` and January weeks are those of ISO 8601. Quarters by 4-4-5 have months of 4, 4 and 5 weeks; a
53rd week belongs to the last month. A month has the name of its calendar month.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final, Literal
from zoneinfo import ZoneInfo

Kind = Literal["year", "quarter", "month", "week"]
NAMES: Final[dict[Kind, re.Pattern[str]]] = {
    "year": re.compile(r"FY(?P<year>\d{4})", re.ASCII),
    "quarter": re.compile(r"(?P<year>\d{4})-Q(?P<number>\d)", re.ASCII),
    "month": re.compile(r"(?P<year>\d{4})-(?P<number>\d\d)", re.ASCII),
    "week": re.compile(r"(?P<year>\d{4})-W(?P<number>\d\d)", re.ASCII),
}
FORMS: Final = "write a period like FY2026, 2026-Q4, 2026-11 or 2026-W48"
PARTS: Final[dict[Kind, tuple[range, str]]] = {
    "quarter": (range(1, 5), "the quarters Q1 to Q4"),
    "month": (range(1, 13), "the months 01 to 12"),
}
YEARS: Final = range(1972, 2198)  # so that every day of a period is one that requests may name
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
UTC_ZONE: Final = ZoneInfo("UTC")
WEEK: Final = timedelta(weeks=1)
MONTHS_OF_4_4_5: Final = (0, 4, 8)  # the weeks of a quarter before each of its months
WEEKS_OF_QUARTER: Final = 13


@dataclass(frozen=True, slots=True)
class Period:
    """A period with its first day and the day after its last one, and the instants at which they begin."""

    name: str
    kind: Kind
    first_on: date
    end_on: date
    starts_at: datetime
    ends_at: datetime

    def has(self, day: date | None) -> bool:
        return day is not None and self.first_on <= day < self.end_on


@dataclass(frozen=True, slots=True)
class FiscalCalendar:
    """How a tenant divides its years."""

    first_month: int = 1
    layout: Literal["months", "4-4-5"] = "months"
    first_weekday: int = 0
    zone: ZoneInfo = UTC_ZONE

    @classmethod
    def of(cls, calendar: Mapping[str, Any]) -> FiscalCalendar:
        """The one of a calendar as `app/tenants/calendar.py` shows it."""
        fiscal = calendar["fiscal"]
        weekday = WEEKDAYS.index(fiscal["first_weekday"])
        return cls(fiscal["first_month"], fiscal["layout"], weekday, ZoneInfo(calendar["time_zone"]))

    def period(self, name: str) -> Period:
        """The period with that name. Raises ValueError, which says what a name is like."""
        for kind, pattern in NAMES.items():
            if found := pattern.fullmatch(name):
                parts = found.groupdict()
                return self._period(kind, int(parts["year"]), int(parts.get("number") or 1))
        raise ValueError(FORMS)

    def period_at(self, kind: Kind, at: datetime) -> Period:
        """The period of this kind in which the instant is."""
        day = at.astimezone(self.zone).date()
        period = self._around(kind, day)
        # Where clocks go back over midnight, the date goes back as well, but periods do not.
        while at < period.starts_at:
            period = self._around(kind, period.first_on - timedelta(days=1))
        while at >= period.ends_at:
            period = self.after(period)
        return period

    def after(self, period: Period) -> Period:
        return self._around(period.kind, period.end_on)

    def before(self, period: Period) -> Period:
        return self._around(period.kind, period.first_on - timedelta(days=1))

    def _around(self, kind: Kind, day: date) -> Period:
        """The period of this kind that has the day."""
        if kind == "month" and self.layout == "months":
            return self._period(kind, day.year, day.month)
        begins = self._first_week if kind == "week" else self._year_begins
        year = day.year if begins(day.year) <= day else day.year - 1
        year += day >= begins(year + 1)
        if kind == "year":
            return self._period(kind, year, 1)
        if kind == "week":
            return self._period(kind, year, (day - begins(year)) // WEEK + 1)
        numbers = range(1, 5) if kind == "quarter" else range(12)
        months = [self._named_month(year, number) for number in numbers] if kind == "month" else []
        candidates = months or [(year, number) for number in numbers]
        return next(one for one in (self._period(kind, *named) for named in candidates) if one.has(day))

    def _period(self, kind: Kind, year: int, number: int) -> Period:
        if year not in YEARS:
            raise ValueError(f"the year must be from {YEARS[0]} to {YEARS[-1]}")
        if kind in PARTS and number not in PARTS[kind][0]:
            raise ValueError(f"{year} has {PARTS[kind][1]}")
        if kind == "year":
            return self._made(f"FY{year}", kind, self._year_begins(year), self._year_begins(year + 1))
        if kind == "quarter":
            return self._made(
                f"{year}-Q{number}",
                kind,
                self._month_begins(year, 3 * number - 3),
                self._month_begins(year, 3 * number),
            )
        if kind == "month":
            place = (number - self.first_month) % 12
            fiscal = year + (self.first_month > 1 and number >= self.first_month)
            return self._made(
                f"{year}-{number:02}", kind, self._month_begins(fiscal, place), self._month_begins(fiscal, place + 1)
            )
        first_on = self._first_week(year) + (number - 1) * WEEK
        if number < 1 or first_on >= self._first_week(year + 1):
            weeks = (self._first_week(year + 1) - self._first_week(year)) // WEEK
            raise ValueError(f"{year} has the weeks W01 to W{weeks}")
        return self._made(f"{year}-W{number:02}", kind, first_on, first_on + WEEK)

    def _made(self, name: str, kind: Kind, first_on: date, end_on: date) -> Period:
        return Period(name, kind, first_on, end_on, self.midnight(first_on), self.midnight(end_on))

    def midnight(self, day: date) -> datetime:
        """The instant at which the day begins: the first one, where clocks go back; the change, where they go on."""
        return datetime.combine(day, time(), self.zone).astimezone(UTC)

    def _begins_in(self, year: int) -> int:
        """The calendar year in which the fiscal year begins."""
        return year if self.first_month == 1 else year - 1

    def _first_week(self, year: int) -> date:
        fourth = date(self._begins_in(year), self.first_month, 4)
        return fourth - timedelta(days=(fourth.weekday() - self.first_weekday) % 7)

    def _year_begins(self, year: int) -> date:
        if self.layout == "4-4-5":
            return self._first_week(year)
        return date(self._begins_in(year), self.first_month, 1)

    def _month_begins(self, year: int, place: int) -> date:
        """The first day of the month at this place (0 to 11) of the fiscal year; 12: of the year after it."""
        if place == 12:
            return self._year_begins(year + 1)
        if self.layout == "4-4-5":
            quarter, month = divmod(place, 3)
            return self._year_begins(year) + (WEEKS_OF_QUARTER * quarter + MONTHS_OF_4_4_5[month]) * WEEK
        years, month = divmod(self.first_month - 1 + place, 12)
        return date(self._begins_in(year) + years, month + 1, 1)

    def _named_month(self, year: int, place: int) -> tuple[int, int]:
        """The calendar year and number by which the month at this place is named."""
        years, month = divmod(self.first_month - 1 + place, 12)
        return self._begins_in(year) + years, month + 1
