"""Amounts by currency, which are added without rounding, and converted by the rates of a tenant. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Any, Final

from app.web.money import DECIMALS, money

Amounts = Mapping[str, Decimal]
EXACT: Final = Context(prec=100)  # an amount times a rate, both as long as they may be, needs 36 digits


def added(parts: Iterable[Amounts]) -> dict[str, Decimal]:
    """The sum by currency; a currency whose sum is 0 stays, so that what belongs together is shown together."""
    total: dict[str, Decimal] = {}
    for part in parts:
        for currency, amount in part.items():
            total[currency] = total.get(currency, Decimal()) + amount
    return total


def times(amounts: Amounts, factor: Decimal) -> dict[str, Decimal]:
    return {currency: amount * factor for currency, amount in amounts.items()}


def show_amounts(amounts: Amounts) -> list[dict[str, str]]:
    """One amount for each currency, in the order of their codes."""
    return [shown for currency in sorted(amounts) if (shown := money(amounts[currency], currency)) is not None]


@dataclass(frozen=True, slots=True)
class Rates:
    """Rates of exchange: one of a `per_unit` currency is worth so many of `currency`."""

    currency: str
    per_unit: Mapping[str, Decimal] = field(default_factory=dict)

    def converted(self, amounts: Amounts) -> dict[str, str]:
        """The sum in `currency`, half to even; amounts without a rate are left out (`without_rate`)."""
        known = {self.currency: Decimal(1), **self.per_unit}
        smallest = Decimal(1).scaleb(-DECIMALS[self.currency])
        with localcontext(EXACT):
            total = sum((amount * known[code] for code, amount in amounts.items() if code in known), Decimal())
            return {"value": f"{total.quantize(smallest, ROUND_HALF_EVEN):f}", "currency": self.currency}

    def without_rate(self, amounts: Amounts) -> list[str]:
        return sorted(set(amounts) - set(self.per_unit) - {self.currency})


def show_sums(amounts: Amounts, rates: Rates | None) -> dict[str, Any]:
    """Amounts as reports show them: by currency, and in one where there are rates, which names those without a rate."""
    return {
        "amounts": show_amounts(amounts),
        "converted": rates.converted(amounts) if rates else None,
        "without_rate": rates.without_rate(amounts) if rates else [],
    }
