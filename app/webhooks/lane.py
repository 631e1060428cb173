"""The books of one lane: who is being sent what, who waits behind whom, and what must be written down. No I/O.

Events of one lead (one order key) are sent one at a time. A lead whose delivery failed is parked: its delivery is a
`retry` row, its later events are `held` rows, and everybody else runs on. The place of the lane is the last position
below which everything is settled or has a row; who opens the lane finds what was delivered after it in the attempts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, NamedTuple, assert_never
from uuid import UUID

from app.events.envelope import Sequenced
from app.webhooks.retry import Disable, Done, GiveUp, Next, Outcome, RetryAt

# Sent but not yet written down: at most this many events come again after a crash, beside those in flight.
MOST_UNCOVERED: Final = 64
FLUSH_AT: Final = 32


class AttemptRow(NamedTuple):
    position: int
    n: int
    at: datetime
    event_id: UUID
    lead_id: UUID | None
    ms: int
    code: int | None
    error: str | None
    head: str | None
    trigger: Literal["live", "retry"]


class KeptRow(NamedTuple):
    position: int
    order_key: UUID
    event_id: UUID
    lead_id: UUID | None
    attempts: int
    next_at: datetime | None
    state: Literal["retry", "held", "dead"]
    last_code: int | None = None
    last_error: str | None = None


@dataclass(slots=True)
class Item:
    """A delivery that is owed: the event, the attempts made, and whether a row stands for it."""

    event: Sequenced
    attempts: int = 0
    stored: bool = False


@dataclass(slots=True)
class Changes:
    """What one flush writes; `delivered` of the attempts were received."""

    position: int = 0
    delivered: int = 0
    due_at: datetime | None = None
    release: bool = False
    attempts: list[AttemptRow] = field(default_factory=list)
    kept: list[KeptRow] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    promoted: set[UUID] = field(default_factory=set)
    dead: list[tuple[Item, Outcome]] = field(default_factory=list)
    gone: bool = False

    @property
    def simple(self) -> bool:
        """Nothing but a place and attempts."""
        return not (self.kept or self.dropped or self.promoted or self.dead or self.gone)


@dataclass(slots=True)
class Lane:
    """See the module. `position` is what is written down, `read_to` what was read.

    `parked` counts the rows of each parked lead; `done` are the positions after `position` that were delivered by the
    owner before, or have a row.
    """

    position: int
    parked: dict[UUID, int] = field(default_factory=dict)
    done: set[int] = field(default_factory=set)
    read_to: int = 0
    ready: deque[Item] = field(default_factory=deque)
    busy: dict[UUID, deque[Item]] = field(default_factory=dict)
    unsettled: dict[int, Item] = field(default_factory=dict)
    rest_until: datetime | None = None
    gone: bool = False
    flying: int = 0
    _kept: dict[int, KeptRow] = field(default_factory=dict)
    _buffer: Changes = field(default_factory=Changes)
    _handed: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        self.read_to = max(self.read_to, self.position)

    # --- coming in

    def arrive(self, events: Iterable[Sequenced], read_to: int) -> None:
        """Events read from the log, in its order, up to and including `read_to`."""
        for event in events:
            key, item = event.order_key, Item(event)
            if event.position in self.done:
                continue
            if key in self.parked:
                self._hold(item)
                continue
            self.unsettled[event.position] = item
            if key in self.busy:
                self.busy[key].append(item)
            else:
                self._start(item)
        self.read_to = read_to

    def due(self, event: Sequenced, attempts: int) -> None:
        """A retry whose time has come, unless something newer than its row is known of it."""
        known = event.position in self._kept or event.position in self._buffer.dropped
        if not known and event.order_key not in self.busy and event.order_key in self.parked:
            self._start(Item(event, attempts, stored=True))

    def _start(self, item: Item) -> None:
        self.busy[item.event.order_key] = deque()
        self.ready.append(item)

    # --- going out

    def take(self) -> Item | None:
        """The next delivery to send; None when there is none, or too much is not yet written down."""
        if not self.ready or self.uncovered >= MOST_UNCOVERED:
            return None
        item = self.ready.popleft()
        self.flying += 1
        return item

    @property
    def uncovered(self) -> int:
        """Deliveries made that would come again if we crashed now."""
        return self._buffer.delivered + self._handed.delivered

    # --- what became of it

    def settle(self, item: Item, outcome: Outcome, decided: Next, now: datetime) -> None:
        """Write down an attempt and what follows from it."""
        self.flying -= 1
        item.attempts += 1
        self._buffer.attempts.append(_attempt(item, outcome, now))
        match decided:
            case Done():
                self._buffer.delivered += 1
                self._settled(item)
            case RetryAt(at, rest_until):
                self._park(item, outcome, at)
                self.rest_until = rest_until or self.rest_until
            case Disable():
                self._park(item, outcome, now)
                self.gone = self._buffer.gone = True
            case GiveUp():
                self._buffer.dead.append((item, outcome))
                self._settled(item, dead=_kept(item, "dead", None, outcome))
            case unexpected:
                assert_never(unexpected)

    def _settled(self, item: Item, dead: KeptRow | None = None) -> None:
        key, position = item.event.order_key, item.event.position
        waiting = self.busy.pop(key)
        if dead is not None:
            self._kept[position] = dead
        elif item.stored:
            self._kept.pop(position, None)
            self._buffer.dropped.add(position)
        if item.stored:
            self._next_row(key)
            return
        del self.unsettled[position]
        if waiting:
            following = waiting.popleft()
            self.busy[key] = waiting
            self.ready.append(following)

    def _next_row(self, key: UUID) -> None:
        """One row of a parked lead is done with: the next one's turn, or the lead is free."""
        self.parked[key] -= 1
        if self.parked[key]:
            self._buffer.promoted.add(key)
        else:
            del self.parked[key]

    def _park(self, item: Item, outcome: Outcome, at: datetime) -> None:
        key = item.event.order_key
        waiting = self.busy.pop(key)
        self._kept[item.event.position] = _kept(item, "retry", at, outcome)
        if item.stored:
            return
        self.parked[key] = 1
        del self.unsettled[item.event.position]
        for later in waiting:
            del self.unsettled[later.event.position]
            self._hold(later)

    def _hold(self, item: Item) -> None:
        self.parked[item.event.order_key] += 1
        self._kept[item.event.position] = _kept(item, "held", None, None)

    # --- writing down

    @property
    def settled_to(self) -> int:
        """Everything up to here is settled or has a row."""
        return next(iter(self.unsettled)) - 1 if self.unsettled else self.read_to

    @property
    def to_write(self) -> bool:
        return bool(self._buffer.attempts or self._kept or self.settled_to > self.position)

    @property
    def urgent(self) -> bool:
        """Enough acknowledged to write down at once, or a parked lead waits for its next turn."""
        return bool(self.uncovered >= FLUSH_AT or self._buffer.promoted)

    @property
    def next_kept(self) -> datetime | None:
        """When the first retry is due of those that are not yet written down."""
        return min((row.next_at for row in self._kept.values() if row.next_at is not None), default=None)

    def collect(self, release: bool = False) -> Changes:
        """Hand over everything to be written; call `written` after it was, or forget the lane."""
        changes, self._buffer = self._buffer, Changes()
        changes.kept, self._kept = list(self._kept.values()), {}
        changes.position, changes.release = self.settled_to, release
        changes.due_at = self.rest_until if release else None
        self._handed = changes
        return changes

    def written(self, changes: Changes) -> None:
        """The changes are committed."""
        self.position, self._handed = changes.position, Changes()


def _attempt(item: Item, outcome: Outcome, now: datetime) -> AttemptRow:
    event = item.event
    trigger: Literal["live", "retry"] = "live" if item.attempts == 1 else "retry"
    return AttemptRow(
        event.position,
        item.attempts,
        now,
        event.id,
        event.lead_id,
        outcome.ms,
        outcome.code,
        outcome.error,
        outcome.head or None,
        trigger,
    )


def _kept(
    item: Item, state: Literal["retry", "held", "dead"], next_at: datetime | None, outcome: Outcome | None
) -> KeptRow:
    event = item.event
    return KeptRow(
        event.position,
        event.order_key,
        event.id,
        event.lead_id,
        item.attempts,
        next_at,
        state,
        outcome.code if outcome else None,
        outcome.error if outcome else None,
    )
