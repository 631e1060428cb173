"""Amounts of money: a decimal as text, with as many decimals as ISO 4217 gives its currency."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final

import pycountry
from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from app.web.fields import RequestBody, refuse

# ISO 4217, list one, as of 2026-01-01 (SIX, the maintenance agency): the currencies whose minor unit is not 2 decimals,
# and the codes that have none: metals, units of account, codes for tests and for no currency.
OTHER_DECIMALS: Final[dict[int, str]] = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
NOT_MONEY: Final = frozenset(
    ["XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"]
)
DECIMALS: Final[dict[str, int]] = {
    **{currency.alpha_3: 2 for currency in pycountry.currencies if currency.alpha_3 not in NOT_MONEY},
    **{code: decimals for decimals, codes in OTHER_DECIMALS.items() for code in codes.split()},
}
AMOUNT: Final = re.compile(r"-?(0|[1-9][0-9]{0,15})(\.(?P<decimals>[0-9]+))?", re.ASCII)


class Money(RequestBody):
    """An amount: digits with a point before the decimals, and an ISO 4217 currency, which says how many decimals."""

    currency: str = Field(examples=["EUR"], json_schema_extra={"pattern": "^[A-Z]{3}$"})
    value: str = Field(examples=["12000.00"], json_schema_extra={"pattern": r"^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,4})?$"})

    @field_validator("currency")
    @classmethod
    def _currency(cls, code: str) -> str:
        if code not in DECIMALS:
            raise PydanticCustomError("currency_unknown", "write the ISO 4217 code of a currency, like EUR")
        return code

    @field_validator("value", mode="before")
    @classmethod
    def _amount(cls, value: object, info: ValidationInfo) -> str:
        """The amount with all decimals of its currency; of an unknown one, only the form is checked."""
        currency = info.data.get("currency")
        decimals = DECIMALS.get(currency or "", 2)
        example = f"{12000:.{decimals}f}"
        found = AMOUNT.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            sentence = (
                "write an amount as text, of at most 16 digits with a point before the decimals and nothing between"
                " thousands, like {example}"
            )
            kind = "string_pattern_mismatch" if isinstance(value, str) else "string_type"
            raise PydanticCustomError(kind, sentence, {"example": example})
        if currency is not None and len(found["decimals"] or "") > decimals:
            named = {"currency": currency, "decimals": decimals or "no", "example": example}
            raise PydanticCustomError(
                "amount_decimals", "{currency} has {decimals} decimals: write an amount like {example}", named
            )
        return f"{Decimal(found[0]) + 0:.{decimals}f}"

    @property
    def amount(self) -> Decimal:
        return Decimal(self.value)


def _not_negative(value: Money) -> Money:
    if value.amount < 0:
        refuse(value, "value", "amount_negative", "an amount must not be negative")
    return value


Amount = Annotated[Money, AfterValidator(_not_negative)]


def money(amount: Decimal | None, currency: str | None) -> dict[str, str] | None:
    """An amount as responses write it, with the decimals of its currency; None where there is none.

    An amount that was stored with more decimals, before they were checked, keeps them.
    """
    if amount is None or currency is None:
        return None
    exponent = amount.normalize().as_tuple().exponent
    stored = -exponent if isinstance(exponent, int) else 0
    return {"value": f"{amount:.{max(DECIMALS.get(currency, 2), stored)}f}", "currency": currency}
