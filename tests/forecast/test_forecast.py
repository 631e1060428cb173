"""The forecast over HTTP: sums over people, quotas, rates, judgements, evidence, and any instant of the past."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from tests.api import Api
from tests.contract.world import second_tenant
from tests.conversion.steps import BANT
from tests.pipeline.test_advance import step
from tests.pipeline.test_forecast_members import patch

PERIOD = "2031-Q2"
CATEGORIES = ("commit", "upside", "pipeline", "omitted")
METRICS = ("closed", *CATEGORIES)


def eur(value: str, currency: str = "EUR") -> dict[str, str]:
    return {"value": value, "currency": currency}


async def deal(api: Api, owner: str | None, value: str | None = "100.00", currency: str = "EUR", **members: Any) -> str:
    """An opportunity of class unqualified that closes in the period; its id."""
    amount = None if value is None else eur(value, currency)
    body = {"name": "Deal", "owner_id": owner, "amount": amount, "close_date": "2031-05-15", **members}
    return str((await api.post("/v1/opportunities", body))["id"])


async def won(api: Api, owner: str, value: str) -> str:
    """A won opportunity without a close date."""
    made = await deal(api, owner, value, close_date=None)
    assert (await step(api, made, owner, action="qualify", bant=BANT)).status_code == 201
    assert (await step(api, made, owner, action="win")).status_code == 201
    return made


async def forecast(api: Api, query: str = "", period: str = PERIOD) -> dict[str, Any]:
    return dict(await api.get(f"/v1/reports/forecast?period={period}{query}"))


def sums(report: dict[str, Any], key: str | None, metric: str, *, own: bool = False) -> dict[str, Decimal]:
    """The amounts of a metric of a group by currency."""
    group = next(one for one in report["groups"] if one["key"] == key)
    found = next(one for one in group["metrics"] if one["name"] == metric)
    amounts = found["own"]["amounts"] if own else found["amounts"]
    return {one["currency"]: Decimal(one["value"]) for one in amounts}


def set_clock(api: Api, at: str) -> None:
    api.clock.ahead += api.now.replace(year=2031, month=int(at[:2]), day=int(at[3:])) - api.now


async def test_open_opportunities_count_by_their_close_date_and_won_ones_by_when_they_were_won(api: Api) -> None:
    set_clock(api, "05-10")
    ae = await api.user("ae")
    for day in ("2031-03-31", "2031-04-01", "2031-06-30", "2031-07-01"):
        await patch(api, await deal(api, ae, "10.00", close_date=day), ae, forecast_category="commit")
    await won(api, ae, "500.00")
    lost = await deal(api, ae, "7000.00")
    await step(api, lost, ae, action="lose", reason_code="price")
    await patch(api, await deal(api, ae, "8000.00"), ae, archived=True)
    report = await forecast(api)
    assert sums(report, ae, "commit") == {"EUR": Decimal("20.00")}
    assert sums(report, ae, "closed") == {"EUR": Decimal("500.00")}
    assert [sums(report, ae, name) for name in ("upside", "pipeline", "omitted")] == [{}, {}, {}]
    assert report["period"] == {"name": PERIOD, "from": "2031-04-01", "to": "2031-07-01"}
    assert (await forecast(api, period="2031-05"))["groups"][0]["metrics"][1]["opportunities"] == 1
    assert (await api.get("/v1/reports/forecast"))["period"]["name"] == PERIOD, "the present quarter by itself"


async def test_weighted_is_exact_and_leaves_out_what_is_omitted(api: Api) -> None:
    ae = await api.user("ae")
    qualified = await deal(api, ae, "100.01")
    await step(api, qualified, ae, action="qualify", bant=BANT)  # 30 %
    await deal(api, ae, "900.00")  # omitted
    await deal(api, ae, None)
    report = await forecast(api)
    assert sums(report, ae, "weighted") == {"EUR": Decimal("30.003")}
    omitted = next(one for one in report["groups"][0]["metrics"] if one["name"] == "omitted")
    assert (omitted["opportunities"], omitted["amounts"]) == (2, [eur("900.00")]), "one has no amount"


@pytest.mark.parametrize("seed", range(3))
async def test_each_sum_over_a_random_tree_is_the_sum_of_its_leaves_in_each_currency(api: Api, seed: int) -> None:
    random = Random(seed)
    people = [await api.user("manager")]
    manager_of: dict[str, str | None] = {people[0]: None}
    for _ in range(6):
        manager = random.choice([*people, None])
        user = await api.user("ae", manager_id=manager)
        people.append(user)
        manager_of[user] = manager
    owned: dict[tuple[str | None, str, str], Decimal] = {}
    for _ in range(14):
        owner, currency = random.choice([*people, None]), random.choice(["EUR", "USD", "JPY"])
        value = (
            str(random.randint(1, 10**6))
            if currency == "JPY"
            else f"{random.randint(1, 10**6)}.{random.randint(10, 99)}"
        )
        category = random.choice(CATEGORIES)
        await patch(api, await deal(api, owner, value, currency), people[0], forecast_category=category)
        place = (owner, category, currency)
        owned[place] = owned.get(place, Decimal()) + Decimal(value)

    def leaves(top: str | None) -> list[str | None]:
        return [top, *(below for one in people if top and manager_of[one] == top for below in leaves(one))]

    report = await forecast(api)
    for group in report["groups"]:
        for category in CATEGORIES:
            expected: dict[str, Decimal] = {}
            for (owner, of, currency), amount in owned.items():
                if owner in leaves(group["key"]) and of == category:
                    expected[currency] = expected.get(currency, Decimal()) + amount
            assert sums(report, group["key"], category) == expected
            alone = {
                code: amount for (owner, of, code), amount in owned.items() if (owner, of) == (group["key"], category)
            }
            assert sums(report, group["key"], category, own=True) == alone
    shown = {one["key"]: one for one in report["groups"]}
    assert {owner for owner, _, _ in owned} <= set(shown)
    for user, group in shown.items():
        if user is not None:
            one = await forecast(api, f"&owner={user}")
            assert one["groups"][0] == {**group, "level": 0}
            assert [each["key"] for each in (await forecast(api, f"&owner={user}&level=0"))["groups"]] == [user]


async def test_a_quota_is_the_one_set_or_that_of_the_people_below_and_the_gap_is_what_is_missing(api: Api) -> None:
    set_clock(api, "05-10")
    boss = await api.user("manager")
    one, two = await api.user("ae", manager_id=boss), await api.user("ae", manager_id=boss)
    quotas = [
        {"period": PERIOD, "user_id": user, "amount": eur(value)} for user, value in ((one, "100.00"), (two, "50.00"))
    ]
    assert (await api.call("PUT", "/v1/quotas", {"quotas": quotas})).status_code == 200
    await won(api, one, "30.00")
    report = await forecast(api)
    assert sums(report, boss, "quota") == {"EUR": 150}
    assert sums(report, boss, "gap") == {"EUR": 120}
    of_boss = [{"period": PERIOD, "user_id": boss, "amount": eur("140.00")}]
    await api.call("PUT", "/v1/quotas", {"quotas": of_boss})
    assert sums(await forecast(api), boss, "quota") == {"EUR": 140}
    await api.call("PUT", "/v1/quotas", {"quotas": [{**of_boss[0], "amount": None}]})
    assert sums(await forecast(api), boss, "quota") == {"EUR": 150}
    listed = (await api.get(f"/v1/quotas?period={PERIOD}"))["data"]
    assert {(each["user_id"], each["amount"]["value"]) for each in listed} == {(one, "100.00"), (two, "50.00")}
    assert (await forecast(api, period="2031-Q3"))["groups"] == []


async def test_amounts_are_converted_by_rates_and_currencies_without_one_are_named(api: Api) -> None:
    ae = await api.user("ae")
    for value, currency in (("100.00", "EUR"), ("10.00", "USD"), ("5000", "JPY")):
        await patch(api, await deal(api, ae, value, currency), None, business="new")
    unset = next(one for one in (await forecast(api))["groups"][0]["metrics"] if one["name"] == "omitted")
    assert (unset["converted"], unset["without_rate"]) == (None, [])
    put = await api.call("PUT", "/v1/rates", {"currency": "EUR", "rates": {"USD": "0.9255"}})
    assert put.status_code == 200, put.text
    report = await forecast(api)
    metric = next(one for one in report["groups"][0]["metrics"] if one["name"] == "omitted")
    assert metric["amounts"] == [eur("100.00"), eur("5000", "JPY"), eur("10.00", "USD")]
    assert (metric["converted"], metric["without_rate"]) == (eur("109.26"), ["JPY"])  # 109.255, half to even
    assert report["rates"] == put.json() == (await api.get("/v1/rates"))["rates"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"currency": "EUR", "rates": {"EUR": "1"}}, "rates.EUR"),
        ({"currency": "EUR", "rates": {"USD": "0"}}, "rates.USD"),
        ({"currency": "EUR", "rates": {"USD": "-1"}}, "rates.USD"),
        ({"currency": "EUR", "rates": {"USD": 1}}, "rates.USD"),
        ({"currency": "EUR", "rates": {"USD": "1e3"}}, "rates.USD"),
        ({"currency": "EUR", "rates": {"XXX": "1"}}, "rates.XXX"),
        ({"currency": "euro", "rates": {}}, "currency"),
    ],
)
async def test_rates_that_are_none_are_refused_and_named(api: Api, body: Any, field: str) -> None:
    refused = await api.call("PUT", "/v1/rates", body)
    assert refused.status_code == 422
    assert [fault["field"] for fault in refused.json()["errors"]] == [field]


async def test_a_forecast_is_judged_by_the_person_and_those_above_and_every_judgement_is_kept(api: Api) -> None:
    top = await api.user("manager")
    boss = await api.user("manager", manager_id=top)
    ae, other = await api.user("ae", manager_id=boss), await api.user("manager")
    admin, path = await api.user("admin"), f"/v1/forecasts/{PERIOD}/{ae}"
    for actor, code in ((None, "human_required"), (other, "role_not_allowed")):
        refused = await api.call("PUT", path, {"commit": eur("1.00")}, actor=actor)
        assert (refused.status_code, refused.json()["code"]) == (403, code)
    for number, actor in enumerate((ae, boss, top, admin)):
        body = {"commit": eur(f"{number}.00"), "upside": None, "note": f"by {number}"}
        assert (await api.call("PUT", path, body, actor=actor)).status_code == 200
    history = (await api.get(path))["data"]
    assert [(one["actor"]["id"], one["commit"]["value"]) for one in history] == [
        (admin, "3.00"),
        (top, "2.00"),
        (boss, "1.00"),
        (ae, "0.00"),
    ]
    group = next(one for one in (await forecast(api))["groups"] if one["key"] == ae)
    assert group["judgement"] == history[0]
    up = await api.call("PUT", f"/v1/forecasts/{PERIOD}/{boss}", {"commit": eur("1.00")}, actor=ae)
    assert up.status_code == 403, "nobody judges those above"


async def test_the_evidence_is_what_was_summed(api: Api) -> None:
    boss = await api.user("manager")
    ae = await api.user("ae", manager_id=boss)
    for owner in (boss, ae, ae, None):
        await patch(api, await deal(api, owner, "10.00"), boss, forecast_category="commit")
    await deal(api, ae, "77.00")
    report = await forecast(api)
    address = report["evidence_url"]
    for key, count in ((boss, 3), (ae, 2), ("nobody", 1)):
        found, cursor = [], ""
        while True:
            page = await api.get(f"{address}&metric=commit&key={key}&limit=1{cursor}")
            found += page["data"]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        counted = [one for one in found if one["counted"]]
        total = sum(Decimal(one["amount"]["value"]) for one in counted)
        assert (len(counted), total) == (count, count * 10)
        assert {"EUR": total} == sums(report, None if key == "nobody" else key, "commit")
    wrong = await api.call("GET", f"{address}&metric=quota")
    assert wrong.json()["errors"][0]["field"] == "metric"


async def test_a_forecast_of_the_past_never_changes(api: Api) -> None:
    set_clock(api, "05-10")
    boss, ae, other = await api.user("manager"), await api.user("ae"), await api.user("ae")
    random = Random(7)
    deals: list[str] = []
    answers: dict[str, bytes] = {}

    async def act(number: int) -> None:
        if number % 4 == 0 or not deals:
            deals.append(await deal(api, random.choice([ae, other]), f"{random.randint(1, 999)}.00"))
            await step(api, deals[-1], ae, action="qualify", bant=BANT)
        changes: list[dict[str, Any]] = [
            {"amount": eur(f"{random.randint(1, 999)}.00")},
            {"close_date": f"2031-0{random.randint(3, 8)}-15"},
            {"owner_id": random.choice([ae, other])},
            {"forecast_category": random.choice(CATEGORIES)},
        ]
        await patch(api, random.choice(deals), boss, **random.choice(changes))
        match number % 7:
            case 1:
                await api.call(
                    "PATCH", f"/v1/users/{random.choice([ae, other])}", {"manager_id": random.choice([boss, None])}
                )
            case 2:
                quota = {"period": PERIOD, "user_id": ae, "amount": eur(f"{number}.00")}
                await api.call("PUT", "/v1/quotas", {"quotas": [quota]})
            case 3:
                await api.call("PUT", "/v1/rates", {"currency": "EUR", "rates": {"USD": f"0.{number + 1}"}})
            case 4:
                fiscal = {"first_month": random.randint(1, 12), "layout": random.choice(["months", "4-4-5"])}
                await api.call(
                    "PUT", "/v1/calendar", {"fiscal": fiscal, "time_zone": random.choice(["UTC", "Asia/Tokyo"])}
                )
            case 5:
                await api.call("PUT", f"/v1/forecasts/{PERIOD}/{ae}", {"commit": eur(f"{number}.00")}, actor=ae)
            case 6:
                await step(
                    api, random.choice(deals), ae, action=random.choice(["win", "reopen"]), reason_code="mistake"
                )

    for number in range(30):
        await act(number)
        api.clock.ahead += timedelta(hours=7)
        as_of = api.now.isoformat().replace("+00:00", "Z")
        answers[as_of] = (await api.call("GET", f"/v1/reports/forecast?period={PERIOD}&as_of={as_of}")).content
        api.clock.ahead += timedelta(seconds=1)
    assert len(set(answers.values())) > 20, "something has changed from time to time"
    for as_of, before in answers.items():
        again = await api.call("GET", f"/v1/reports/forecast?period={PERIOD}&as_of={as_of}")
        assert again.content == before


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("period=2031-Q5", "period"),
        ("period=2031-W54", "period"),
        ("period=soon", "period"),
        ("period=9999-Q1", "period"),
        ("owner=usr_01k00000000000000000000000", "owner"),
        ("as_of=2190-01-01T00:00:00Z", "as_of"),
        ("level=-1", "level"),
    ],
)
async def test_a_parameter_that_is_wrong_is_named(api: Api, query: str, field: str) -> None:
    answer = await api.call("GET", f"/v1/reports/forecast?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_another_tenant_sees_none_of_it(api: Api) -> None:
    ae = await api.user("ae")
    await deal(api, ae)
    await api.call("PUT", "/v1/rates", {"currency": "EUR", "rates": {"USD": "2"}})
    rival = await second_tenant(api)
    report = await forecast(rival)
    assert (report["groups"], report["rates"]) == ([], None)
    assert (await rival.call("GET", f"/v1/reports/forecast?owner={ae}")).status_code == 422
    quota = {"period": PERIOD, "user_id": ae, "amount": eur("1.00")}
    refused = await rival.call("PUT", "/v1/quotas", {"quotas": [quota]})
    assert refused.json()["errors"][0]["field"] == "quotas.0.user_id"
