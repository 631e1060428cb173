"""The circuit breaker of one subscription, and how many requests at a time its receiver gets. No I/O.

closed      Requests go out. Opens after 5 failures in a row, after 70 % failures of at least 10 attempts in 5 minutes,
            or when 20 leads got a 4xx and none a 2xx.
open        One probe after 30 s; the wait doubles with each failed one, up to 15 minutes, and varies by 20 %.
half open   A probe succeeded: one request at a time, twice as many every 10 s. Two failures before anything is
            delivered open it again, later what opens a closed one: a receiver that fails now and then gets through
            the slow start. It is closed when the limit of the subscription is reached.

A failure is a request without a response, a 5xx, or a 408, 409, 425 or 429. Another answer outside 2xx is about the
event, unless every lead gets one. Time-outs, 502, 503 and 504 also halve the concurrency, and each success adds one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from app.webhooks.retry import Outcome

FAILURES_IN_A_ROW: Final = 5
FAILURES_WHEN_HALF_OPEN: Final = 2  # one may be an event that always fails, of a receiver that is well
WINDOW: Final = timedelta(minutes=5)
WINDOW_ATTEMPTS: Final = 10
WINDOW_PERCENT: Final = 70
REFUSED_LEADS: Final = 20
PROBE_SPREAD: Final = 0.2
MOST_REQUESTS: Final = 64  # that a subscription may set as its limit
RECEIVER_4XX: Final = (408, 409, 425, 429)  # the receiver is busy, whatever the event
SLOW: Final = (502, 503, 504)
WARN_AFTER: Final = (timedelta(hours=1), timedelta(hours=24), timedelta(hours=72))


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds: until the first probe, between probes at most, and between two steps of the slow start."""

    first_probe: float = 30.0
    longest_probe: float = 900.0
    step: float = 10.0


