"""Business time: the minutes of a calendar's working hours, added to an instant or measured between two.

A wall-clock time that comes twice, when clocks are set back, is taken at its first coming; one that is skipped, when
they are set forward, at the instant of the change. So a day over a change is an hour longer or shorter, as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WHOLE_DAY: Final = (("00:00", "24:00"),)
DAY, MINUTE, SECOND = timedelta(days=1), timedelta(minutes=1), timedelta(seconds=1)
FARTHEST: Final = timedelta(days=3653)  # of which the days are counted: hardly any hours, or an instant of long ago

Hours = Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Working hours by weekday in a time zone, and the dates without any. Without hours every hour of a day counts."""

    zone: ZoneInfo
    hours: Hours
    holidays: frozenset[date]

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Calendar:
        """The calendar of a document `{time_zone, working_hours, holidays}`; a member that is missing says nothing."""
        hours = document.get("working_hours") or {}
        holidays = frozenset(date.fromisoformat(day) for day in document.get("holidays") or ())
        return cls(ZoneInfo(document.get("time_zone") or "UTC"), hours if any(hours.values()) else {}, holidays)

    def add(self, start: datetime, minutes: int) -> datetime:
        """The instant at which so many business minutes have passed since `start`; at most ten years after it."""
        left = minutes * MINUTE
        for begin, end in self._spans(start, start + FARTHEST):
            if end - begin >= left:
                return begin + left
            left -= end - begin
        return start + FARTHEST

    def between(self, start: datetime, end: datetime) -> timedelta:
        """How much business time lies between two instants, in the last ten years before the second one."""
        spans = self._spans(max(start, end - FARTHEST), end)
        return sum((until - since for since, until in spans), timedelta())

    def _spans(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The working hours between two instants, in order."""
        day, last = (at.astimezone(self.zone).date() for at in (start - DAY, end + DAY))
        while day <= last:
            for opens, closes in self._hours_of(day):
                since, until = max(opens, start), min(closes, end)
                if since < until:
                    yield since, until
            day += DAY

    def _hours_of(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        if day not in self.holidays:
            for begin, end in self.hours.get(WEEKDAYS[day.weekday()], ()) if self.hours else WHOLE_DAY:
                yield self._instant(day, begin), self._instant(day, end)

    def _instant(self, day: date, hour: str) -> datetime:
        hours, minutes = hour.split(":")
        local = datetime.combine(day, time()) + timedelta(hours=int(hours), minutes=int(minutes))
        instant = local.replace(tzinfo=self.zone).astimezone(UTC)
        if instant.astimezone(self.zone).replace(tzinfo=None) == local:
            return instant
        before, after = local.replace(tzinfo=self.zone, fold=1).astimezone(UTC), instant
        while after - before > SECOND:
            middle = before + (after - before) // SECOND // 2 * SECOND
            if self._offset(middle) == self._offset(before):
                before = middle
            else:
                after = middle
        return after

    def _offset(self, instant: datetime) -> timedelta | None:
        return instant.astimezone(self.zone).utcoffset()


def calendar_of(tenant: Mapping[str, Any], time_zone: str | None, hours: Hours | None) -> dict[str, Any]:
    """The calendar of a user: own hours in the own zone, else those of the tenant; holidays are always the tenant's."""
    own = {"time_zone": time_zone, "working_hours": hours} if hours and any(hours.values()) else {}
    return {**tenant, **own}
