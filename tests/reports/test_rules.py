"""Rules, personas and traits of leads are compared by what the leads looked like when they became MQLs."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api
from tests.reports.steps import JANUARY, THREE, advance, day, evidence, fraction, go_to, hand_over, metric, report


async def mql(api: Api, number: int, *activities: str, **fields: Any) -> dict[str, Any]:
    """A lead that becomes an MQL by its last activity."""
    known = {"job_title": "Director", "employees": 120, "industry": "software", **fields}
    lead = await api.lead(company=f"Company {number}", website=f"https://c{number}.example", **known)
    for one in (*activities, "demo_request"):
        await api.add_activity(lead, one)
    return lead


async def sql(api: Api, lead: dict[str, Any], sdr: str, ae: str) -> str | None:
    deal = await hand_over(api, lead, sdr, ae)
    await advance(api, deal, "qualify", ae, bant=THREE)
    return deal


async def test_a_rule_is_compared_with_the_journeys_without_it(pipeline_api: Api) -> None:
    """Of four MQLs with a webinar one becomes an SQL, of four without it three."""
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))
    attended = [await mql(api, number, "webinar") for number in range(4)]
    others = [await mql(api, number) for number in range(4, 8)]
    await api.add_activity(others[0], "webinar")  # after it was an MQL
    for lead in (*attended[:1], *others[:3]):
        await sql(api, lead, sdr, ae)
    found = await report(api, "rules")
    with_it, without = metric(found, "rule:webinar"), metric(found, "rule:webinar:without")
    assert [(one["numerator"], one["denominator"]) for one in (with_it, without)] == [(1, 4), (3, 4)]
    assert (with_it["value"], with_it["lift"], with_it["lets_bad_leads_through"]) == (0.25, 0.3333, False)
    assert with_it["interval"] == {"low": 0.0456, "high": 0.6994}
    assert with_it["lift_interval"]["low"] < 0.3333 < with_it["lift_interval"]["high"]
    for name, leads in (("rule:webinar", attended), ("rule:webinar:without", others)):
        rows = {row["lead_id"]: row["counted"] for row in await evidence(api, "rules", name)}
        assert rows.keys() == {lead["id"] for lead in leads}
        assert sum(rows.values()) == fraction(found, name)[0]
    every = metric(found, "rule:demo_request")
    assert (every["denominator"], every["lift"], every["lift_interval"]) == (8, None, None)
    assert every["lets_bad_leads_through"] is None
    assert fraction(found, "persona:decision_maker") == (4, 8)
    names = [one["name"] for one in found["groups"][0]["metrics"]]
    assert names[:2] == ["rule:webinar", "rule:webinar:without"], "the others have no lift"
    assert fraction(await report(api, "rules", as_of="2026-01-02T09:00:00Z"), "rule:webinar") == (0, 0)


async def test_a_rule_lets_bad_leads_through_if_the_whole_interval_of_its_lift_is_below_one(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))
    for number in range(12):
        lead = await mql(api, number, *(["webinar"] if number < 6 else []))
        if number >= 6:
            await sql(api, lead, sdr, ae)
    found = metric(await report(api, "rules"), "rule:webinar")
    assert (found["lift"], found["lets_bad_leads_through"]) == (0, True)
    assert found["lift_interval"]["high"] < 1


async def test_the_horizon_is_that_of_all_steps_together_unless_it_is_asked_for(api: Api) -> None:
    """Under the policy `waterfall` 30 days to accept and 30 to qualify."""
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))
    lead = await api.mql()
    await api.ask(lead, "accept", sdr)
    go_to(api, day(46))
    confirmed = await api.ask(lead, "confirm", ae, bant=THREE)
    assert confirmed.status_code == 201, confirmed.text
    found = metric(await report(api, "rules"), "rule:title")
    assert (found["horizon_days"], found["numerator"], found["mature"]) == (60, 1, False)
    assert fraction(await report(api, "rules", horizon=40), "rule:title") == (0, 1)


async def test_an_override_and_minus_points_count_as_the_lead_was(pipeline_api: Api) -> None:
    api = pipeline_api
    marketing = await api.user("marketing")
    go_to(api, day(2))
    lead = await api.lead(email="ion@gmail.com", job_title="Intern", country="RO")
    asked = await api.ask(lead, "qualify", marketing, override_reason="met at a fair")
    assert asked.status_code == 201, asked.text
    found = await report(api, "rules")
    assert fraction(found, "rule:free_mail") == (0, 1)
    assert fraction(found, "rule:title:without") == (0, 1)
    assert fraction(found, "persona:decision_maker:without") == (0, 1)
    profile = asked.json()["transition"]["evidence"]["profile"]
    assert (profile["rules"], profile["country"], profile["personas"]) == (["free_mail"], "RO", [])


async def test_won_journeys_are_compared_with_lost_ones(pipeline_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three of four won deals came from Romania, and two of four lost ones; all are changed after the deal."""
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))
    won: dict[str, bool] = {}
    for number in range(8):
        is_won = number < 4
        activities = ("webinar",) if number < 6 else ()
        lead = await mql(api, number, *activities, country="RO" if number in (0, 1, 2, 4, 5) else "DE")
        deal = await sql(api, lead, sdr, ae)
        await advance(api, deal, "win" if is_won else "lose", ae, **({} if is_won else {"reason_code": "price"}))
        won[lead["id"]] = is_won
        await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"country": "FR", "job_title": "Intern"}})
    found = await report(api, "ideal")
    names = [one["name"] for one in found["groups"][0]["metrics"]]
    assert "won:country:FR" not in names
    assert "won:country:DE" not in names, "fewer than five journeys"
    of_won, of_lost = metric(found, "won:country:RO"), metric(found, "lost:country:RO")
    assert [(one["numerator"], one["denominator"]) for one in (of_won, of_lost)] == [(3, 4), (2, 4)]
    assert (of_won["value"], of_won["lift"]) == (0.75, 1.5)
    assert of_won["lift_interval"]["low"] < 1 < of_won["lift_interval"]["high"]
    for side in ("won", "lost"):
        rows = {row["lead_id"]: row["counted"] for row in await evidence(api, "ideal", f"{side}:country:RO")}
        assert rows.keys() == {lead_id for lead_id, is_won in won.items() if is_won == (side == "won")}
        assert sum(rows.values()) == fraction(found, f"{side}:country:RO")[0]
    for value in ("persona:decision_maker", "seniority:director", "size:50-199", "industry:software"):
        assert f"won:{value}" in names
    assert [fraction(found, f"{side}:activity:webinar") for side in ("won", "lost")] == [(4, 4), (2, 4)]
    assert names.index("won:persona:decision_maker") < names.index("won:country:RO")
    grouped = await report(api, "ideal", by="country")
    assert [group["key"] for group in grouped["groups"]] == ["FR"]
    assert grouped["groups"][0]["metrics"] == found["groups"][0]["metrics"]
    monkeypatch.setattr("app.reports.read.MOST_GROUPS", 1)
    refused = await report(api, "ideal", expect=422)
    assert [(one["field"], one["code"]) for one in refused["errors"]] == [("to", "too_many_values")]
    assert "14 values" in refused["errors"][0]["detail"]


