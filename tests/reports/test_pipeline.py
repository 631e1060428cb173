"""The pipeline counts open opportunities as of an instant, and how those that entered a stage have left it."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from tests.api import Api
from tests.contract.world import second_tenant
from tests.conversion.steps import BANT, converted, sql_lead
from tests.pipeline.test_advance import step
from tests.pipeline.test_forecast_members import patch, qualified
from tests.reports.steps import day, evidence, fraction, go_to, metric, report

YEAR: dict[str, Any] = {"from": "2026-01-01", "to": "2027-01-01"}
STAGES = ("unqualified", "qualified", "proposal", "negotiation")
SPLITS = (("new", "existing"), ("lead", "none"))


def eur(value: str, currency: str = "EUR") -> dict[str, str]:
    return {"value": value, "currency": currency}


def amounts(document: dict[str, Any], name: str) -> dict[str, str]:
    return {one["currency"]: one["value"] for one in metric(document, name)["amounts"]}


async def advance_to(api: Api, deal: str, actor: str, to: str) -> None:
    if to in ("won", "lost"):
        members = {"action": "win"} if to == "won" else {"action": "lose", "reason_code": "price"}
        answer = await step(api, deal, actor, **members)
    else:
        answer = await step(api, deal, actor, action="advance", to=to)
    assert answer.status_code == 201, answer.text


async def test_volume_and_value_are_those_of_the_open_ones_at_the_instant(api: Api) -> None:
    ae = await api.user("ae")
    go_to(api, day(1))
    lead = await sql_lead(api, ae)
    order = {"opportunity": {"amount": eur("100.00"), "business": "new"}}
    hunted = (await converted(api, lead, ae, order))["opportunity"]["id"]
    farmed = await qualified(api, ae, amount=eur("20.50"))
    yen = await qualified(api, ae, amount=eur("900", "JPY"))
    await qualified(api, ae)
    await api.post("/v1/opportunities", {"name": "Early", "amount": eur("7.00")})
    go_to(api, day(2))
    before = await report(api, "pipeline")
    assert fraction(before, "volume_qualified") == (4, 4)
    assert metric(before, "volume_qualified")["value"] == 4
    assert fraction(before, "value_qualified") == (3, 4), "one has no amount"
    assert amounts(before, "value_qualified") == {"EUR": "120.50", "JPY": "900"}
    assert [metric(before, f"volume_qualified:{one}")["value"] for one in ("new", "existing")] == [1, 3]
    assert [metric(before, f"volume_qualified:{one}")["value"] for one in ("lead", "none")] == [1, 3]
    assert amounts(before, "value_qualified:lead") == {"EUR": "100.00"}
    assert amounts(before, "value_unqualified") == {"EUR": "7.00"}
    assert {row["opportunity_id"] for row in await evidence(api, "pipeline", "volume_qualified:lead")} == {hunted}
    go_to(api, day(3))
    await advance_to(api, hunted, ae, "won")
    await advance_to(api, yen, ae, "lost")
    await patch(api, farmed, ae, archived=True)
    assert metric(await report(api, "pipeline"), "volume_qualified")["value"] == 1
    assert await report(api, "pipeline", as_of=before["as_of"]) == before


async def test_a_stage_is_left_for_a_later_one_or_the_opportunity_ends_in_it_or_it_is_still_there(api: Api) -> None:
    ae = await api.user("ae")
    go_to(api, day(1))
    deals = [await qualified(api, ae) for _ in range(5)]
    for number, (deal, to) in enumerate(zip(deals, ("proposal", "negotiation", "won", "lost"), strict=False), start=2):
        go_to(api, day(number))
        await advance_to(api, deal, ae, to)
    go_to(api, day(11))
    found = await report(api, "pipeline")
    assert fraction(found, "conversion_qualified") == (3, 5), "one was lost, one is still there"
    assert metric(found, "conversion_qualified")["value"] == 0.6
    assert metric(found, "conversion_qualified")["mature"] is False
    times = metric(found, "velocity_qualified")
    assert (times["n"], times["n_open"], times["median_days"]) == (5, 1, 3.0)
    assert fraction(found, "conversion_proposal") == (0, 1)
    rows = await evidence(api, "pipeline", "conversion_qualified")
    assert {row["opportunity_id"]: row["counted"] for row in rows} == dict(
        zip(deals, (True, True, True, False, False), strict=True)
    )
    await patch(api, deals[4], ae, archived=True)
    assert metric(await report(api, "pipeline"), "velocity_qualified")["n_open"] == 0


async def test_an_opportunity_that_is_reopened_counts_once_and_has_not_moved_on_by_having_been_won(api: Api) -> None:
    ae = await api.user("ae")
    go_to(api, day(1))
    deal = await qualified(api, ae)
    await advance_to(api, deal, ae, "negotiation")
    go_to(api, day(2))
    await advance_to(api, deal, ae, "won")
    assert fraction(await report(api, "pipeline"), "conversion_negotiation") == (1, 1)
    won_at = api.now.isoformat().replace("+00:00", "Z")
    go_to(api, day(3))
    assert (await step(api, deal, ae, action="reopen", reason_code="mistake")).status_code == 201
    assert fraction(await report(api, "pipeline"), "conversion_negotiation") == (0, 1)
    assert fraction(await report(api, "pipeline", as_of=won_at), "conversion_negotiation") == (1, 1)
    assert metric(await report(api, "pipeline"), "volume_qualified")["value"] == 1


@pytest.mark.parametrize("seed", range(3))
async def test_the_numbers_of_a_random_life_are_those_of_its_evidence_and_of_its_opportunities(
    api: Api, seed: int
) -> None:
    random = Random(seed)
    users = [await api.user("ae") for _ in range(2)]
    go_to(api, day(1))
    deals: list[str] = []
    told: list[dict[str, Any]] = []
    for _ in range(30):
        if random.random() < 0.4 or not deals:
            amount = random.choice([None, eur(f"{random.randint(1, 99)}.25"), eur("50", "JPY")])
            if random.random() < 0.3:
                lead = await sql_lead(api, users[0], email=f"p{len(deals)}@company{len(deals)}.example")
                order = {"opportunity": {"amount": amount}}
                deals.append((await converted(api, lead, users[0], order))["opportunity"]["id"])
            else:
                members: dict[str, Any] = {
                    "amount": amount,
                    "owner_id": random.choice(users),
                    "business": random.choice(["new", "existing"]),
                }
                deals.append((await api.post("/v1/opportunities", {"name": "Deal", **members}))["id"])
        deal = random.choice(deals)
        action = random.choice(["qualify", "advance", "win", "lose", "reopen", "archive"])
        members_of: dict[str, dict[str, Any]] = {
            "qualify": {"bant": BANT},
            "advance": {"to": random.choice(STAGES)},
            "lose": {"reason_code": "price"},
            "reopen": {"reason_code": "mistake"},
        }
        if action == "archive":
            await patch(api, deal, users[0], archived=random.random() < 0.5)
        else:
            await step(api, deal, users[0], action=action, **members_of.get(action, {}))
        api.clock.ahead += timedelta(hours=random.randint(1, 60))
        if random.random() < 0.3:
            told.append(await report(api, "pipeline", **YEAR))
    told.append(await report(api, "pipeline", **YEAR))
    for document in told:
        assert await report(api, "pipeline", **YEAR, as_of=document["as_of"]) == document
    await _check_against_records(api, told[-1], deals)
    for by in ("owner", "origin", "business"):
        await _check_groups(api, told[-1], by)


async def _check_against_records(api: Api, document: dict[str, Any], deals: list[str]) -> None:
    """The present numbers, counted from the opportunities and their histories over HTTP."""
    records = [await api.get(f"/v1/opportunities/{deal}") for deal in deals]
    for of_class in ("qualified", "unqualified"):
        there = [one for one in records if one["class"] == of_class and one["archived_at"] is None]
        for name, mine in (
            ("", there),
            (":new", [one for one in there if one["business"] == "new"]),
            (":lead", [one for one in there if one["origin_lead_id"]]),
        ):
            assert metric(document, f"volume_{of_class}{name}")["value"] == (len(mine) or None)
            sums: Counter[str] = Counter()
            for one in (one["amount"] for one in mine if one["amount"]):
                sums[one["currency"]] += Decimal(one["value"])  # type: ignore[assignment]
            assert {
                code: Decimal(value) for code, value in amounts(document, f"value_{of_class}{name}").items()
            } == sums
    for place, stage in enumerate(STAGES):
        entered, moved, still = set(), set(), set()
        for record in records:
            steps = (await api.get(f"/v1/opportunities/{record['id']}/transitions"))["data"]
            at = next((n for n, one in enumerate(steps) if one["to"] == stage), None)
            if at is None:
                continue
            entered.add(record["id"])
            later = {*STAGES[place + 1 :], *(["won"] if record["stage"] == "won" else [])}
            if any(one["to"] in later for one in steps[at + 1 :]):
                moved.add(record["id"])
            elif record["class"] != "lost" and record["archived_at"] is None:
                still.add(record["id"])
        assert fraction(document, f"conversion_{stage}") == (len(moved), len(entered))
        assert metric(document, f"velocity_{stage}")["n_open"] == len(still)
        rows = await evidence(api, "pipeline", f"velocity_{stage}", **YEAR, limit=7)
        assert {row["opportunity_id"] for row in rows} == entered
        assert {row["opportunity_id"] for row in rows if row["counted"]} == moved
        assert [datetime.fromisoformat(row["at"]) for row in rows] == sorted(
            datetime.fromisoformat(row["at"]) for row in rows
        )


async def _check_groups(api: Api, document: dict[str, Any], by: str) -> None:
    """The groups and the splits add up to the whole, and have the evidence that they count."""
    groups = await report(api, "pipeline", **YEAR, by=by)
    for name in ("volume_qualified", "value_unqualified", "conversion_qualified", "velocity_proposal"):
        whole = fraction(document, name)
        parts = [fraction(groups, name, one["key"]) for one in groups["groups"]]
        assert tuple(sum(one) for one in zip(*parts, strict=True)) == whole
        for split in SPLITS:
            halves = [fraction(document, f"{name}:{one}") for one in split]
            assert tuple(sum(one) for one in zip(*halves, strict=True)) == whole
        for one in groups["groups"]:
            key = {} if one["key"] is None else {"key": one["key"]}
            rows = await evidence(api, "pipeline", name, **YEAR, by=by, **key)
            assert (sum(row["counted"] for row in rows), len(rows)) == fraction(groups, name, one["key"])
    if by == "origin":
        assert {one["key"] for one in groups["groups"]} <= {"lead", "none"}


async def test_another_tenant_has_a_pipeline_of_its_own(api: Api) -> None:
    ae = await api.user("ae")
    go_to(api, day(1))
    await qualified(api, ae, amount=eur("5.00"))
    rival = await second_tenant(api)
    found = await report(rival, "pipeline")
    assert (metric(found, "volume_qualified")["value"], amounts(found, "value_qualified")) == (None, {})


@pytest.mark.parametrize("kind", ["text/csv", "image/svg+xml"])
async def test_the_pipeline_is_a_table_or_a_picture_as_the_header_asks(api: Api, kind: str) -> None:
    ae = await api.user("ae")
    go_to(api, day(1))
    await qualified(api, ae, amount=eur("5.00"))
    answer = await api.call(
        "GET", "/v1/reports/pipeline", params={"from": "2026-01-01", "to": "2026-02-01"}, headers={"Accept": kind}
    )
    assert answer.headers["content-type"].startswith(kind)
    assert "value_qualified" in answer.text
    assert "5.00" in answer.text