class Outage(BaseModel):
    """A breaker that is not closed, as stored with the lane. `since`: nothing was delivered from then on."""

    model_config = ConfigDict(frozen=True)

    state: Literal["open", "half_open"] = "open"
    since: datetime
    wait: float
    probe_at: datetime
    probes: int = 0
    refused: bool = False
    warned: int = 0
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What to store of a breaker that changed (None: closed), and what to tell of it in events."""

    outage: Outage | None
    warning: timedelta | None = None
    recovered: Outage | None = None
    in_a_row: int = 0

    @property
    def tells(self) -> bool:
        return self.warning is not None or self.recovered is not None

    @property
    def stored(self) -> dict[str, Any]:
        outage = self.outage.model_dump(mode="json") if self.outage else {}
        return outage | ({"in_a_row": self.in_a_row} if self.in_a_row else {})


@dataclass(slots=True)
class Window:
    """Attempts and failures of the last 5 minutes, counted by the second."""

    seconds: deque[list[int]] = field(default_factory=deque)
    attempts: int = 0
    failures: int = 0

    def add(self, now: datetime, failed: bool) -> None:
        second = int(now.timestamp())
        if not self.seconds or self.seconds[-1][0] != second:
            self.seconds.append([second, 0, 0])
        self.seconds[-1][1] += 1
        self.seconds[-1][2] += failed
        self.attempts += 1
        self.failures += failed
        while self.seconds[0][0] <= second - WINDOW.total_seconds():
            _, attempts, failures = self.seconds.popleft()
            self.attempts -= attempts
            self.failures -= failures

    @property
    def failing(self) -> bool:
        return self.attempts >= WINDOW_ATTEMPTS and self.failures * 100 >= self.attempts * WINDOW_PERCENT


Verdict = Literal["delivered", "refused", "failed"]


def verdict(outcome: Outcome) -> Verdict:
    """What an attempt says: the event was taken, the event was refused, or the receiver failed."""
    if outcome.delivered:
        return "delivered"
    if outcome.code is not None and 300 <= outcome.code < 500 and outcome.code not in RECEIVER_4XX:
        return "refused"
    return "failed"


def is_slow(outcome: Outcome) -> bool:
    """Whether the receiver may be overloaded: a time-out of the request, 502, 503 or 504."""
    return outcome.code in SLOW or (outcome.code is None and outcome.error in ("timeout", "connect_timeout"))


@dataclass(slots=True)
class Breaker:
    """See the module's docstring. `outage` is None while closed; `changed` is set when it must be stored."""

    waits: Waits = field(default_factory=Waits)
    outage: Outage | None = None
    changed: bool = False
    recovered: Outage | None = None
    allowed: int = MOST_REQUESTS
    in_a_row: int = 0
    stored_in_a_row: int = 0
    window: Window = field(default_factory=Window)
    refused: set[UUID] = field(default_factory=set)

    @classmethod
    def of(cls, stored: Mapping[str, Any], waits: Waits) -> Self:
        """As the previous owner of the lane left it."""
        outage = Outage.model_validate(stored) if "state" in stored else None
        in_a_row = stored.get("in_a_row", 0)
        return cls(waits, outage, in_a_row=in_a_row, stored_in_a_row=in_a_row)

    @property
    def state(self) -> Literal["closed", "open", "half_open"]:
        return self.outage.state if self.outage else "closed"

    @property
    def probe_at(self) -> datetime | None:
        """When an open breaker lets the next probe out."""
        return self.outage.probe_at if self.outage and self.outage.state == "open" else None

    def failed_for(self, now: datetime) -> timedelta:
        """How long nothing was delivered; zero while closed."""
        return now - self.outage.since if self.outage else timedelta(0)

    def concurrency(self, limit: int, now: datetime) -> int:
        """How many requests may be in flight: at least 1, or 0 while open."""
        if self.state == "open":
            return 0
        return min(self.allowed, limit, self._slow_start(limit, now))

    def _slow_start(self, limit: int, now: datetime) -> int:
        if self.outage is None or self.outage.started_at is None:
            return limit
        steps = int((now - self.outage.started_at).total_seconds() // self.waits.step)
        return 1 << min(max(steps, 0), limit.bit_length())

    def note(self, outcome: Outcome, lead: UUID, limit: int, now: datetime, chance: float) -> None:
        """Count an attempt of a delivery of this lead; `chance` in [0, 1) varies the wait for a probe."""
        self._adapt(outcome, limit)
        if self.state == "open":
            return  # it was in flight when the breaker opened
        judged = verdict(outcome)
        self._count(judged, lead, now)
        if judged != "delivered" and self._must_open(judged):
            self._open(now, chance, refused=len(self.refused) >= REFUSED_LEADS)

    def note_probe(self, outcome: Outcome, limit: int, now: datetime, chance: float) -> bool:
        """Count a probe; whether the receiver is back."""
        assert self.outage is not None
        self._adapt(outcome, limit)
        judged = verdict(outcome)
        if judged == "failed" or (judged == "refused" and self.outage.refused):
            self._wait_longer(chance, now)
            return False
        self.start(now)
        return True

    def start(self, now: datetime) -> None:
        """Half open: let requests out, slowly."""
        assert self.outage is not None
        self._set(self.outage.model_copy(update={"state": "half_open", "started_at": now}))
        self._forget()

    def advance(self, limit: int, now: datetime) -> None:
        """Close a half-open breaker whose slow start reached the limit."""
        if self.outage and self.state == "half_open" and self._slow_start(limit, now) >= limit:
            self.recovered = self.outage if self.outage.warned else None
            self._set(None)

    def hold_back(self, now: datetime, chance: float) -> None:
        """Open, as after failures, because too many deliveries wait and none of them can be sent now."""
        since = self.outage.since if self.outage else now
        self._open(now, chance, refused=False)
        assert self.outage is not None
        self._set(self.outage.model_copy(update={"since": since}))

    def take_change(self, now: datetime, release: bool = False) -> Change | None:
        """What changed since the last call. Failures in a row are stored when the lane is released, not for each."""
        warning = self._warning(now)
        if not self.changed and not (release and self.in_a_row != self.stored_in_a_row):
            return None
        change = Change(self.outage, warning, self.recovered, self.in_a_row)
        self.changed, self.recovered, self.stored_in_a_row = False, None, self.in_a_row
        return change

    def _warning(self, now: datetime) -> timedelta | None:
        """The longest of the warnings that are due and were not given; it counts as given."""
        if self.outage is None or self.outage.state != "open":
            return None
        due = sum(now - self.outage.since >= after for after in WARN_AFTER)
        if due <= self.outage.warned:
            return None
        self._set(self.outage.model_copy(update={"warned": due}))
        return WARN_AFTER[due - 1]

    # --- counting

    def _adapt(self, outcome: Outcome, limit: int) -> None:
        if is_slow(outcome):
            self.allowed = max(1, min(self.allowed, limit) // 2)
        elif outcome.delivered:
            self.allowed = min(self.allowed + 1, limit)

    def _count(self, judged: Verdict, lead: UUID, now: datetime) -> None:
        if judged == "refused":
            self.refused.add(lead)
            return
        self.window.add(now, judged == "failed")
        self.in_a_row = self.in_a_row + 1 if judged == "failed" else 0
        if judged == "delivered":
            self.refused.clear()

    def _must_open(self, judged: Verdict) -> bool:
        if judged == "refused":
            return len(self.refused) >= REFUSED_LEADS
        nothing_delivered = self.window.failures == self.window.attempts  # since it is half open
        is_cautious = self.state == "half_open" and nothing_delivered
        return self.in_a_row >= (FAILURES_WHEN_HALF_OPEN if is_cautious else FAILURES_IN_A_ROW) or self.window.failing

    def _open(self, now: datetime, chance: float, refused: bool) -> None:
        before = self.outage or Outage(since=now, wait=self.waits.first_probe / 2, probe_at=now)
        self._set(before.model_copy(update={"state": "open", "since": now, "refused": refused, "started_at": None}))
        self._wait_longer(chance, now, probes=0)
        self._forget()

    def _wait_longer(self, chance: float, now: datetime, probes: int = 1) -> None:
        assert self.outage is not None
        wait = min(self.outage.wait * 2, self.waits.longest_probe)
        varied = timedelta(seconds=wait * (1 + PROBE_SPREAD * (2 * chance - 1)))
        more = {"wait": wait, "probe_at": now + varied, "probes": self.outage.probes + probes}
        self._set(self.outage.model_copy(update=more))

    def _forget(self) -> None:
        self.in_a_row, self.window, self.refused = 0, Window(), set()

    def _set(self, outage: Outage | None) -> None:
        self.outage, self.changed = outage, True
