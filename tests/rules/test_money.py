"""Amounts of money: the form, the decimals of each currency, and what answers show."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from app.web.money import DECIMALS, NOT_MONEY, Money, money

CURRENCIES = st.sampled_from(sorted(DECIMALS))


def refusal(value: object, currency: object) -> tuple[str, str]:
    """The field and the sentence of the one fault."""
    with pytest.raises(ValidationError) as refused:
        Money.model_validate({"value": value, "currency": currency})
    [fault] = refused.value.errors()
    return str(fault["loc"][0]), fault["msg"]


@pytest.mark.parametrize(
    ("written", "currency", "shown"),
    [
        ("12000.00", "EUR", "12000.00"),
        ("12000.5", "EUR", "12000.50"),
        ("0", "EUR", "0.00"),
        ("-0.00", "EUR", "0.00"),
        ("-3.10", "USD", "-3.10"),
        ("100", "JPY", "100"),
        ("1.234", "KWD", "1.234"),
        ("1.2", "KWD", "1.200"),
        ("1.2345", "CLF", "1.2345"),
        ("9999999999999999", "ISK", "9999999999999999"),
    ],
)
def test_an_amount_has_all_decimals_of_its_currency(written: str, currency: str, shown: str) -> None:
    read = Money.model_validate({"value": written, "currency": currency})
    assert (read.value, read.amount) == (shown, Decimal(written))
    assert money(read.amount, currency) == {"value": shown, "currency": currency}


@pytest.mark.parametrize(
    ("value", "currency", "sentence"),
    [
        ("100.50", "JPY", "JPY has no decimals: write an amount like 12000"),
        ("100.0", "KRW", "KRW has no decimals: write an amount like 12000"),
        ("1.234", "EUR", "EUR has 2 decimals: write an amount like 12000.00"),
        ("1.2345", "KWD", "KWD has 3 decimals: write an amount like 12000.000"),
        ("1.23456", "UYW", "UYW has 4 decimals: write an amount like 12000.0000"),
    ],
)
def test_more_decimals_than_the_currency_has_are_refused(value: str, currency: str, sentence: str) -> None:
    assert refusal(value, currency) == ("value", sentence)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "12,000.00",
            "12.000,00",
            "12 000",
            "1e3",
            "+5",
            ".5",
            "5.",
            "",
            " 5",
            "5\n",
            "٣",
            "1_0",
            "0x1",
            "NaN",
            "012",
        ),
        *("12345678901234567", 12000, 12.5, None, True, ["1"]),
    ],
)
def test_an_amount_of_another_form_is_refused_with_an_example(value: object) -> None:
    for currency, example in (("EUR", "12000.00"), ("JPY", "12000"), ("KWD", "12000.000")):
        field, sentence = refusal(value, currency)
        assert field == "value"
        assert sentence.startswith("write an amount as text")
        assert sentence.endswith(f"like {example}")


@pytest.mark.parametrize("currency", [*sorted(NOT_MONEY), "eur", "EURO", "ABC", "", "€"])
def test_a_code_that_is_no_currency_is_refused(currency: str) -> None:
    assert refusal("1", currency) == ("currency", "write the ISO 4217 code of a currency, like EUR")


def test_the_decimals_are_those_of_iso_4217() -> None:
    expected = {"EUR": 2, "JPY": 0, "KWD": 3, "OMR": 3, "CLF": 4, "HUF": 2, "ISK": 0, "XAF": 0, "IQD": 3, "BOV": 2}
    assert {code: DECIMALS[code] for code in expected} == expected
    assert not NOT_MONEY & set(DECIMALS)
    assert len(DECIMALS) == 165


@given(CURRENCIES, st.integers(-(10**16) + 1, 10**16 - 1), st.integers(0, 4))
def test_any_amount_is_answered_as_it_was_written_or_refused_for_its_decimals(
    currency: str, digits: int, places: int
) -> None:
    written = f"{Decimal(digits).scaleb(-places):f}"
    if places > DECIMALS[currency]:
        assert refusal(written, currency)[1].startswith(f"{currency} has ")
        return
    read = Money.model_validate({"value": written, "currency": currency})
    shown = money(read.amount, currency)
    assert shown is not None
    assert Decimal(shown["value"]) == Decimal(written)
    assert len(shown["value"].partition(".")[2]) == DECIMALS[currency]


def test_an_amount_stored_with_more_decimals_than_its_currency_has_is_shown_unchanged() -> None:
    assert money(Decimal("100.50"), "JPY") == {"value": "100.5", "currency": "JPY"}
    assert money(Decimal("100.00"), "JPY") == {"value": "100", "currency": "JPY"}
    assert money(None, "EUR") is None
