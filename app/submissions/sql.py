"""SQL of submissions and their items, within one tenant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, delete, select, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.tables import leads, submission_items, submissions
from app.database.transaction import ChangedMeanwhile, Record, Records, Tx
from app.sources.item import KEY_SEPARATOR
from app.web.pages import Page

Key = tuple[UUID, str]  # the source and the submission key

REPLAYED_AT_ONCE: Final = 10_000
FETCH_FAILED: Final = "fetch_failed"
WITHOUT_BODY: Final = [column for column in submissions.c if column.name != "body"]
# A Record is a tuple, so `row.index` would be the tuple's method.
ITEM: Final = (submission_items, submission_items.c.index.label("place"))

# Rows are inserted in key order, so that workers with the same keys do not deadlock. No row back: another transaction
# took the key since it was found to be new.
KEEP_ITEMS = text(
    """
    INSERT INTO submission_items (tenant_id, submission_id, index, source_id, submission_key, verdict, lead_id, reason,
                                  mapped, fetch_at)
    SELECT :tenant_id, submission_id, index, source_id, submission_key, verdict, lead_id, reason, mapped, fetch_at
      FROM jsonb_to_recordset(:items) AS r(
           submission_id uuid, index integer, source_id uuid, submission_key text, verdict text, lead_id uuid,
           reason text, mapped jsonb, fetch_at timestamptz)
     ORDER BY source_id, submission_key
    ON CONFLICT (tenant_id, source_id, submission_key) WHERE verdict NOT IN ('duplicate', 'quarantined') DO NOTHING
    RETURNING index AS place
    """
).bindparams(bindparam("items", type_=JSONB))

TAKEN_KEYS = text(
    """
    SELECT w.source_id, w.submission_key
      FROM jsonb_to_recordset(:keys) AS w(source_id uuid, submission_key text)
      JOIN LATERAL (SELECT FROM submission_items i
                     WHERE i.tenant_id = :tenant_id AND i.source_id = w.source_id
                       AND i.submission_key = w.submission_key AND i.verdict NOT IN ('duplicate', 'quarantined')
                     LIMIT 1) i ON true
    """
).bindparams(bindparam("keys", type_=JSONB), bindparam("tenant_id", type_=Uuid))

# The item that was processed under each key, with the time at which it came.
HELD = text(
    """
    SELECT i.source_id, i.submission_key, i.submission_id, i.index AS place, i.lead_id, i.verdict, i.mapped,
           s.received_at
      FROM jsonb_to_recordset(:keys) AS w(source_id uuid, submission_key text)
      JOIN LATERAL (SELECT * FROM submission_items i
                     WHERE i.tenant_id = :tenant_id AND i.source_id = w.source_id
                       AND i.submission_key = w.submission_key AND i.verdict NOT IN ('duplicate', 'quarantined')
                     LIMIT 1) i ON true
      JOIN submissions s ON s.tenant_id = :tenant_id AND s.id = i.submission_id
    """
).bindparams(bindparam("keys", type_=JSONB), bindparam("tenant_id", type_=Uuid))

# Items that made nothing leave their keys to what comes now. Of two transactions the second finds them released.
RELEASE_KEYS = text(
    """
    UPDATE submission_items i SET submission_key = i.submission_key || CAST(:separator AS text) || i.submission_id
                                                   || '-' || i.index
      FROM (SELECT i.submission_id, i.index, i.submission_key
              FROM jsonb_to_recordset(:places) AS w(submission_id uuid, index integer, submission_key text)
              JOIN submission_items i ON i.tenant_id = :tenant_id AND i.submission_id = w.submission_id
                   AND i.index = w.index AND i.submission_key = w.submission_key
             ORDER BY i.submission_key, i.submission_id, i.index FOR UPDATE OF i) held
     WHERE i.tenant_id = :tenant_id AND i.submission_id = held.submission_id AND i.index = held.index
    """
).bindparams(bindparam("places", type_=JSONB), bindparam("tenant_id", type_=Uuid))

# A duplicate has the lead of the item that holds its key.
FINISH = text(
    """
    WITH doubled AS (
        INSERT INTO submission_items (tenant_id, submission_id, index, source_id, submission_key, verdict, lead_id)
        SELECT :tenant_id, d.submission_id, d.index, d.source_id, d.submission_key, 'duplicate', f.lead_id
          FROM jsonb_to_recordset(:duplicates) AS d(
               submission_id uuid, index integer, source_id uuid, submission_key text)
          LEFT JOIN submission_items f ON f.tenant_id = :tenant_id AND f.source_id = d.source_id
               AND f.submission_key = d.submission_key AND f.verdict NOT IN ('duplicate', 'quarantined')
    )
    UPDATE submissions s
       SET state = d.state, processed_at = :now, body = coalesce(decode(d.body, 'base64'), s.body),
           verdicts = coalesce(d.verdicts, s.verdicts)
      FROM jsonb_to_recordset(:finished) AS d(id uuid, state text, body text, verdicts jsonb)
     WHERE s.tenant_id = :tenant_id AND s.id = d.id
    """
).bindparams(*(bindparam(name, type_=JSONB) for name in ("duplicates", "finished")))

# The next try comes after 10 s, then after six times as long each time, an hour at most.
COUNT_FAILED_TRY = text(
    """
    UPDATE submissions
       SET tries = tries + 1,
           retry_at = CAST(:now AS timestamptz) + make_interval(secs => least(10 * power(6, least(tries, 9)), 3600))
     WHERE tenant_id = :tenant_id AND id = :id RETURNING tries
    """
)

# Only the attempt that was counted last may write its outcome: an earlier one took longer than its lease.
TAKE_FETCHED = text(
    """
    DELETE FROM submission_items
     WHERE tenant_id = :tenant_id AND submission_id = :submission_id AND index = :index AND verdict = 'fetch'
       AND fetch_tries = :tries
    RETURNING submission_key
    """
)
FETCH_LATER = text(
    """
    UPDATE submission_items
       SET fetch_at = CAST(:at AS timestamptz), reason = :reason,
           mapped = jsonb_set(mapped, '{unmet}', :unmet)
     WHERE tenant_id = :tenant_id AND submission_id = :submission_id AND index = :index AND verdict = 'fetch'
       AND fetch_tries = :tries
    """
).bindparams(bindparam("unmet", type_=JSONB))

SET_BOT_CHECK = text(
    "UPDATE submissions SET bot_check = :outcome, retry_at = NULL"
    " WHERE tenant_id = :tenant_id AND id = :id AND bot_check = 'waiting'"
)
# Rows of a list wait for their turn again, but none of a list that has not arrived as a whole.
WAITING: Final = "CASE WHEN import_id IS NULL THEN 'received' WHEN state = 'arriving' THEN state ELSE 'listed' END"
REPLAY_ONE = text(
    f"UPDATE submissions SET state = {WAITING}, tries = 0, retry_at = NULL"  # noqa: S608
    " WHERE tenant_id = :tenant_id AND id = :id AND sha256 <> '' AND emptied_at IS NULL RETURNING id"
)
# Once: of two people at the same time, the second finds the review of the first.
REVIEW = text(
    f"""
    UPDATE submissions s SET review = :review, state = {WAITING}, tries = 0, retry_at = NULL
     WHERE s.tenant_id = :tenant_id AND s.id = :id AND s.review IS NULL AND s.sha256 <> '' AND s.emptied_at IS NULL
       AND EXISTS (SELECT 1 FROM submission_items i
                    WHERE i.tenant_id = :tenant_id AND i.submission_id = s.id AND i.verdict = 'spam')
    RETURNING s.id
    """  # noqa: S608 - a constant
).bindparams(bindparam("review", type_=JSONB))
REPLAY = text(
    f"""
    UPDATE submissions SET state = {WAITING}, tries = 0, retry_at = NULL
     WHERE tenant_id = :tenant_id AND id IN (
           SELECT id FROM submissions
            WHERE tenant_id = :tenant_id AND source_id = :source_id AND state = ANY(:states)
              AND sha256 <> '' AND emptied_at IS NULL
              AND (CAST(:after AS timestamptz) IS NULL OR received_at >= :after)
              AND (CAST(:before AS timestamptz) IS NULL OR received_at < :before)
            ORDER BY received_at, id LIMIT :most FOR UPDATE SKIP LOCKED)
    RETURNING id
    """  # noqa: S608
)
# A submission without items counts by its state: it waits, or there was nothing in it.
VOLUME = text(
    """
    WITH newest AS (
        SELECT id, state, received_at FROM submissions
         WHERE tenant_id = :tenant_id AND source_id = :source_id AND received_at >= :since
         ORDER BY received_at DESC, id DESC LIMIT :most)
    SELECT CAST(n.received_at AT TIME ZONE :zone AS date) AS received_on, coalesce(i.verdict, n.state) AS verdict,
           count(*) AS count, (SELECT count(*) FROM newest) AS submissions
      FROM newest n
      LEFT JOIN submission_items i ON i.tenant_id = :tenant_id AND i.submission_id = n.id
     GROUP BY 1, 2 ORDER BY 1, 2
    """
)


async def taken_keys(tx: Tx, tenant_id: UUID, keys: Collection[Key]) -> set[Key]:
    """Those of the keys, each with its source, under which an item was processed."""
    rows = await tx.execute(TAKEN_KEYS, {"tenant_id": tenant_id, "keys": _wanted(keys)}) if keys else ()
    return {(row.source_id, row.submission_key) for row in rows}


async def keep_items(tx: Tx, tenant_id: UUID, items: Sequence[Mapping[str, Any]]) -> None:
    """Inserts items with new keys, and quarantined ones without. Raises ChangedMeanwhile if a key was taken since."""
    if items and len((await tx.execute(KEEP_ITEMS, {"tenant_id": tenant_id, "items": items})).all()) < len(items):
        raise ChangedMeanwhile("another transaction processed an item with the same key")


# What came under a key and went to the lead of its first item, in the order in which it came. A key is followed by what
# tells its items apart (repeats.py).
HISTORY = text(
    """
    SELECT i.source_id, w.key, i.submission_id, i.index AS place, i.submission_key, i.lead_id, i.verdict, i.mapped,
           s.received_at
      FROM jsonb_to_recordset(:keys) AS w(source_id uuid, key text, lead_id uuid)
      JOIN submission_items i ON i.tenant_id = :tenant_id AND i.lead_id = w.lead_id AND i.source_id = w.source_id
       AND split_part(i.submission_key, :separator, 1) = w.key AND i.verdict NOT IN ('duplicate', 'quarantined')
      JOIN submissions s ON s.tenant_id = :tenant_id AND s.id = i.submission_id
     ORDER BY s.received_at, i.submission_id, i.index
    """
).bindparams(bindparam("keys", type_=JSONB), bindparam("tenant_id", type_=Uuid))


async def histories(tx: Tx, tenant_id: UUID, keys: Sequence[Mapping[str, Any]]) -> Records:
    """The items of these senders' keys at these leads, earliest first."""
    wanted = {"tenant_id": tenant_id, "keys": keys, "separator": KEY_SEPARATOR}
    return (await tx.execute(HISTORY, wanted)).all() if keys else []


