"""Statements that search leads by the beginnings of words (docs/decisions/0033)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Label,
    Select,
    Subquery,
    Text,
    Uuid,
    and_,
    bindparam,
    case,
    func,
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
MOST_TERMS, MOST_TEXTS = 4, 4  # that are counted of a search, and of one reading of a term
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


@dataclass(frozen=True, slots=True)
class Sought:
    """A term of a search: the beginnings of words that every lead with the term has one of, and how many words of
    leads begin so."""

    starts: tuple[str, ...]
    found: int


async def sought(tx: Tx, tenant_id: UUID, wanted: Sequence[Term], most: int) -> list[Sought]:
    """The terms of a search, the rarest first; more than `most` words of a beginning are not counted.

    The four longest are counted: a longer one is rarely the more common one. Of each reading the rarest text counts.
    """
    longest = sorted(wanted, key=lambda term: -max(len(text) for one in term.readings for text in one))[:MOST_TERMS]
    texts = {text[:STORED_LENGTH] for term in longest for reading in term.readings for text in reading[:MOST_TEXTS]}
    values = {"tenant_id": tenant_id, "starts": sorted(texts), "last": LAST, "most": most + 1}
    found = {row.start: row.found for row in await tx.execute(COUNT, values)}
    terms: list[Sought] = []
    for term in longest:
        readings = ([text[:STORED_LENGTH] for text in one[:MOST_TEXTS]] for one in term.readings)
        starts = sorted({min(texts, key=found.__getitem__) for texts in readings})
        terms.append(Sought(tuple(starts), sum(found[start] for start in starts)))
    return sorted(terms, key=lambda term: term.found)


async def candidates(tx: Tx, tenant_id: UUID, rare: Sequence[Sought], most: int | None) -> list[UUID]:
    """Ids of the leads that have a word for each of these terms; more than `most` are not counted on.

    The rarer ones are subqueries that PostgreSQL does not turn into joins (IS TRUE): a join would be planned by how
    many words it thinks begin so, which it often takes for one. Each is read once, and looked up by its hash.
    """
    *others, common = rare
    words = _words(tenant_id, common).subquery()
    each = [words.c.lead_id.in_(_words(tenant_id, other)).is_(true()) for other in others]
    found = select(words.c.lead_id.label("id")).where(*each).distinct()
    return list((await tx.execute(found if most is None else found.limit(most + 1))).scalars())


def _words(tenant_id: UUID, term: Sought) -> CompoundSelect[Any]:
    word = lead_words.c.word
    starts = (select(lead_words.c.lead_id).where(word >= start, word < start + LAST) for start in term.starts)
    return union_all(*(rows.where(lead_words.c.tenant_id == tenant_id) for rows in starts))


async def search(
    tx: Tx, tenant_id: UUID, page: Page, filters: Mapping[str, Any], wanted: Sequence[Term], ids: Sequence[UUID] | None
) -> Records:
    """A page in the order of a column, of these leads. Without them the list is read in that order until it is full."""
    rows = listed(tenant_id, filters).where(matches(wanted))
    if ids is None:
        return (await tx.execute(page.statement(rows, leads))).all()
    found = _given(ids)
    each = _each(rows, found)
    return (await tx.execute(page.statement(select(each).select_from(found.join(each, true())), each))).all()


async def search_ranked(
    tx: Tx,
    tenant_id: UUID,
    limit: int,
    after: tuple[int, UUID] | None,
    filters: Mapping[str, Any],
    wanted: Sequence[Term],
    ids: Sequence[UUID] | None,
) -> Records:
    """Ids and ranks, the best first, then the newest: the ids of leads are in the order in which they were created.

    Without `ids`, the leads that have a word for the one term, which is plain, and with no other filter.
    """
    if ids is None:
        rows: Select[Any] = _of_one_term(tenant_id, wanted[0])
    else:
        found = _given(ids)
        each = _each(listed(tenant_id, filters).where(matches(wanted)).add_columns(rank_of(wanted)), found)
        rows = select(each.c.id, each.c.rank).select_from(found.join(each, true()))
    ranked = rows.subquery()
    page = select(ranked.c.id, ranked.c.rank)
    if after is not None:
        rank, last_id = after
        page = page.where(or_(ranked.c.rank > rank, and_(ranked.c.rank == rank, ranked.c.id < last_id)))
    return (await tx.execute(page.order_by(ranked.c.rank, ranked.c.id.desc()).limit(limit))).all()


def _of_one_term(tenant_id: UUID, term: Term) -> Select[Any]:
    """Leads with a word for the term, and the best rank of such a word."""
    word, (start,) = lead_words.c.word, term.readings[0]
    exact = (lead_words.c.rank == ADDRESS) & word.contains("@") & (word == start)
    best = func.min(case((exact, EXACT), else_=lead_words.c.rank)).label("rank")
    rows = select(lead_words.c.lead_id.label("id"), best).group_by(lead_words.c.lead_id)
    return rows.where(lead_words.c.tenant_id == tenant_id, word >= start, word < start + LAST)


def _given(ids: Sequence[UUID]) -> Subquery:
    return select(func.unnest(bindparam(None, list(ids), ARRAY(Uuid))).label("id")).subquery()


def _each(rows: Select[Any], found: Subquery) -> FromClause:
    """Each lead that was found, if it is one of the rows. LIMIT makes the planner look each up by its id."""
    return rows.where(leads.c.id == found.c.id).correlate(found).limit(1).lateral()


def narrowed(filters: Mapping[str, Any]) -> bool:
    """Whether a list has other filters than `q`."""
    return any(value for name, value in filters.items() if name != "q")


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
