"""Instants in declared formats only: day and month are never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

# Python lists two more names: the zone of the machine, and that of one that was not set up. PostgreSQL knows neither.
ZONES: Final = frozenset(available_timezones()) - {"localtime", "Factory"}
_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
_AHEAD: Final = timedelta(hours=24)
_EPOCH: Final = re.compile(r"\d{9,19}(?:\.\d{1,9})?")
_NUMERIC_DATE: Final = re.compile(
    r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(?:[ T,]+(\d{1,2}):(\d{2})(?::(\d{2}))?\s*([ap]\.?m\.?)?)?", re.IGNORECASE
)


@lru_cache(maxsize=256)
def zone(name: str) -> tzinfo:
    """The time zone of an IANA name. Raises ValueError when there is none."""
    if name.upper() in ("UTC", "Z", "GMT"):
        return UTC
    if name not in ZONES:
        raise ValueError(f"`{name}` is not a time zone of the IANA database")
    return ZoneInfo(name)


def read_instant(value: object, formats: Sequence[str], time_zone: tzinfo, received_at: datetime) -> datetime | None:
    """The instant of an answer in UTC; None if no format fits, or if it is before 2000 or over a day in the future.

    Formats: `iso`, `epoch` (seconds or milliseconds by size), `dmy`, `mdy`, or a strptime pattern. A time without a
    zone is in `time_zone`. Never raises.
    """
    if value is None or isinstance(value, bool | dict | list):
        return None
    text = str(value).strip()[:64]
    for wanted in formats:
        try:
            moment = _read(text, wanted)
            if moment is None:
                continue
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=time_zone)).astimezone(UTC)
        except (ValueError, OverflowError, OSError):
            continue
        return moment if _EARLIEST <= moment <= received_at + _AHEAD else None
    return None


def _read(text: str, wanted: str) -> datetime | None:
    if wanted == "iso":
        return datetime.fromisoformat(text.upper().replace(" UTC", "Z")) if len(text) >= 8 and "-" in text[:8] else None
    if wanted == "epoch":
        return _epoch(float(text)) if _EPOCH.fullmatch(text) else None
    if wanted in ("dmy", "mdy"):
        return _numeric(text, day_first=wanted == "dmy")
    # May be naive: without a zone in the pattern, the caller sets the source's.
    return datetime.strptime(text, wanted)  # noqa: DTZ007


def _epoch(number: float) -> datetime:
    seconds = number / 1_000 if number >= 1e11 else number
    return datetime.fromtimestamp(seconds, UTC)


def _numeric(text: str, *, day_first: bool) -> datetime | None:
    match = _NUMERIC_DATE.fullmatch(text)
    if match is None:
        return None
    first, second, year, hour, minute, second_of_minute = (int(part or 0) for part in match.groups()[:6])
    if half := (match.group(7) or "").lower()[:1]:
        hour = hour % 12 + (12 if half == "p" else 0)
    day, month = (first, second) if day_first else (second, first)
    # Naive: the caller sets the source's zone.
    return datetime(year, month, day, hour, minute, second_of_minute)  # noqa: DTZ001