async def held_items(tx: Tx, tenant_id: UUID, keys: Collection[Key]) -> dict[Key, Record]:
    """The items that hold these keys, by source and key."""
    rows = await tx.execute(HELD, {"tenant_id": tenant_id, "keys": _wanted(keys)}) if keys else ()
    return {(row.source_id, row.submission_key): row for row in rows}


def _wanted(keys: Collection[Key]) -> list[dict[str, Any]]:
    return [{"source_id": source_id, "submission_key": key} for source_id, key in keys]


async def release_keys(tx: Tx, tenant_id: UUID, held: Sequence[tuple[UUID, int, str]]) -> None:
    """Gives items, by submission, place and key, keys of their own: what they have, the separator, and their place."""
    names = ("submission_id", "index", "submission_key")
    places = [dict(zip(names, one, strict=True)) for one in held]
    if places:
        await tx.execute(RELEASE_KEYS, {"tenant_id": tenant_id, "places": places, "separator": KEY_SEPARATOR})


async def finish(
    tx: Tx,
    tenant_id: UUID,
    now: datetime,
    *,
    duplicates: Sequence[Mapping[str, Any]],
    finished: Sequence[Mapping[str, Any]],
) -> None:
    """Inserts duplicates with the original's lead, and sets the submissions' state."""
    await tx.execute(FINISH, {"tenant_id": tenant_id, "now": now, "duplicates": duplicates, "finished": finished})


