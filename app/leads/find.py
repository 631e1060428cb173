"""Find leads: a page of the list, by filters, and by the words of a search (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Records, Tx
from app.leads import search_sql, sql
from app.matching.search import Term, terms
from app.web.pages import Page, malformed_cursor, read_cursor, write_cursor

RANK: Final = "rank"
# A search finds leads by a word of at most so many leads, and ranks them. Where every word is more common than that, so
# are the leads that match: the list is read in its order, and soon fills a page. Other filters cost a look-up for each.
MOST_FOUND: Final = 40_000
MOST_FILTERED: Final = 5_000

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
    most = MOST_FILTERED if search_sql.narrowed(filters) else MOST_FOUND
    rare = await search_sql.rare_terms(tx, tenant_id, wanted, most)
    if sort is None and (_is_ranked(page) if cursor else rare):
        return await _ranked(tx, tenant_id, page, wanted, rare)
    return _ids(page, await search_sql.search(tx, tenant_id, page, filters, wanted, rare))


def _ids(page: Page, rows: Records) -> Found:
    return [row.id for row in rows[: page.limit]], page.next_cursor(rows)


def _is_ranked(page: Page) -> bool:
    """Whether the page before was ordered by rank: the pages after it are, too, even if more leads match by now."""
    assert page.cursor is not None
    return read_cursor(page.cursor, page.filters, 3)[0] == RANK


async def _ranked(tx: Tx, tenant_id: UUID, page: Page, wanted: list[Term], rare: list[Term]) -> Found:
    after = _read(page) if page.cursor else None
    rows = await search_sql.search_ranked(tx, tenant_id, page.limit + 1, after, page.filters or {}, wanted, rare)
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
