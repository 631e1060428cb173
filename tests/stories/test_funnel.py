"""Scenario 21 of lifecycle.md, section 11: the numbers that the teams talk about, with the people behind them."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from tests.api import Api
from tests.reports.steps import THREE, advance, day, evidence, go_to, hand_over, metric, report

EUR = {"value": "100.00", "currency": "EUR"}


async def test_21_the_funnel_adds_up(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))
    leads = [await api.mql(company=f"Company {n}", website=f"https://c{n}.example") for n in range(200)]
    go_to(api, day(19))
    deals = [await hand_over(api, lead, sdr, ae) for lead in leads[:60]]
    go_to(api, day(24))
    for deal in deals[:51]:
        await advance(api, deal, "qualify", ae, bant=THREE)
    for number, deal in enumerate(deals[:48]):
        kind = "new" if number < 40 else "existing"
        changed = await api.call("PATCH", f"/v1/opportunities/{deal}", {"business": kind, "amount": EUR})
        assert changed.status_code == 200, changed.text
        won = number < 12 or 40 <= number < 46
        await advance(api, deal, "advance", ae, to="negotiation")
        await advance(api, deal, "win" if won else "lose", ae, **({} if won else {"reason_code": "price"}))
    go_to(api, day(70))
    await advance(api, deals[50], "lose", ae, reason_code="price")  # not closed in the window
    changed = await api.call("PATCH", f"/v1/opportunities/{deals[0]}", {"business": "existing", "amount": None})
    assert changed.status_code == 200, "a deal that is edited after its closing counts as it was closed"
    funnel, wins = await report(api, "funnel"), await report(api, "wins")
    expected: list[tuple[dict[str, Any], str, float, int, str]] = [
        (funnel, "mql_to_srl", 0.3, 200, "funnel"),
        (funnel, "srl_to_sql", 0.85, 60, "funnel"),
        (wins, "win_rate:new", 0.3, 40, "wins"),
        (wins, "win_rate:existing", 0.75, 8, "wins"),
    ]
    for document, name, value, size, of_report in expected:
        found = metric(document, name)
        assert (found["value"], found["denominator"]) == (value, size), found
        rows = await evidence(api, of_report, name)
        assert (len(rows), sum(row["counted"] for row in rows)) == (size, found["numerator"])
        assert all(len(list(same)) == 1 for _, same in groupby(sorted(str(row) for row in rows)))
    assert metric(wins, "win_rate:existing")["by_value"] == [
        {
            "won": {"value": "600.00", "currency": "EUR"},
            "closed": {"value": "800.00", "currency": "EUR"},
            "value": 0.75,
        }
    ]
    then = await report(api, "funnel", as_of="2026-01-20T00:00:00Z")
    assert [metric(then, name)["numerator"] for name in ("mql_to_srl", "srl_to_sql")] == [60, 0]
    then = await report(api, "wins", as_of="2026-01-20T00:00:00Z")
    assert metric(then, "win_rate")["value"] is None
