"""Statements over replays: insert and show them, change their state, and read the events they send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Row,
    Select,
    Text,
    Uuid,
    bindparam,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from app.database.tables import replays
from app.database.transaction import Tx
from app.events.feed import like_patterns
from app.events.sql import MEMBERS
from app.web.pages import Page
from app.webhooks.replays.window import Progress

READ_ROWS: Final = 256
SCANNED: Final = 10_000  # attempts that are looked at for those which failed
LOOKED_AT: Final = 100_000  # rows of the log that are searched for one to send
COUNTED: Final = 10_000

Only = Literal["all", "failed"]
State = Literal["pending", "running", "paused", "done", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class Range:
    """What a replay sends: events after a position and up to another, of types (LIKE patterns) and leads (or None)."""

    after: int
    to: int
    types: tuple[str, ...]
    lead_ids: tuple[UUID, ...] | None
    only: Only


LOG: Final = """
    SELECT tenant_id, position, event_seq, type FROM event_log
     WHERE tenant_id = :tenant_id AND position > :after AND position <= :to {lead} ORDER BY position LIMIT :rows
"""
READ: Final = """
    SELECT l.position, {members} FROM ({log}) l
      LEFT JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq AND l.type LIKE ANY (:types)
     ORDER BY l.position
"""
ANY: Final = """
    SELECT EXISTS (SELECT 1 FROM ({log}) l WHERE l.type LIKE ANY (:types)) OR (SELECT count(*) FROM ({log}) l) >= :rows
"""

# Failed is what is dead, and what has no row and whose latest attempt failed, if its receiver was asked. The last
# position of the attempts that are looked at may be cut, so it is left to the next reading.
FAILED: Final = """
    WITH looked_at AS MATERIALIZED (
        SELECT position, at, n, code, error_kind FROM attempts
         WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND position > :after AND position <= :to
         ORDER BY position LIMIT :scanned
    ), reach AS (
        SELECT CASE WHEN count(*) = :scanned THEN greatest(max(position) - 1, min(position)) ELSE :to END AS position
          FROM looked_at
    ), latest AS (
        SELECT DISTINCT ON (position) position, code, error_kind FROM looked_at
         WHERE position <= (SELECT position FROM reach) ORDER BY position, at DESC, n DESC
    ), failed AS (
        SELECT position FROM latest t
         WHERE (code IS NULL OR code NOT BETWEEN 200 AND 299) AND error_kind IS DISTINCT FROM 'skipped'
           AND NOT EXISTS (SELECT 1 FROM delivery_retries r
                            WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id
                              AND r.position = t.position)
        UNION ALL
        SELECT position FROM delivery_retries
         WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND state = 'dead'
           AND position > :after AND position <= (SELECT position FROM reach)
    ), found AS (
        SELECT l.tenant_id, l.position, l.event_seq, l.type FROM failed f
          JOIN event_log l ON l.tenant_id = :tenant_id AND l.position = f.position {lead}
         ORDER BY l.position LIMIT :rows
    )
"""
READ_FAILED: Final = """{failed}
    SELECT l.position, {members}, reach.position AS reached
      FROM reach LEFT JOIN found l ON true
      LEFT JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq AND l.type LIKE ANY (:types)
     ORDER BY l.position
"""
ANY_FAILED: Final = """{failed}
    SELECT EXISTS (SELECT 1 FROM found WHERE type LIKE ANY (:types)) OR reach.position < :to FROM reach
"""
OF_LEADS: Final = "AND lead_id = ANY (:lead_ids)"

REMAINING: Final = f"""
    CASE WHEN replays.state NOT IN ('pending', 'running', 'paused') THEN 0
         WHEN replays.lead_ids IS NULL THEN (
            SELECT count(*) FROM (
                SELECT 1 FROM event_log l WHERE l.tenant_id = replays.tenant_id
                   AND l.position > replays.position AND l.position <= replays.to_position LIMIT {COUNTED}) counted)
         ELSE (
            SELECT count(*) FROM (
                SELECT 1 FROM jsonb_array_elements_text(replays.lead_ids) AS wanted(id), event_log l
                 WHERE l.tenant_id = replays.tenant_id AND l.lead_id = wanted.id::uuid
                   AND l.position > replays.position AND l.position <= replays.to_position LIMIT {COUNTED}) counted)
    END