EMPTY: dict[str, Any] = {"from": "2025-01-01", "to": "2025-02-01"}


@pytest.mark.parametrize("name", ["rules", "ideal", "response", "ageing", "velocity"])
async def test_a_window_without_data_answers_null_with_denominators_of_zero(api: Api, name: str) -> None:
    go_to(api, day(2))
    await api.mql()
    metrics = (await report(api, name, **EMPTY))["groups"][0]["metrics"]
    assert [one["name"] for one in metrics if (one["value"], one["denominator"]) != (None, 0)] == []
    assert bool(metrics) == (name != "ideal")
    for one in metrics[:3]:
        assert await evidence(api, name, one["name"], **EMPTY) == []


@pytest.mark.parametrize("group", [{}, {"by": "business", "key": "new"}])
async def test_evidence_of_a_value_is_of_one_that_the_report_shows_and_others_are_refused_with_those_that_there_are(
    pipeline_api: Api, group: dict[str, Any]
) -> None:
    """Four deals with leads of Romania are lost, then a fifth one; the one that is won is with a lead of Germany."""
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))

    async def close(number: int, country: str, action: str, **members: Any) -> None:
        lead = await mql(api, number, country=country)
        await advance(api, await sql(api, lead, sdr, ae), action, ae, **members)

    async def refused(value: str, **more: Any) -> str:
        answer = await report(api, "ideal/evidence", expect=422, metric=f"won:{value}", **{**group, **more})
        [fault] = answer["errors"]
        assert (fault["field"], fault["code"]) == ("metric", "metric_unknown"), value
        return str(fault["detail"])

    await close(0, "DE", "win")
    for number in range(1, 5):
        await close(number, "RO", "lose", reason_code="price")
    assert "country" not in await refused("country:RO"), "four journeys"
    await close(5, "RO", "lose", reason_code="price")
    assert [row["counted"] for row in await evidence(api, "ideal", "lost:country:RO", **group)] == [True] * 5
    rows = await evidence(api, "ideal", "won:country:RO", **group)
    assert [row["counted"] for row in rows] == [False], "all that were won, of which none has the value"
    for value in ("XX", "ro", "DE", "x" * 150, "RO:DE", "'; --", "%", " RO"):
        assert "lost:country:RO, won:country:RO" in await refused(f"country:{value}")
    assert "won:persona:decision_maker" in await refused("persona:nobody")
    assert "none of this kind in this window" in await refused("country:RO", **EMPTY)
    answer = await api.call("GET", "/v1/reports/ideal/evidence", params={**JANUARY, "metric": "won:country:\x00"})
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize("metric_", ["won", "won:", "won:colour:red", "lost:country", "rule:nothing", "won:country:"])
async def test_a_metric_that_no_report_has_is_refused(api: Api, metric_: str) -> None:
    go_to(api, day(40))
    for name in ("ideal", "rules"):
        refused = await report(api, f"{name}/evidence", expect=422, metric=metric_)
        assert (refused["errors"][0]["field"], refused["errors"][0]["code"]) == ("metric", "metric_unknown")
