"""The state of one lane: deliveries to send, in flight and waiting, and what must be written to the database. No I/O.

Events of one lead (one order key) are sent one at a time. When a delivery fails its lead is parked: the delivery
becomes a `retry` row of delivery_retries, the lead's later events become `held` rows, and other leads continue. A
delivery that is given up becomes a `dead` row; where that blocks, its lead stays parked until somebody asks for a retry
or discards it. Of each parked lead the first row is the one to be sent, if it is not dead; the others are held. The
lane's position is the last one up to which everything is settled or has a row; deliveries after it are in `attempts`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Final, Literal, NamedTuple, assert_never
from uuid import UUID

from app.events.envelope import Sequenced, names_nobody
from app.webhooks.breaker import Change
from app.webhooks.pace import Pace
from app.webhooks.retry import Disable, Done, GiveUp, Next, Outcome, RetryAt, pause_until

# Delivered but not yet written: at most this many events are sent again after a crash, besides those in flight.
MAX_UNRECORDED: Final = 64
FLUSH_AT: Final = 32
MOST_PARKED: Final = 10_000  # rows of a subscription; with more it is treated as if its receiver were down
FRESH_SECONDS: Final = 1.0  # what was read longer ago is read again before it is sent
SKIPPED: Final = Outcome(None, "skipped")


Trigger = Literal["live", "retry", "probe", "replay"]
DisabledFor = Literal["gone", "failing"]


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
    trigger: Trigger

    @property
    def delivered(self) -> bool:
        return self.code is not None and 200 <= self.code < 300


class RetryRow(NamedTuple):
    position: int
    order_key: UUID
    event_id: UUID
    lead_id: UUID | None
    attempts: int
    next_at: datetime | None
    state: Literal["retry", "held", "dead"]
    last_code: int | None = None
    last_error: str | None = None
    blocks: bool = False


@dataclass(slots=True)
class Item:
    """A delivery: the event, the attempts made, whether it has a row in delivery_retries, and when it was read.

    `read_at` is in the seconds of a monotonic clock: the event is as it was stored then, or later.
    """

    event: Sequenced
    attempts: int = 0
    stored: bool = False
    read_at: float = 0.0

    def is_late(self, at: float) -> bool:
        """Whether the event has to be read again before it is sent: its person may have been erased since."""
        return at - self.read_at > FRESH_SECONDS


@dataclass(slots=True)
class Changes:
    """What one flush writes; `delivered` counts the successful attempts, `breaker` is set when it changed."""

    position: int = 0
    delivered: int = 0
    due_at: datetime | None = None
    release: bool = False
    attempts: list[AttemptRow] = field(default_factory=list)
    retries: list[RetryRow] = field(default_factory=list)
    deleted: set[int] = field(default_factory=set)
    promoted: set[UUID] = field(default_factory=set)
    dead: list[tuple[Item, Outcome]] = field(default_factory=list)
    disabled: DisabledFor | None = None
    breaker: Change | None = None
    leads: set[UUID] = field(default_factory=set)  # whose rows are changed by it

    @property
    def reached(self) -> int:
        """The furthest position that was delivered, but by a replay; 0 for none."""
        return max((row.position for row in self.attempts if row.delivered and row.trigger != "replay"), default=0)

    @property
    def attempts_only(self) -> bool:
        """Only a position, attempts and the breaker, which one statement writes."""
        tells = self.breaker is not None and self.breaker.tells
        return not (self.retries or self.deleted or self.promoted or self.dead or self.disabled or tells)


@dataclass(slots=True)
class Lane:
    """See the module's docstring. `position` is the one in the database, `read_to` the last one read.

    `parked` counts the rows of each parked lead, `rows` all of them. `already_settled` are positions after `position`
    that an earlier owner of the lane delivered, or that have a row. `dead_blocks`: leads wait behind dead deliveries.
    `pace` counts what is taken; whoever takes asks it first.
    """

    position: int
    parked: dict[UUID, int] = field(default_factory=dict)
    already_settled: set[int] = field(default_factory=set)
    read_to: int = 0
    ready: deque[Item] = field(default_factory=deque)
    busy: dict[UUID, deque[Item]] = field(default_factory=dict)
    unsettled: dict[int, Item] = field(default_factory=dict)
    wait_until: datetime | None = None
    disabled: DisabledFor | None = None
    dead_blocks: bool = False
    pace: Pace = field(default_factory=Pace)
    most_parked: int = MOST_PARKED
    in_flight: int = 0
    rows: int = 0
    _retries: dict[int, RetryRow] = field(default_factory=dict)
    _buffer: Changes = field(default_factory=Changes)
    _writing: Changes = field(default_factory=Changes)

    def __post_init__(self) -> None:
        self.read_to = max(self.read_to, self.position)
        self.rows = sum(self.parked.values())

    @property
    def full(self) -> bool:
        """So many rows wait that no more may be added: nothing more is read from the log."""
        return self.rows >= self.most_parked

    # --- input

    def add(self, events: Iterable[Sequenced], read_to: int, read_at: float) -> None:
        """Add events read from the log, in its order, up to and including `read_to`."""
        for event in events:
            key, item = event.order_key, Item(event, read_at=read_at)
            if event.position in self.already_settled:
                continue
            if key in self.parked:
                self._hold(item)
                continue
            self.unsettled[event.position] = item
            if key in self.busy:
                self.busy[key].append(item)
            else:
                self._enqueue(item)
        self.read_to = read_to

    def add_due(self, event: Sequenced, attempts: int, read_at: float) -> None:
        """Add a due retry, unless its row is out of date: changed in memory and not yet written."""
        newer = event.position in self._retries or event.position in self._buffer.deleted
        if not newer and event.order_key not in self.busy and event.order_key in self.parked:
            self._enqueue(Item(event, attempts, stored=True, read_at=read_at))

    def _enqueue(self, item: Item) -> None:
        self.busy[item.event.order_key] = deque()
        self.ready.append(item)

    # --- sending

    def take(self) -> Item | None:
        """The next delivery to send; None when there is none, or too many results are not yet written."""
        if not self.ready or self.unrecorded >= MAX_UNRECORDED:
            return None
        item = self.ready.popleft()
        self.in_flight += 1
        self.pace.take()
        return item

    def waits_for_pace(self, now: datetime) -> bool:
        """Whether nothing may be sent now because of the receiver's rate; the lane is then paused until it may be."""
        if wait := self.pace.wait():
            self.pause(now + timedelta(seconds=wait))
        return bool(wait)

    def late(self, at: float) -> list[Item]:
        """What waits to be sent and has to be read again first."""
        return [item for item in chain(self.ready, *self.busy.values()) if item.is_late(at)]

    @property
    def unrecorded(self) -> int:
        """Successful deliveries not yet written, which would be sent again after a crash."""
        return self._buffer.delivered + self._writing.delivered

    def choose_probe(self, items: Sequence[Item], probes: int) -> Item | None:
        """One of the waiting retries and the first event of another lead: another one for each failed probe."""
        waiting = [item for item in items if item.stored]
        fresh = (item for item in items if not item.stored and self._is_new(item.event))
        candidates = [*waiting, *islice(fresh, 1)]
        return candidates[probes % len(candidates)] if candidates else None

    def _is_new(self, event: Sequenced) -> bool:
        return event.order_key not in self.parked and event.position not in self.already_settled

    def take_probe(self, item: Item) -> None:
        """Send this delivery alone, before anything was read; an event of the log is not added when it is read."""
        position = item.event.position
        self.busy[item.event.order_key] = deque()
        self.in_flight += 1
        self.pace.take()
        if not item.stored:
            self.unsettled[position] = item
            self.already_settled.add(position)

    def fail_probe(self, item: Item, outcome: Outcome, now: datetime) -> None:
        """Note a failed probe. The delivery is as it was: it has no row that it had not, and as many attempts left."""
        self.in_flight -= 1
        self._buffer.attempts.append(attempt_row(Item(item.event, item.attempts + 1), outcome, now, "probe"))
        self.pause(pause_until(outcome, now))
        del self.busy[item.event.order_key]
        if not item.stored:
            del self.unsettled[item.event.position]
            self.already_settled.discard(item.event.position)

    # --- outcomes

    def settle(self, item: Item, outcome: Outcome, decided: Next, now: datetime) -> None:
        """Note an attempt and apply what follows from it."""
        self.in_flight -= 1
        item.attempts += 1
        self._buffer.attempts.append(attempt_row(item, outcome, now))
        self.pause(pause_until(outcome, now))
        match decided:
            case Done():
                self._buffer.delivered += 1
                self._finish(item)
            case RetryAt(at):
                self._park(item, _retry_row(item, "retry", at, outcome))
            case Disable():
                self._park(item, _retry_row(item, "retry", now, outcome))
                self.disable("gone")
            case GiveUp():
                self._give_up(item, outcome)
            case unexpected:
                assert_never(unexpected)

    def _give_up(self, item: Item, outcome: Outcome) -> None:
        self._buffer.dead.append((item, outcome))
        dead = _retry_row(item, "dead", None, outcome)._replace(blocks=self.dead_blocks)
        if self.dead_blocks:
            self._park(item, dead)
        else:
            self._finish(item, dead)

    def pause(self, until: datetime | None) -> None:
        """Send nothing until then; of several instants the last one counts."""
        if until is not None:
            self.wait_until = max(until, self.wait_until or until)

    def disable(self, reason: DisabledFor) -> None:
        self.disabled = self._buffer.disabled = reason

    def skip(self, item: Item, now: datetime) -> None:
        """Finish a delivery that the subscription no longer accepts, without sending it; an attempt row says so."""
        self.in_flight -= 1
        item.attempts += 1
        self._buffer.attempts.append(attempt_row(item, SKIPPED, now))
        self._finish(item)

    def drop(self, item: Item) -> None:
        """Finish a delivery that was never tried, as if the subscription had not heard of it."""
        self.in_flight -= 1
        self._finish(item)

    def _finish(self, item: Item, dead: RetryRow | None = None) -> None:
        key, position = item.event.order_key, item.event.position
        waiting = self.busy.pop(key)
        self._buffer.leads.add(key)
        if dead is not None:
            self._retries[position] = dead
        elif item.stored:
            self._retries.pop(position, None)
            self._buffer.deleted.add(position)
        if item.stored:
            self._advance_parked(key)
            return
        del self.unsettled[position]
        if waiting:
            following = waiting.popleft()
            self.busy[key] = waiting
            self.ready.append(following)

    def _advance_parked(self, key: UUID) -> None:
        """A row of a parked lead is settled: promote the lead's next row, or unpark the lead after the last one."""
        self.parked[key] -= 1
        self.rows -= 1
        if self.parked[key]:
            self._buffer.promoted.add(key)
        else:
            del self.parked[key]

    def _park(self, item: Item, row: RetryRow) -> None:
        key = item.event.order_key
        waiting = self.busy.pop(key)
        self._buffer.leads.add(key)
        self._retries[item.event.position] = row
        if item.stored:
            return
        self.parked[key] = 1
        self.rows += 1
        del self.unsettled[item.event.position]
        for later in waiting:
            del self.unsettled[later.event.position]
            self._hold(later)

    def _hold(self, item: Item) -> None:
        self.parked[item.event.order_key] += 1
        self._buffer.leads.add(item.event.order_key)
        self.rows += 1
        self._retries[item.event.position] = _retry_row(item, "held", None, None)

    @property
    def changing(self) -> set[UUID]:
        """The leads of which a delivery is in flight, or rows are changed and not yet written."""
        return {*self.busy, *self._buffer.leads}

    def recount(self, rows: Mapping[UUID, int]) -> None:
        """Take over how many rows these leads have, after the database changed some that were asked for."""
        for key, count in rows.items():
            self.rows += count - self.parked.pop(key, 0)
            if count:
                self.parked[key] = count

    # --- writing

    @property
    def settled_to(self) -> int:
        """The last position up to which everything is settled or has a row."""
        return next(iter(self.unsettled)) - 1 if self.unsettled else self.read_to

    @property
    def unwritten(self) -> bool:
        return bool(self._buffer.attempts or self._retries or self.settled_to > self.position)

    @property
    def rests(self) -> bool:
        """Whether nothing waits, and nothing is written of what is after the position: that alone says all of it."""
        ahead = max(self.already_settled, default=0) > self.position
        return not (self.parked or self.unsettled or self.unwritten or ahead)

    @property
    def urgent(self) -> bool:
        """Flush at once: many deliveries are unwritten, or the next row of a parked lead is to be promoted."""
        return bool(self.unrecorded >= FLUSH_AT or self._buffer.promoted)

    @property
    def next_retry(self) -> datetime | None:
        """The earliest `next_at` of the retries that are not yet written."""
        return min((row.next_at for row in self._retries.values() if row.next_at is not None), default=None)

    def collect(self, release: bool = False, breaker: Change | None = None) -> Changes:
        """Everything to be written. Call `written` after the commit; if writing fails, discard the lane."""
        changes, self._buffer = self._buffer, Changes()
        changes.retries, self._retries = list(self._retries.values()), {}
        changes.position, changes.release, changes.breaker = self.settled_to, release, breaker
        changes.due_at = self.wait_until if release else None
        self._writing = changes
        return changes

    def written(self, changes: Changes) -> None:
        """The changes are committed."""
        self.position, self._writing = changes.position, Changes()


def attempt_row(item: Item, outcome: Outcome, now: datetime, trigger: Trigger | None = None) -> AttemptRow:
    """The row of the latest attempt of a delivery. An answer to what is told of an erased lead is not kept."""
    event = item.event
    return AttemptRow(
        event.position,
        item.attempts,
        now,
        event.id,
        event.lead_id,
        outcome.ms,
        outcome.code,
        outcome.error,
        None if names_nobody(event) else outcome.head or None,
        trigger or ("live" if item.attempts == 1 else "retry"),
    )


def _retry_row(
    item: Item, state: Literal["retry", "held", "dead"], next_at: datetime | None, outcome: Outcome | None
) -> RetryRow:
    event = item.event
    return RetryRow(
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
