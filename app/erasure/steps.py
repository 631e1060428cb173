"""The steps after an erasure: copies of the person that are found only by reading what is stored, or written late.

Each run does one page for all erasures that wait for it, in one transaction that also keeps how far they are. So a
crash repeats at most a page, and to erase twice is to erase once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.database.transaction import Database, Record, Tx
from app.erasure import across, sql, steps_sql
from app.erasure.sought import Sought
from app.keyring import KeyRing
from app.submissions.erased import erase_bodies, own_key
from app.web.idempotency import opened_body

TOGETHER: Final = 1000
PAGE: Final = 100
FIRST: Final = ("", UUID(int=0))


@dataclass(frozen=True, slots=True)
class Page:
    """What one run of a step is for: the erased leads, what it looks for, and the row after which it goes on."""

    tenant_id: UUID
    lead_ids: Sequence[UUID]
    sought: Sought
    after: str | None


async def run_steps(engine: Database, now: datetime) -> int:
    """Does the next page of a step; how many erasures it was for. Raises CannotOpen where the secret key is missing."""
    async with engine.begin() as tx:
        waiting = await across.claim(tx, TOGETHER, now)
        if not waiting:
            return 0
        assert tx.keyring is not None, "the application has a key ring"
        tenant_id, step, after = waiting[0].tenant_id, waiting[0].step, waiting[0].after
        lead_ids = [row.lead_id for row in waiting]
        stored = [tx.keyring.open(tenant_id, tenant_id, f"erasure|{row.lead_id}", row.sought) for row in waiting]
        people = [one for row in waiting for one in row.lead_ids]
        following = await STEPS[step](tx, Page(tenant_id, people, Sought.of(stored), after))
        if following is not None:
            await steps_sql.advance(tx, tenant_id, lead_ids, step, following)
        elif step + 1 < len(STEPS):
            await steps_sql.advance(tx, tenant_id, lead_ids, step + 1, None)
        else:
            await steps_sql.finish(tx, tenant_id, lead_ids, now)
        return len(waiting)


async def _submissions(tx: Tx, page: Page) -> str | None:
    """Quarantined submissions, spam, and all others that made no lead, where they name the person."""
    verdict, _, last = (page.after or "").partition("|")
    found = await steps_sql.next_places(tx, page.tenant_id, (verdict, UUID(last)) if page.after else FIRST, PAGE)
    parts = await steps_sql.parts(tx, page.tenant_id, sorted({row.submission_id for row in found}))
    named = [(row, places) for row in parts if (places := _places(row, page.sought))]
    await erase_bodies(tx, page.tenant_id, named)
    items = [
        {"submission_id": row.id, "index": place, "submission_key": own_key(row.id, place)}
        for row, places in named
        for place in places
    ]
    await sql.write(tx, page.tenant_id, sql.ERASE_ITEMS, items)
    return f"{found[-1].verdict}|{found[-1].submission_id}" if len(found) == PAGE else None


def _places(row: Record, sought: Sought) -> list[int]:
    """The places of the items that name the person; of a body that is no list all, if it says so as a whole."""
    items: Sequence[dict[str, Any]] = row.unled or ()
    own = [one["place"] for one in items if sought.is_named_by(one["mapped"])]
    if row.listed is not None:
        rows = orjson.loads(row.body)
        return [one["place"] for one in items if one["place"] in own or sought.stands_in(_text(rows[one["place"]]))]
    request = f"{bytes(row.body).decode(errors='replace')}\n{row.query}\n{_text(row.headers)}"
    return [one["place"] for one in items] if own or sought.stands_in(request) else []


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()


async def _answers(tx: Tx, page: Page) -> str | None:
    """Stored answers that are about no lead: to a request about a contact or an opportunity, or to a dry run."""
    assert tx.keyring is not None, "the application has a key ring"
    found = await steps_sql.next_answers(tx, page.tenant_id, page.after or "", PAGE)
    keys = [row.key for row in found if _says(tx.keyring, page, row)]
    await steps_sql.forget_answers(tx, page.tenant_id, keys)
    return found[-1].key if len(found) == PAGE else None


def _says(ring: KeyRing, page: Page, row: Record) -> bool:
    return page.sought.stands_in(f"{row.key}\n{opened_body(ring, page.tenant_id, row.key, row.body)}")


async def _attempts(tx: Tx, page: Page) -> str | None:
    """What receivers answered to deliveries that were under way when the person was erased."""
    await sql.erase_attempts(tx, page.tenant_id, page.lead_ids)
    return None


STEPS: Final = (_submissions, _answers, _attempts)
