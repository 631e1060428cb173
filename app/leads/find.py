"""Find leads: a page of the list, by filters, and by the words of a search (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Records, Tx
from app.leads import search_sql, sql
from app.matching.search import Term, terms
from app.web.pages import Page, malformed_cursor, read_cursor, write_cursor

RANK: Final = "rank"
# A search reads at most so many words of leads: a term that more begin with is left to the look-up of each lead. Of so
# many leads that have the words each is looked up, and they are ranked. Of more, the list is read in its order: a page
# is soon full. One word alone is ranked by its own entries, without a look-up.
MOST_READ: Final = 60_000
MOST_RANKED: Final = 20_000
MOST_LOOKED_UP: Final = 3_000

Found = tuple[list[UUID], str | None]


async def find_leads(
    tx: Tx, tenant_id: UUID, limit: int, cursor: str | None, sort: str | None, filters: Mapping[str, Any]
) -> Found:
    """The ids of one page of leads, and the cursor of the next page."""
    page = Page(limit, cursor, sort or "created_at", filters)
    if not filters.get("q"):
        return _ids(page, await sql.list_leads(tx, tenant_id, page, filters))
    wanted = terms(filters["q"])
    if not wanted:
        return [], None
    await tx.plan_for_values()
    may_rank, goes_on = sort is None and (cursor is None or _is_ranked(page)), cursor is not None
    sought = await search_sql.sought(tx, tenant_id, wanted, MOST_READ)
    is_alone = len(wanted) == 1 and wanted[0].is_plain and not search_sql.narrowed(filters)
    if may_rank and is_alone and (goes_on or sought[0].found <= MOST_RANKED):
        return await _ranked(tx, tenant_id, page, wanted, None)
    ids = await _candidates(tx, tenant_id, sought, all_of_them=may_rank and goes_on)
    if may_rank and ids is not None:
        return await _ranked(tx, tenant_id, page, wanted, ids)
    return _ids(page, await search_sql.search(tx, tenant_id, page, filters, wanted, ids))


async def _candidates(
    tx: Tx, tenant_id: UUID, sought: Sequence[search_sql.Sought], *, all_of_them: bool
) -> list[UUID] | None:
    """Ids of the leads that have the rarest words of a search; None where they are too many to look each up.

    `all_of_them`: for the next page of a ranked list, even if they have become many since.
    """
    read = [term for term in sought if term.found <= MOST_READ] or list(sought[:1] if all_of_them else ())
    few = 4 * MOST_LOOKED_UP  # words; a lead has rarely more than four with one beginning
    chosen = read[:2] if read and read[0].found > MOST_LOOKED_UP else read[:1]
    if not chosen or (len(chosen) == 1 and chosen[0].found > few and not all_of_them):
        return None
    ids = await search_sql.candidates(tx, tenant_id, chosen, None if all_of_them else MOST_LOOKED_UP)
    return ids if all_of_them or len(ids) <= MOST_LOOKED_UP else None


def _ids(page: Page, rows: Records) -> Found:
    return [row.id for row in rows[: page.limit]], page.next_cursor(rows)


def _is_ranked(page: Page) -> bool:
    """Whether the page before was ordered by rank: the pages after it are, too, even if more leads match by now."""
    assert page.cursor is not None
    return read_cursor(page.cursor, page.filters, 3)[0] == RANK


async def _ranked(tx: Tx, tenant_id: UUID, page: Page, wanted: list[Term], ids: list[UUID] | None) -> Found:
    after = _read(page) if page.cursor else None
    rows = await search_sql.search_ranked(tx, tenant_id, page.limit + 1, after, page.filters or {}, wanted, ids)
    shown = [row.id for row in rows[: page.limit]]
    if len(rows) <= page.limit:
        return shown, None
    return shown, write_cursor(page.filters, RANK, rows[page.limit - 1].rank, str(shown[-1]))


def _read(page: Page) -> tuple[int, UUID]:
    assert page.cursor is not None
    _, rank, last_id = read_cursor(page.cursor, page.filters, 3)
    if type(rank) is not int or rank not in range(4):
        raise malformed_cursor()
    try:
        return rank, UUID(last_id)
    except (ValueError, TypeError, AttributeError):
        raise malformed_cursor() from None
