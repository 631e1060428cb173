"""What follows an attempt: nothing more, another one later, the end of the delivery, or the end of the subscription."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

# The example of Standard Webhooks: ten attempts over 75.6 hours. The first number is the wait before the first attempt.
SCHEDULE: tuple[float, ...] = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
LONGEST_WAIT = timedelta(hours=24)
GONE, TOO_MANY, UNAVAILABLE = 410, 429, 503


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one HTTP attempt ended. `code` is None when no head arrived; `head` is at most 1 KiB of the answer's body."""

    code: int | None
    error: str | None = None
    ms: int = 0
    retry_after: str | None = None
    head: str = ""

    @property
    def delivered(self) -> bool:
        """A 2xx head decides; what happens to the body after it does not."""
        return self.code is not None and 200 <= self.code < 300


@dataclass(frozen=True, slots=True)
class Done:
    """The receiver has it."""


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at `at`; with `rest_until` the receiver asked the whole subscription to wait."""

    at: datetime
    rest_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The schedule is used up: the delivery is dead."""


@dataclass(frozen=True, slots=True)
class Disable:
    """410: the receiver is gone; the subscription stops and loses nothing."""


Next = Done | RetryAt | GiveUp | Disable


def next_attempt(
    outcome: Outcome, attempts: int, now: datetime, jitter: float, schedule: Sequence[float] = SCHEDULE
) -> Next:
    """Decide after attempt number `attempts` (from 1); `jitter` in [0, 1) spreads the wait by half, never longer."""
    if outcome.delivered:
        return Done()
    if outcome.code == GONE:
        return Disable()
    if attempts >= len(schedule):
        return GiveUp()
    promised = schedule[attempts]
    own = timedelta(seconds=promised / 2 + jitter * promised / 2)
    asked = asked_wait(outcome.retry_after, now)
    wait = min(max(own, asked), LONGEST_WAIT)
    rests = asked > timedelta(0) and outcome.code in (TOO_MANY, UNAVAILABLE)
    return RetryAt(now + wait, now + asked if rests else None)


def asked_wait(header: str | None, now: datetime) -> timedelta:
    """The wait a `Retry-After` asks for, at most 24 hours; zero when absent, in the past, or not understood."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        # A number of any length is legal; more than a week's digits is the cap anyway, and timedelta would overflow.
        return LONGEST_WAIT if len(text) > 6 else min(timedelta(seconds=int(text)), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return timedelta(0)
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max(at - now, timedelta(0)), LONGEST_WAIT)