async def drop_items(tx: Tx, tenant_id: UUID, submission_ids: Sequence[UUID]) -> Records:
    """Deletes the items of submissions that are processed again, and returns them."""
    items = submission_items
    statement = delete(items).where(items.c.tenant_id == tenant_id, items.c.submission_id.in_(submission_ids))
    return (await tx.execute(statement.returning(*ITEM))).all()


async def lock_submission(tx: Tx, tenant_id: UUID, submission_id: UUID) -> Record | None:
    """A processed submission with its body, locked; None while it is processed, or waits to be."""
    statement = select(submissions).where(
        submissions.c.tenant_id == tenant_id, submissions.c.id == submission_id, submissions.c.state != "received"
    )
    return (await tx.execute(statement.with_for_update())).one_or_none()


async def has_quarantined(tx: Tx, tenant_id: UUID, submission_id: UUID) -> bool:
    """Whether an item of the submission is quarantined."""
    items = submission_items.c
    found = select(items.index).where(
        items.tenant_id == tenant_id, items.submission_id == submission_id, items.verdict == "quarantined"
    )
    return (await tx.execute(found.limit(1))).one_or_none() is not None


async def take_fetched(tx: Tx, tenant_id: UUID, submission_id: UUID, index: int, tries: int) -> bool:
    """Deletes an item whose record was fetched, so that the record takes its place; False where it is another's."""
    values = {"tenant_id": tenant_id, "submission_id": submission_id, "index": index, "tries": tries}
    return (await tx.execute(TAKE_FETCHED, values)).one_or_none() is not None


