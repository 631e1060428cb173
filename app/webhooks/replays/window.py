"""Which events of a replay are sent next, and which are handled. No I/O.

Events of one lead are sent one at a time, in the order of the log; while one waits for its next attempt the later ones
of its lead wait behind it. `position` is the last one up to which everything is handled; handled positions after it are
`ahead`. The window is limited, so `ahead` is short.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from app.events.envelope import Sequenced
from app.webhooks.breaker import MOST_REQUESTS
from app.webhooks.lane import AttemptRow, Item, attempt_row
from app.webhooks.retry import Disable, Done, GiveUp, Next, Outcome, RetryAt

ROOM: Final = 256  # events after the position; more wait in the log
ATTEMPTS: Final = 4  # of one delivery
LONGEST_WAIT: Final = 30.0  # seconds between them
SHARE: Final = 5  # a replay gets one of so many requests in flight
# While events are recorded a replay sends a few requests at a time, and waits between: after each turn, and after each
# sign of a live event until it is mostly sent, but not longer than the last of these seconds.
LIVE_SECONDS: Final = 1.0  # after the last sign there are no live events
AT_ONCE: Final = 4
TURN_SECONDS, SENDING_SECONDS, HELD_SECONDS = 0.02, 0.005, 0.04


def waits_of(schedule: Sequence[float]) -> tuple[float, ...]:
    """The waits of a replay's attempts: those of the subscription's schedule, but few and short."""
    return tuple(min(each, LONGEST_WAIT) for each in schedule[:ATTEMPTS])


def share_of(concurrency: int) -> int:
    """How many requests of a replay may be in flight: 20 % of the subscription's, at least one."""
    return max(1, concurrency // SHARE)


@dataclass(slots=True)
class Turns:
    """When a replay gives way to live events. A sign of one: an event was recorded or got its position, of any tenant.

    Seconds are those of a monotonic clock.
    """

    _signed_at: float = -math.inf
    _taken_at: float = -math.inf

    def sign(self, at: float) -> None:
        """A live event is on its way."""
        self._signed_at = at

    def wait(self, at: float) -> float:
        """Seconds until it is the replay's turn; 0 when it is."""
        if not self._live(at):
            return 0.0
        sent_at = min(self._signed_at + SENDING_SECONDS, self._taken_at + HELD_SECONDS)
        return max(0.0, sent_at - at, self._taken_at + TURN_SECONDS - at)

    def take(self, at: float) -> int:
        """The replay has its turn now; how many requests it may start."""
        self._taken_at = at
        return AT_ONCE if self._live(at) else MOST_REQUESTS

    def _live(self, at: float) -> bool:
        return at < self._signed_at + LIVE_SECONDS


@dataclass(slots=True)
class Progress:
    """What one flush writes; `delivered` are the positions that the receiver took."""

    position: int
    ahead: list[int]
    attempts: list[AttemptRow] = field(default_factory=list)
    delivered: list[int] = field(default_factory=list)
    failed: int = 0


@dataclass(slots=True)
class Window:
    """See the module's docstring. `end` is the last position of the replay, `read_to` the last one that was read."""

    position: int
    end: int
    ahead: set[int] = field(default_factory=set)
    read_to: int = 0
    in_flight: int = 0
    _ready: deque[Item] = field(default_factory=deque)
    _later: list[tuple[datetime, int, Item]] = field(default_factory=list)
    _of_lead: dict[UUID, deque[Item]] = field(default_factory=dict)
    _open: dict[int, Item] = field(default_factory=dict)  # in the order of the log
    _attempts: list[AttemptRow] = field(default_factory=list)
    _delivered: list[int] = field(default_factory=list)
    _failed: int = 0

    def __post_init__(self) -> None:
        self.read_to = max(self.read_to, self.position)

    @property
    def room(self) -> bool:
        """Whether more of the log is to be read. Where nothing is open only that goes on, however long `ahead` is."""
        is_short = not self._open or len(self._open) + len(self.ahead) < ROOM
        return self.read_to < self.end and is_short

    @property
    def finished(self) -> bool:
        return self.read_to >= self.end and not self._open

    @property
    def unwritten(self) -> int:
        """Attempts whose results are not written: after a crash these are sent again, and those in flight."""
        return len(self._attempts)

    def add(self, events: Iterable[Sequenced], read_to: int, read_at: float) -> None:
        """Add events read from the log, in its order, up to and including `read_to`; `read_at` as in Item."""
        for event in events:
            if event.position in self.ahead:
                continue
            item = self._open[event.position] = Item(event, read_at=read_at)
            if (waiting := self._of_lead.get(event.order_key)) is not None:
                waiting.append(item)
            else:
                self._of_lead[event.order_key] = deque()
                self._ready.append(item)
        self.read_to = read_to

    def take(self, now: datetime) -> Item | None:
        """The next delivery to send: one that is to be tried again, else the next of the log; None if none may be."""
        if self._later and self._later[0][0] <= now:
            item = heapq.heappop(self._later)[2]
        elif self._ready:
            item = self._ready.popleft()
        else:
            return None
        self.in_flight += 1
        return item

    def late(self, at: float) -> list[Item]:
        """The deliveries that have to be read again before they are sent."""
        return [item for item in self._open.values() if item.is_late(at)]

    def next_at(self, now: datetime) -> float | None:
        """Seconds until `take` gives something; None while only an answer or more of the log can change that."""
        if self._ready:
            return 0.0
        return max((self._later[0][0] - now).total_seconds(), 0.0) if self._later else None

    def settle(self, item: Item, outcome: Outcome, decided: Next, now: datetime) -> None:
        """Note an attempt and apply what follows from it. A delivery that is given up lets its lead go on."""
        self.in_flight -= 1
        item.attempts += 1
        self._attempts.append(attempt_row(item, outcome, now, "replay"))
        match decided:
            case Done():
                self._delivered.append(item.event.position)
                self._finish(item)
            case RetryAt(at):
                heapq.heappush(self._later, (at, item.event.position, item))
            case GiveUp():
                self._failed += 1
                self._finish(item)
            case Disable():  # it is sent once more when the subscription is enabled again
                self._ready.appendleft(item)

    def drop(self, item: Item) -> None:
        """Finish a delivery that the subscription does not accept, without sending it."""
        self.in_flight -= 1
        self._finish(item)

    def _finish(self, item: Item) -> None:
        position, key = item.event.position, item.event.order_key
        del self._open[position]
        self.ahead.add(position)
        if waiting := self._of_lead[key]:
            self._ready.append(waiting.popleft())
        else:
            del self._of_lead[key]

    def collect(self) -> Progress:
        """What is to be written; the caller writes it, or discards the window."""
        self.position = next(iter(self._open)) - 1 if self._open else self.read_to
        self.ahead = {each for each in self.ahead if each > self.position}
        progress = Progress(self.position, sorted(self.ahead), self._attempts, self._delivered, self._failed)
        self._attempts, self._delivered, self._failed = [], [], 0
        return progress
