"""Explains the difference between what was open for a period then and now, in parts that add up exactly. Pure.

Each opportunity goes from what it was to what it is in steps: another owner, another date, another amount, another
category. A step counts for the part of its name; the sum of all steps is the whole difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Final, Literal
from uuid import UUID

from app.forecast.money import Amounts

Part = Literal[
    "new",
    "won",
    "lost",
    "slipped_out",
    "pulled_in",
    "amount_up",
    "amount_down",
    "category_up",
    "category_down",
    "owner_in",
    "owner_out",
]
PARTS: Final[tuple[Part, ...]] = Part.__args__  # type: ignore[attr-defined]
OPEN_CATEGORIES: Final = ("commit", "upside", "pipeline", "omitted")
RANK: Final = {category: rank for rank, category in enumerate(reversed(OPEN_CATEGORIES))}
Sums = Mapping[str, Amounts]  # by category, then by currency


@dataclass(frozen=True, slots=True)
class OpenDeal:
    """An open opportunity as it was at an instant."""

    owner_id: UUID | None
    close_date: date | None
    category: str
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Scope:
    """What counts at an instant: close dates, and owners (of one person and all below)."""

    has_date: Callable[[date | None], bool]
    has_owner: Callable[[UUID | None], bool]

    def sums(self, deal: OpenDeal | None) -> Sums:
        """What an opportunity adds by category and currency; nothing where it does not count."""
        if deal is None or not self.has_date(deal.close_date) or not self.has_owner(deal.owner_id):
            return {}
        return {deal.category: deal.amounts}


@dataclass(frozen=True, slots=True)
class Step:
    """What one part says of one opportunity."""

    part: Part
    opportunity_id: UUID
    change: dict[str, dict[str, Decimal]] = field(default_factory=dict)


def steps(
    opportunity_id: UUID, then: OpenDeal | None, now: OpenDeal | None, scopes: tuple[Scope, Scope], outcome: str | None
) -> Iterator[Step]:
    """The steps of one opportunity. `outcome` is the class of one that is not open now; an archived one counts as lost.

    One that was not open then, because it did not exist, was closed or archived, is new.
    """
    before, after = scopes
    if then is None or now is None:
        part: Part = "new" if then is None else "won" if outcome == "won" else "lost"
        yield from _step(part, opportunity_id, before.sums(then), after.sums(now))
        return
    moved = replace(then, owner_id=now.owner_id)
    gone = bool(before.sums(then))
    yield from _step("owner_out" if gone else "owner_in", opportunity_id, before.sums(then), after.sums(moved))
    dated = replace(moved, close_date=now.close_date)
    gone = bool(after.sums(moved))
    yield from _step("slipped_out" if gone else "pulled_in", opportunity_id, after.sums(moved), after.sums(dated))
    if then.amounts.keys() != now.amounts.keys():  # another currency: all of the old one goes, all of the new one comes
        empty = replace(dated, amounts={})
        yield from _step("amount_down", opportunity_id, after.sums(dated), after.sums(empty))
        dated = empty
    paid = replace(dated, amounts=now.amounts)
    is_more = sum(now.amounts.values()) > sum(dated.amounts.values())
    yield from _step("amount_up" if is_more else "amount_down", opportunity_id, after.sums(dated), after.sums(paid))
    is_better = RANK[now.category] > RANK[then.category]
    yield from _step("category_up" if is_better else "category_down", opportunity_id, after.sums(paid), after.sums(now))


def _step(part: Part, opportunity_id: UUID, before: Sums, after: Sums) -> Iterator[Step]:
    """The step, if it changes what counts: an amount, or that an opportunity without an amount counts at all."""
    if before == after:
        return
    change = {
        category: difference(before.get(category, {}), after.get(category, {}))
        for category in OPEN_CATEGORIES
        if category in before or category in after
    }
    yield Step(part, opportunity_id, change)


def difference(before: Amounts, after: Amounts) -> dict[str, Decimal]:
    currencies = {*before, *after}
    return {code: after.get(code, Decimal()) - before.get(code, Decimal()) for code in currencies}
