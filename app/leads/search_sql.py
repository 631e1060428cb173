"""Statements that search leads by the beginnings of words (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    FromClause,
    Integer,
    Label,
    Select,
    Subquery,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
    text,
    true,
    union_all,
)

from app.database.tables import lead_words, leads
from app.database.transaction import Records, Tx
from app.leads.sql import listed
from app.matching.search import STORED_LENGTH, Term
from app.web.pages import Page

EXACT, COMPANY, NAME, ADDRESS = range(4)  # ranks: the search is the address, or where its word was found
LAST: Final = "\U0010ffff"  # sorts after every character

COUNT: Final = text(
    """
    SELECT p.start, c.found
      FROM unnest(:starts) AS p(start)
     CROSS JOIN LATERAL (
           SELECT count(*) AS found FROM (
               SELECT 1 FROM lead_words w WHERE w.tenant_id = :tenant_id AND w.word >= p.start COLLATE "C"
                   AND w.word < (p.start || :last) COLLATE "C" LIMIT :most) w
     ) c
    """
).bindparams(bindparam("starts", type_=ARRAY(Text)), bindparam("tenant_id", type_=Uuid), bindparam("last", type_=Text))


async def rare_terms(tx: Tx, tenant_id: UUID, wanted: Sequence[Term], most: int) -> list[Term]:
    """The terms that at most `most` words of leads begin with, the rarest first.

    The four longest are counted: a longer one is rarely the more common one.
    """
    longest = sorted(wanted, key=lambda term: -min(map(len, term.starts)))[:4]
    starts = sorted({start[:STORED_LENGTH] for term in longest for start in term.starts})
    values = {"tenant_id": tenant_id, "starts": starts, "last": LAST, "most": most + 1}
    found = {row.start: row.found for row in await tx.execute(COUNT, values)}
    counts = {term: sum(found[start[:STORED_LENGTH]] for start in term.starts) for term in longest}
    return sorted((term for term in longest if counts[term] <= most), key=counts.__getitem__)


async def search(
    tx: Tx, tenant_id: UUID, page: Page, filters: Mapping[str, Any], wanted: Sequence[Term], rare: Sequence[Term]
) -> Records:
    """A page in the order of a column. Without rare terms the list is read in that order until the page is full."""
    rows = listed(tenant_id, filters).where(matches(wanted))
    if not rare:
        return (await tx.execute(page.statement(rows, leads))).all()
    found = with_words(tenant_id, rare)
    each = _each(rows, found)
    return (await tx.execute(page.statement(select(each).select_from(found.join(each, true())), each))).all()


async def search_ranked(
    tx: Tx,
    tenant_id: UUID,
    limit: int,
    after: tuple[int, UUID] | None,
    filters: Mapping[str, Any],
    wanted: Sequence[Term],
    rare: Sequence[Term],
) -> Records:
    """Ids and ranks, the best first, then the newest: the ids of leads are in the order in which they were created."""
    found = with_words(tenant_id, rare or wanted[:1])
    if len(wanted) == 1 and wanted[0].is_plain and not narrowed(filters):
        rows: Select[Any] = select(found.c.id, found.c.rank)
    else:
        each = _each(listed(tenant_id, filters).where(matches(wanted)).add_columns(rank_of(wanted)), found)
        rows = select(each.c.id, each.c.rank).select_from(found.join(each, true()))
    ranked = rows.subquery()
    page = select(ranked.c.id, ranked.c.rank)
    if after is not None:
        rank, last_id = after
        page = page.where(or_(ranked.c.rank > rank, and_(ranked.c.rank == rank, ranked.c.id < last_id)))
    return (await tx.execute(page.order_by(ranked.c.rank, ranked.c.id.desc()).limit(limit))).all()


def _each(rows: Select[Any], found: Subquery) -> FromClause:
    """Each lead that was found, if it is one of the rows. LIMIT makes the planner look each up by its id."""
    return rows.where(leads.c.id == found.c.id).correlate(found).limit(1).lateral()


def narrowed(filters: Mapping[str, Any]) -> bool:
    """Whether a list has other filters than `q`."""
    return any(value for name, value in filters.items() if name != "q")


def with_words(tenant_id: UUID, rare: Sequence[Term]) -> Subquery:
    """Leads that have a word for each of these terms, and the rank of that of the first term.

    The words are grouped by lead: a join of one term with another would be planned by how many words PostgreSQL thinks
    begin so, which it often takes for one.
    """
    word, rank = lead_words.c.word, lead_words.c.rank
    exact = (rank == ADDRESS) & word.contains("@") & word.in_(rare[0].starts)
    ranked = case((exact, EXACT), else_=rank).label("rank")
    entries = union_all(
        *(
            select(lead_words.c.lead_id, ranked, literal(1 << number, Integer).label("term")).where(
                lead_words.c.tenant_id == tenant_id, word >= start, word < start + LAST
            )
            for number, term in enumerate(rare)
            for start in (start[:STORED_LENGTH] for start in term.starts)
        )
    ).subquery()
    best = func.min(case((entries.c.term == 1, entries.c.rank))).label("rank")
    found = select(entries.c.lead_id.label("id"), best).group_by(entries.c.lead_id)
    all_terms = func.bit_or(entries.c.term) == (1 << len(rare)) - 1
    return (found.having(all_terms) if len(rare) > 1 else found).subquery()


def matches(wanted: Sequence[Term]) -> ColumnElement[bool]:
    """Leads in which each text of a reading of each term is the beginning of a word."""
    words = leads.c.words
    return and_(*(or_(*(and_(*(_begins(words, text) for text in one)) for one in term.readings)) for term in wanted))


def rank_of(wanted: Sequence[Term]) -> Label[int]:
    """0 where a word is the lead's e-mail address, 1 where one begins a word of the company, 2 of the name, or 3."""
    texts = {text for term in wanted for reading in term.readings for text in reading}
    lines = {number: func.split_part(leads.c.words, "\n", number) for number in (COMPANY, NAME, ADDRESS)}
    exact = func.split_part(lines[ADDRESS], " ", 2).in_([text for text in texts if "@" in text])
    company, name = (or_(*(_begins(lines[number], text) for text in texts)) for number in (COMPANY, NAME))
    return case((exact, EXACT), (company, COMPANY), (name, NAME), else_=ADDRESS).label("rank")


def _begins(words: ColumnElement[Any], start: str) -> ColumnElement[bool]:
    return func.strpos(words, " " + start) > 0
