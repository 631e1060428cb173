"""What follows an attempt: done, retry, give the delivery up, or disable the subscription."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# The example schedule of Standard Webhooks: ten attempts over 75.6 hours. The first wait is before the first attempt.
SCHEDULE: tuple[float, ...] = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
LONGEST_WAIT = timedelta(hours=24)
GONE, TOO_MANY, UNAVAILABLE = 410, 429, 503


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one HTTP attempt. `code` is None without a response; `head` is up to 1 KiB of the response body."""

    code: int | None
    error: str | None = None
    ms: int = 0
    retry_after: str | None = None
    head: str = ""

    @property
    def delivered(self) -> bool:
        """Only the status counts; an error in the response body does not."""
        return self.code is not None and 200 <= self.code < 300

    @property
    def label(self) -> str:
        """For the metric: `delivered`, the error, or the class of the status (`4xx`)."""
        return "delivered" if self.delivered else self.error or f"{(self.code or 0) // 100}xx"


@dataclass(frozen=True, slots=True)
class Done:
    """The receiver acknowledged the event."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `at`; with `wait_until` the receiver asked for no requests of this subscription until then."""

    at: datetime
    wait_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """There are no attempts left: the delivery is dead."""


@dataclass(frozen=True, slots=True)
class Disable:
    """410 Gone: disable the subscription. It keeps its position, so no event is lost."""


Next = Done | RetryAt | GiveUp | Disable


def next_attempt(
    outcome: Outcome, attempts: int, now: datetime, jitter: float, schedule: Sequence[float] = SCHEDULE
) -> Next:
    """What follows attempt number `attempts` (from 1); `jitter` in [0, 1) sets the wait to 50-100 % of the schedule."""
    if outcome.delivered:
        return Done()
    if outcome.code == GONE:
        return Disable()
    if attempts >= len(schedule):
        return GiveUp()
    scheduled = schedule[attempts]
    backoff = timedelta(seconds=scheduled / 2 + jitter * scheduled / 2)
    requested = requested_wait(outcome.retry_after, now)
    wait = min(max(backoff, requested), LONGEST_WAIT)
    return RetryAt(now + wait, pause_until(outcome, now))


def pause_until(outcome: Outcome, now: datetime) -> datetime | None:
    """Until when the receiver asks for no requests of this subscription: 429 or 503 with `Retry-After`."""
    if outcome.code not in (TOO_MANY, UNAVAILABLE):
        return None
    requested = requested_wait(outcome.retry_after, now)
    return now + requested if requested > timedelta(0) else None


def requested_wait(header: str | None, now: datetime) -> timedelta:
    """The wait that `Retry-After` asks for, at most 24 hours; zero when absent, in the past, or invalid."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        # Any number of digits is legal; with more than 6 the wait is over 24 hours, and timedelta might overflow.
        return LONGEST_WAIT if len(text) > 6 else min(timedelta(seconds=int(text)), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return timedelta(0)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(at - now, timedelta(0)), LONGEST_WAIT)