"""  # noqa: S608 - constants

BEGIN = text(
    """
    UPDATE replays SET state = 'running', started_at = coalesce(started_at, clock_timestamp()),
                       updated_at = clock_timestamp()
     WHERE tenant_id = :tenant_id AND id = (
        SELECT id FROM replays WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id
           AND state IN ('pending', 'running') ORDER BY state DESC, created_at, id LIMIT 1)
       AND state IN ('pending', 'running')
    RETURNING *, (SELECT version FROM subscriptions WHERE tenant_id = :tenant_id AND id = :subscription_id) AS version
    """
)
ADVANCE = text(
    """
    UPDATE replays SET position = :position, ahead = :ahead, sent = sent + :sent, failed = failed + :failed,
                       updated_at = clock_timestamp(),
                       state = CASE WHEN :finished AND state = 'running' THEN 'done' ELSE state END,
                       finished_at = CASE WHEN :finished AND state = 'running' THEN clock_timestamp()
                                          ELSE finished_at END
     WHERE tenant_id = :tenant_id AND id = :id RETURNING state
    """
).bindparams(bindparam("ahead", type_=JSONB), *(bindparam(n, type_=BigInteger) for n in ("sent", "failed")))
FAIL = text(
    "UPDATE replays SET state = 'failed', state_reason = :reason, finished_at = clock_timestamp(),"
    " updated_at = clock_timestamp() WHERE tenant_id = :tenant_id AND id = :id AND state = 'running' RETURNING *"
)
# A dead delivery that was replayed is delivered: its row goes, and its lead goes on if it waited. Rows are locked in
# the order in which the lane of their lead locks them, which may be another.
SETTLE_DEAD = text(
    """
    WITH dead AS MATERIALIZED (
        SELECT position FROM delivery_retries
         WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND state = 'dead'
           AND position = ANY (:positions) ORDER BY position FOR UPDATE
    )
    UPDATE delivery_retries r SET request = 'discard' FROM dead d
     WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND r.position = d.position
    RETURNING r.position
    """
).bindparams(bindparam("positions", type_=ARRAY(BigInteger)))


async def insert_replay(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(replays).values(tenant_id=tenant_id, **values))


def _with_remaining() -> Select[Any]:
    """Select replays with the number of events of the log that are still to be looked at, counted up to a limit."""
    return select(replays, literal_column(REMAINING, BigInteger).label("remaining"))


def _of_subscription(rows: Select[Any], tenant_id: UUID, subscription_id: UUID) -> Select[Any]:
    return rows.where(replays.c.tenant_id == tenant_id, replays.c.subscription_id == subscription_id)


async def replay(tx: Tx, tenant_id: UUID, subscription_id: UUID, replay_id: UUID) -> Row[Any] | None:
    rows = _of_subscription(_with_remaining(), tenant_id, subscription_id).where(replays.c.id == replay_id)
    found: Row[Any] | None = (await tx.execute(rows)).one_or_none()
    return found


async def list_replays(tx: Tx, tenant_id: UUID, subscription_id: UUID, page: Page) -> Sequence[Row[Any]]:
    rows = _of_subscription(_with_remaining(), tenant_id, subscription_id)
    return (await tx.execute(page.statement(rows, replays))).all()


async def lock_replay(tx: Tx, tenant_id: UUID, subscription_id: UUID, replay_id: UUID) -> Row[Any] | None:
    rows = _of_subscription(select(replays), tenant_id, subscription_id).where(replays.c.id == replay_id)
    found: Row[Any] | None = (await tx.execute(rows.with_for_update())).one_or_none()
    return found


async def set_state(tx: Tx, tenant_id: UUID, replay_id: UUID, state: State, now: datetime) -> None:
    values = {"state": state, "updated_at": now} | ({"finished_at": now} if state == "cancelled" else {})
    await tx.execute(
        update(replays).where(replays.c.tenant_id == tenant_id, replays.c.id == replay_id).values(**values)
    )


async def begin(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> Row[Any] | None:
    """The replay that is to be served, now running: the one that was, else the oldest that waits; None for none."""
    found = await tx.execute(BEGIN, {"tenant_id": tenant_id, "subscription_id": subscription_id})
    row: Row[Any] | None = found.one_or_none()
    return row


async def advance(tx: Tx, tenant_id: UUID, replay_id: UUID, progress: Progress, finished: bool) -> State | None:
    """Write what was done; its state afterwards, None for a replay that was deleted."""
    values = {
        "tenant_id": tenant_id,
        "id": replay_id,
        "position": progress.position,
        "ahead": progress.ahead,
        "sent": len(progress.delivered),
        "failed": progress.failed,
        "finished": finished,
    }
    state: State | None = (await tx.execute(ADVANCE, values)).scalar_one_or_none()
    return state


async def fail(tx: Tx, tenant_id: UUID, replay_id: UUID, reason: str) -> Row[Any]:
    """End a running replay, locked in this transaction, that cannot go on; as it is then."""
    return (await tx.execute(FAIL, {"tenant_id": tenant_id, "id": replay_id, "reason": reason})).one()


async def settle_dead(tx: Tx, tenant_id: UUID, subscription_id: UUID, positions: Sequence[int]) -> bool:
    """Ask for dead deliveries at these positions to be removed, since they were delivered; whether there are any."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "positions": list(positions)}
    return bool((await tx.execute(SETTLE_DEAD, values)).all())