async def fetch_later(
    tx: Tx, tenant_id: UUID, submission_id: UUID, index: int, tries: int, at: datetime, why: Mapping[str, Any]
) -> None:
    """Sets the time of the next attempt to fetch the record of an item, and why this one failed."""
    values = {"tenant_id": tenant_id, "submission_id": submission_id, "index": index, "tries": tries, "at": at}
    await tx.execute(FETCH_LATER, {**values, "reason": FETCH_FAILED, "unmet": [dict(why)]})


async def count_failed_try(tx: Tx, tenant_id: UUID, submission_id: UUID, now: datetime) -> int:
    """Counts a try that the database aborted and sets the time of the next; returns the number of such tries."""
    values = {"tenant_id": tenant_id, "id": submission_id, "now": now}
    return int((await tx.execute(COUNT_FAILED_TRY, values)).scalar_one())


async def submission(tx: Tx, tenant_id: UUID, submission_id: UUID, *, body: bool = False) -> Record | None:
    """A submission; `body` says whether to load its body."""
    columns = submissions.c if body else WITHOUT_BODY
    statement = select(*columns).where(submissions.c.tenant_id == tenant_id, submissions.c.id == submission_id)
    return (await tx.execute(statement)).one_or_none()


async def list_submissions(tx: Tx, tenant_id: UUID, page: Page, filters: Mapping[str, Any]) -> Records:
    """Submissions without their bodies, newest first; filtered by source, state, and verdict and lead of an item."""
    rows = select(*WITHOUT_BODY).where(submissions.c.tenant_id == tenant_id)
    for name in ("source_id", "state"):
        if filters.get(name) is not None:
            rows = rows.where(submissions.c[name] == filters[name])
    of_item = {name: filters[name] for name in ("lead_id", "verdict") if filters.get(name) is not None}
    if of_item:
        having = (submission_items.c[name] == value for name, value in of_item.items())
        found = select(submission_items.c.submission_id).where(submission_items.c.tenant_id == tenant_id, *having)
        rows = rows.where(submissions.c.id.in_(found))
    await tx.plan_for_values()
    return (await tx.execute(page.statement(rows, submissions))).all()


async def volume(tx: Tx, tenant_id: UUID, source_id: UUID, since: datetime, zone: str, most: int) -> Records:
    """How many items of each verdict came each day, among the newest `most` submissions of a source."""
    values = {"tenant_id": tenant_id, "source_id": source_id, "since": since, "zone": zone, "most": most}
    return (await tx.execute(VOLUME, values)).all()


async def stage_of(tx: Tx, tenant_id: UUID, lead_id: UUID) -> str | None:
    """The stage of a lead."""
    found = select(leads.c.stage).where(leads.c.tenant_id == tenant_id, leads.c.id == lead_id)
    return (await tx.execute(found)).scalar_one_or_none()


async def items_of(tx: Tx, tenant_id: UUID, submission_ids: Sequence[UUID]) -> Records:
    """The items of submissions, by submission and index."""
    items = submission_items
    statement = select(*ITEM).where(items.c.tenant_id == tenant_id, items.c.submission_id.in_(submission_ids))
    return (await tx.execute(statement.order_by(items.c.submission_id, items.c.index))).all()


async def set_bot_check(tx: Tx, tenant_id: UUID, submission_id: UUID, outcome: str) -> None:
    """Stores the outcome of a bot check, so that the submission is processed."""
    await tx.execute(SET_BOT_CHECK, {"tenant_id": tenant_id, "id": submission_id, "outcome": outcome})


async def replay_one(tx: Tx, tenant_id: UUID, submission_id: UUID) -> bool:
    """Marks a submission to be processed again; False when there is none with this id, or its request was removed."""
    return (await tx.execute(REPLAY_ONE, {"tenant_id": tenant_id, "id": submission_id})).one_or_none() is not None


async def review(tx: Tx, tenant_id: UUID, submission_id: UUID, review: Mapping[str, Any]) -> bool:
    """Marks a submission with spam as reviewed, to be processed again; False if it was before, or has no spam."""
    bound = {"tenant_id": tenant_id, "id": submission_id, "review": review}
    return (await tx.execute(REVIEW, bound)).one_or_none() is not None


async def replay(
    tx: Tx, tenant_id: UUID, source_id: UUID, states: Sequence[str], after: datetime | None, before: datetime | None
) -> int:
    """Marks the oldest ten thousand matching submissions of a source to be processed again; returns how many."""
    bound = {"source_id": source_id, "states": list(states), "after": after, "before": before, "most": REPLAYED_AT_ONCE}
    return len((await tx.execute(REPLAY, {"tenant_id": tenant_id, **bound})).all())
