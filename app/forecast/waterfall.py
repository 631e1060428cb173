"""What has changed in the forecast, as a waterfall: each part begins where the one before it ended. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from app.forecast.changes import OPEN_CATEGORIES
from app.forecast.money import Amounts, added, show_amounts

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: from what amount to what other, and the number of opportunities of a part."""

    name: str
    start: Decimal
    end: Decimal
    opportunities: int | None = None


def metrics(document: Document) -> list[dict[str, Any]]:
    """The bars of one currency after the other, as chart.py draws them. What is omitted does not count."""
    before, after = (_counted(document[name]) for name in ("before", "after"))
    parts = [(one["name"], one["opportunities"], _by_currency(one["amounts"])) for one in document["parts"]]
    ends = (f"open as {document['since']} began", "open at the end")
    shown: list[dict[str, Any]] = []
    for currency in sorted({*before, *after, *(code for _, _, amounts in parts for code in amounts)}):
        bars = [Bar(ends[0], Decimal(), before.get(currency, Decimal()))]
        for name, opportunities, amounts in parts:
            if currency in amounts:
                level = bars[-1].end
                bars.append(Bar(name, level, level + amounts[currency], opportunities))
        bars.append(Bar(ends[1], Decimal(), after.get(currency, Decimal())))
        shown += _drawn(bars, currency)
    return shown


def _drawn(bars: Sequence[Bar], currency: str) -> Iterator[dict[str, Any]]:
    """Each bar with where it begins and how long it is, as shares of the whole width."""
    levels = [Decimal(), *(level for bar in bars for level in (bar.start, bar.end))]
    lowest, width = min(levels), (max(levels) - min(levels)) or 1
    for bar in bars:
        count = "" if bar.opportunities is None else f" ({bar.opportunities})"
        [change] = show_amounts({currency: bar.end - bar.start})
        yield {
            "name": bar.name,
            "start": float((min(bar.start, bar.end) - lowest) / width),
            "value": float(abs(bar.end - bar.start) / width),
            "shown": f"{change['value']} {currency}{count}",
            "band": None,
            "in_band": bar.end >= bar.start,
        }


def _counted(by_category: Mapping[str, Sequence[Mapping[str, str]]]) -> Amounts:
    return added(_by_currency(by_category[category]) for category in OPEN_CATEGORIES if category != "omitted")


def _by_currency(amounts: Sequence[Mapping[str, str]]) -> Amounts:
    return {one["currency"]: Decimal(one["value"]) for one in amounts}