async def read(tx: Tx, tenant_id: UUID, subscription_id: UUID, wanted: Range) -> tuple[Sequence[Row[Any]], int]:
    """The next rows, from `position` and the members of the event on, and the position up to which these are all.

    `id` is null where no type matches.
    """
    template = READ if wanted.only == "all" else READ_FAILED
    rows = (await tx.execute(*_statement(template, tenant_id, subscription_id, wanted, READ_ROWS))).all()
    found = [row for row in rows if row.position is not None]
    if len(found) == READ_ROWS:
        return found, found[-1].position
    return found, wanted.to if wanted.only == "all" else int(rows[0].reached)


async def sends_any(tx: Tx, tenant_id: UUID, subscription_id: UUID, wanted: Range) -> bool:
    """Whether there is anything to send; True also where so many rows match nothing that the search ends before."""
    template, most = (ANY, LOOKED_AT) if wanted.only == "all" else (ANY_FAILED, READ_ROWS)
    return bool((await tx.execute(*_statement(template, tenant_id, subscription_id, wanted, most))).scalar_one())


def _statement(template: str, tenant_id: UUID, subscription_id: UUID, wanted: Range, rows: int) -> tuple[Any, Any]:
    lead = OF_LEADS if wanted.lead_ids is not None else ""
    log, failed = LOG.format(lead=lead), FAILED.format(lead=lead.replace("lead_id ", "l.lead_id "))
    made = text(template.format(members=MEMBERS, log=log, failed=failed))
    binds: list[Any] = [bindparam("types", type_=ARRAY(Text))]
    values: dict[str, Any] = {"tenant_id": tenant_id, "after": wanted.after, "to": wanted.to, "rows": rows}
    values["types"] = list(wanted.types)
    if wanted.only == "failed":
        values |= {"subscription_id": subscription_id, "scanned": SCANNED}
        binds += [bindparam(name, type_=BigInteger) for name in ("to", "scanned")]
    if wanted.lead_ids is not None:
        binds.append(bindparam("lead_ids", type_=ARRAY(Uuid)))
        values["lead_ids"] = list(wanted.lead_ids)
    return made.bindparams(*binds), values


def range_of(row: Row[Any], after: int) -> Range:
    """What a stored replay still sends, after this position."""
    leads = None if row.lead_ids is None else tuple(UUID(each) for each in row.lead_ids)
    return Range(after, row.to_position, tuple(like_patterns(tuple(row.types)) or ["%"]), leads, row.only)
