"""The largest amounts and rates, and the deepest hierarchy, that may be stored are added up like any others."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from app.forecast.money import Rates
from app.forecast.roll_up import ManagerOf, people, quotas_of

CHAIN = [UUID(int=number) for number in range(1, 3_001)]
MANAGER_OF: ManagerOf = {one: CHAIN[place - 1] if place else None for place, one in enumerate(CHAIN)}


def test_the_largest_amount_is_converted_exactly_by_the_largest_rate() -> None:
    rates = Rates("EUR", {"USD": Decimal("9999999999.9999999999")})
    shown = rates.converted({"USD": Decimal("9999999999999999.99")})
    assert shown == {"value": "99999999999999999899000000.00", "currency": "EUR"}


def test_a_hierarchy_of_any_depth_is_added_up() -> None:
    shown = people([CHAIN[-1]], MANAGER_OF, root=CHAIN[-1])
    assert [one.user_id for one in shown] == [CHAIN[-1]]
    assert [one.level for one in people([CHAIN[1_499]], dict(list(MANAGER_OF.items())[:1_500]))] == list(range(1_500))
    assert quotas_of({CHAIN[-1]: {"EUR": Decimal(7)}}, MANAGER_OF)[CHAIN[0]] == {"EUR": Decimal(7)}
