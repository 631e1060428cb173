"""Sources: how far the journeys of each source came, by the first or the last touch, and what an SQL cost."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise, product
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reports.formats import COLUMNS
from app.reports.sources import in_units, part_of, shared, show_sums, unit_of
from tests.api import Api
from tests.reports.steps import JANUARY, advance, day, evidence, fraction, go_to, hand_over, metric, report
from tests.reports.test_funnel import begin
from tests.reports.test_summaries import caught_up, compare, is_read

NAMES = ("leads", "mql", "accepted", "sql", "converted", "won")
COMPANY: dict[str, Any] = {"job_title": "Director", "employees": 120, "industry": "software"}


async def came_by(api: Api, number: int, **attribution: str) -> dict[str, Any]:
    """A lead of a company of its own that came by this touch and became an MQL."""
    fields = {"email": f"p@c{number}.example", "company": f"Company {number}", "website": f"https://c{number}.example"}
    body = {"fields": {**fields, **COMPANY}, "attribution": attribution, "activity": {"type": "demo_request"}}
    answer = await api.call("POST", "/v1/leads", body)
    assert answer.status_code in (200, 201), answer.text
    return dict(answer.json())


async def touch(api: Api, lead: dict[str, Any], **attribution: str) -> None:
    """Another form fill of the same lead."""
    body = {"fields": {"email": lead["fields"]["email"]}, "attribution": attribution}
    assert (await api.call("POST", "/v1/leads", body)).status_code == 200


async def win(api: Api, lead: dict[str, Any], sdr: str, ae: str, amount: str, currency: str = "EUR") -> None:
    """Hands the lead over, and wins its deal with this amount."""
    deal = await hand_over(api, lead, sdr, ae)
    value = {"amount": {"value": amount, "currency": currency}}
    assert (await api.call("PATCH", f"/v1/opportunities/{deal}", value)).status_code == 200
    await advance(api, deal, "qualify", ae, bant={"need": {"status": "confirmed"}, **CONFIRMED})
    await advance(api, deal, "win", ae)


CONFIRMED = {"budget": {"status": "confirmed"}, "timing": {"status": "confirmed"}}


async def put_cost(api: Api, campaign: str, value: str | None, currency: str = "EUR", **period: str) -> Any:
    amount = None if value is None else {"value": value, "currency": currency}
    body = {"amount": amount, **(period or {"month": "2026-01"})}
    answer = await api.call("PUT", f"/v1/campaigns/{campaign}/cost", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_source_tells_how_far_its_journeys_came(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await begin(api)
    won, handed, _ = [await came_by(api, n, source="google", campaign="spring") for n in range(3)]
    other = await came_by(api, 3, source="fair")
    await api.lead()
    await win(api, won, sdr, ae, "1200.50")
    await hand_over(api, handed, sdr, ae)
    await win(api, other, sdr, ae, "70", "JPY")
    found = await report(api, "sources")
    assert [group["key"] for group in found["groups"]] == [None, "fair", "google"]
    counts = {name: fraction(found, name, "google") for name in NAMES}
    assert counts == {
        "leads": (3, 3),
        "mql": (3, 3),
        "accepted": (2, 3),
        "sql": (1, 3),
        "converted": (2, 3),
        "won": (1, 3),
    }
    assert metric(found, "won", "google")["amount_won"] == [{"value": "1200.50", "currency": "EUR"}]
    assert metric(found, "won", "fair")["amount_won"] == [{"value": "70", "currency": "JPY"}]
    assert fraction(found, "mql") == (0, 1)
    for group in found["groups"]:
        for name in NAMES:
            rows = await evidence(api, "sources", name, **({"key": group["key"]} if group["key"] else {}))
            assert (sum(row["counted"] for row in rows), len(rows)) == fraction(found, name, group["key"]), name
    [deal] = [row for row in await evidence(api, "sources", "won", key="google") if row["counted"]]
    assert (deal["lead_id"], deal["opportunity_id"] is not None) == (won["id"], True)


@pytest.mark.parametrize("member", ["source", "medium", "campaign"])
async def test_the_last_touch_is_that_of_the_instant(api: Api, member: str) -> None:
    await begin(api)
    lead = await came_by(api, 1, **{member: "first"})
    go_to(api, day(3))
    then: dict[str, Any] = {"by": member, "touch": "last", "as_of": "2026-01-02T00:00:00Z"}
    before = await report(api, "sources", **then)
    await touch(api, lead, **{member: "second"})
    assert [one["key"] for one in before["groups"]] == ["first"]
    assert await report(api, "sources", **then) == before
    for which, key in (("first", "first"), ("last", "second")):
        found = await report(api, "sources", by=member, touch=which)
        assert [one["key"] for one in found["groups"]] == [key]
        [row] = await evidence(api, "sources", "mql", by=member, touch=which, key=key)
        assert (row["lead_id"], row["counted"]) == (lead["id"], True)


async def test_a_lead_counts_in_the_window_in_which_its_journey_began(api: Api) -> None:
    await begin(api)
    go_to(api, day(20))
    lead = await came_by(api, 1, source="google")
    go_to(api, day(40))
    sdr = await api.user("sdr")
    assert (await api.ask(lead, "accept", sdr)).status_code == 201
    assert fraction(await report(api, "sources"), "accepted", "google") == (1, 1)
    assert fraction(await report(api, "sources", as_of="2026-01-25T00:00:00Z"), "accepted", "google") == (0, 1)
    february: dict[str, Any] = {"from": "2026-02-01", "to": "2026-03-01"}
    assert (await report(api, "sources", **february))["groups"] == []


async def test_the_cost_of_a_campaign_is_shared_by_its_journeys_and_counts_from_when_it_was_set_on(
    pipeline_api: Api,
) -> None:
    api = pipeline_api
    sdr, ae = await begin(api)
    first = await came_by(api, 1, source="google", campaign="spring")
    second = await came_by(api, 2, source="google", campaign="spring")
    await came_by(api, 3, source="linkedin", campaign="spring")
    for lead in (first, second):
        await win(api, lead, sdr, ae, "10.00")
    assert metric(await report(api, "sources"), "sql", "google")["cost"] is None
    go_to(api, day(2))
    await put_cost(api, "spring", "1000.00")
    await put_cost(api, "spring", "9000", "JPY", **{"from": "2026-02-01", "to": "2026-02-11"})
    await put_cost(api, "nobody came", "5.00")
    found = await report(api, "sources", by="campaign")
    sql = metric(found, "sql", "spring")
    assert (sql["cost"], sql["cost_per_sql"]) == ([eur("1000.00")], [eur("500.00")])
    empty = metric(found, "sql", "nobody came")
    assert (empty["cost"], empty["cost_per_sql"], empty["denominator"]) == ([eur("5.00")], None, 0)
    assert await evidence(api, "sources", "sql", by="campaign", key="nobody came") == []
    by_source = await report(api, "sources")
    assert metric(by_source, "sql", "google")["cost"] == [eur("666.67")]
    assert metric(by_source, "sql", "google")["cost_per_sql"] == [eur("333.33")]
    assert metric(by_source, "sql", "linkedin")["cost"] == [eur("333.33")]
    assert metric(by_source, "sql", "linkedin")["cost_per_sql"] is None
    longer = await report(api, "sources", by="campaign", to="2026-02-06")
    assert metric(longer, "sql", "spring")["cost"] == [eur("1000.00"), {"value": "4500", "currency": "JPY"}]
    part = await report(api, "sources", by="campaign", to="2026-01-02")
    assert metric(part, "sql", "spring")["cost"] == [eur("32.26")]
    then: dict[str, Any] = {"by": "campaign", "as_of": "2026-01-02T12:00:00Z"}
    go_to(api, day(3))
    before = await report(api, "sources", **then)
    await put_cost(api, "spring", "2000.00", **{"from": "2026-01-01", "to": "2026-02-01"})
    await put_cost(api, "nobody came", None)
    assert await report(api, "sources", **then) == before
    now = await report(api, "sources", by="campaign")
    assert metric(now, "sql", "spring")["cost"] == [eur("2000.00")]
    assert "nobody came" not in [group["key"] for group in now["groups"]]
    assert (
        metric(await report(api, "sources", by="campaign", as_of="2026-01-01T12:00:00Z"), "sql", "spring")["cost"]
        is None
    )


def eur(value: str) -> dict[str, str]:
    return {"value": value, "currency": "EUR"}


@pytest.mark.parametrize(
    "name", ["spring", "spring/2026", "spring/cost", "=1+1", "Ü ber", "<script>", "a" * 1000, "%", "ș" * 1000]
)
async def test_a_cost_is_read_under_the_name_that_leads_have(api: Api, name: str) -> None:
    go_to(api, day(5))
    path = f"/v1/campaigns/{name.replace('%', '%25')}/cost"
    made = await api.call("PUT", path, {"amount": eur("10.5"), "month": "2026-02"})
    assert made.status_code == 200, made.text
    shown = made.json()
    assert (shown["campaign"], shown["from"], shown["to"]) == (name, "2026-02-01", "2026-03-01")
    assert shown["amount"] == eur("10.50")
    go_to(api, day(6))
    assert (await api.call("PUT", path, {"amount": None, "month": "2026-02"})).status_code == 200
    go_to(api, day(7))
    assert await api.get(path) == {"campaign": name, "data": [], "next": None}
    earlier = await api.get(f"{path}?as_of=2026-01-05T12:00:00Z")
    assert earlier["data"] == [{one: shown[one] for one in ("from", "to", "amount", "actor", "recorded_at")}]


AMOUNT = {"value": "1.00", "currency": "EUR"}
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("spring", {"amount": AMOUNT}, "month"),
    ("spring", {"month": "2026-01"}, "amount"),
    ("spring", {"amount": AMOUNT, "month": "2026-13"}, "month"),
    ("spring", {"amount": AMOUNT, "month": "1969-12"}, "month"),
    ("spring", {"amount": AMOUNT, "month": "2026-01", "from": "2026-01-01"}, "month"),
    ("spring", {"amount": AMOUNT, "from": "2026-01-01"}, "to"),
    ("spring", {"amount": AMOUNT, "to": "2026-01-01"}, "from"),
    ("spring", {"amount": AMOUNT, "from": "2026-01-01", "to": "2026-01-01"}, "to"),
    ("spring", {"amount": AMOUNT, "from": "1990-01-01", "to": "2026-01-01"}, "to"),
    ("spring", {"amount": AMOUNT, "from": "2026-01-15", "to": "2026-03-01"}, "from"),
    ("spring", {"amount": {"value": "-1.00", "currency": "EUR"}, "month": "2026-02"}, "amount.value"),
    ("spring", {"amount": {"value": "1.001", "currency": "EUR"}, "month": "2026-02"}, "amount.value"),
    ("spring", {"amount": {"value": "1", "currency": "XYZ"}, "month": "2026-02"}, "amount.currency"),
    ("%00", {"amount": AMOUNT, "month": "2026-02"}, "name"),
    ("%20spring", {"amount": AMOUNT, "month": "2026-02"}, "name"),
    ("{{campaign}}", {"amount": AMOUNT, "month": "2026-02"}, "name"),
    ("x" * 1001, {"amount": AMOUNT, "month": "2026-02"}, "name"),
]


@pytest.mark.parametrize(("name", "body", "field"), REFUSED)
async def test_a_cost_that_is_none_is_refused_and_named(api: Api, name: str, body: dict[str, Any], field: str) -> None:
    await put_cost(api, "spring", "1.00")
    refused = await api.call("PUT", f"/v1/campaigns/{name}/cost", body)
    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid"), refused.text
    assert refused.json()["errors"][0]["field"] == field


async def test_of_overlapping_periods_that_are_set_at_once_one_is_kept(api: Api) -> None:
    go_to(api, day(40))
    for campaign in ("a", "b", "c"):
        bodies = [{"amount": AMOUNT, "from": "2026-01-01", "to": f"2026-01-{n:02}"} for n in range(10, 20)]
        path = f"/v1/campaigns/{campaign}/cost"
        answers = await asyncio.gather(*(api.call("PUT", path, body) for body in bodies))
        assert sorted(one.status_code for one in answers) == [200] + [422] * 9
        assert len((await api.get(path))["data"]) == 1


async def test_costs_are_set_by_an_admin_and_read_with_the_scope_of_reports(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "reports", "scopes": ["reports:read"]})
    go_to(api, day(40))
    assert (await api.call("GET", "/v1/campaigns/spring/cost", key=made["secret"])).status_code == 200
    body = {"amount": AMOUNT, "month": "2026-01"}
    refused = await api.call("PUT", "/v1/campaigns/spring/cost", body, key=made["secret"])
    assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")


@pytest.mark.parametrize("touch", ["middle", "", "FIRST"])
async def test_an_unknown_touch_is_refused_with_those_that_there_are(api: Api, touch: str) -> None:
    go_to(api, day(40))
    for path, more in (("sources", {}), ("sources/evidence", {"metric": "mql"})):
        refused = await report(api, path, expect=422, touch=touch, **more)
        assert [one["field"] for one in refused["errors"]] == ["touch"]
        assert "'first' or 'last'" in refused["errors"][0]["detail"]


async def test_more_campaigns_than_a_report_may_have_groups_are_refused_with_the_limit(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.reports.read.MOST_GROUPS", 2)
    await begin(api)
    for n in range(3):
        await put_cost(api, f"c{n}", "1.00")
    refused = await report(api, "sources", expect=422, by="campaign")
    assert (refused["errors"][0]["field"], refused["errors"][0]["code"]) == ("by", "too_many_groups")
    assert "more than 2 groups" in refused["detail"]


JOURNEYS = st.dictionaries(
    st.tuples(st.sampled_from((None, "a", "b")), st.sampled_from(("x", "y", "z"))), st.integers(1, 50), min_size=1
)


@given(JOURNEYS, st.dictionaries(st.sampled_from(("EUR", "JPY")), st.integers(0, 10**9), min_size=1))
def test_the_shares_of_a_cost_add_up_to_it(
    journeys: dict[tuple[str | None, str], int], amounts: dict[str, int]
) -> None:
    costs = {name: {one: Fraction(value, 7) for one, value in amounts.items()} for name in "xyz"}
    found = shared(costs, [(key, campaign, count) for (key, campaign), count in journeys.items()])
    campaigns = {campaign for _, campaign in journeys}
    for currency, value in amounts.items():
        assert sum(sums.get(currency, Fraction()) for sums in found.values()) == Fraction(value, 7) * len(campaigns)


CURRENCIES = st.sampled_from(("EUR", "JPY", "TND"))


COUNTS = st.lists(
    st.tuples(st.sampled_from((None, *"abcdefgh")), st.sampled_from("xyz"), st.integers(1, 10**6)), min_size=1
)


@given(st.integers(0, 10**12), CURRENCIES, COUNTS)
def test_what_is_shown_of_shares_adds_up_to_the_costs_and_no_share_is_a_unit_off(
    units: int, currency: str, listed: list[tuple[str | None, str, int]]
) -> None:
    journeys = [
        (key, campaign, n) for (key, campaign), n in {(key, campaign): n for key, campaign, n in listed}.items()
    ]
    whole = units * unit_of(currency)
    exact = shared({campaign: {currency: whole} for campaign in "xyz"}, journeys)
    shown = {key: Fraction(show_sums(sums)[0]["value"]) for key, sums in in_units(exact).items()}
    assert sum(shown.values()) == whole * len({campaign for _, campaign, _ in journeys})
    assert shown.keys() == exact.keys()
    assert all(abs(shown[key] - exact[key][currency]) < unit_of(currency) for key in exact)


@given(st.integers(0, 10**9), CURRENCIES, st.integers(1, 400), st.lists(st.integers(-50, 450), min_size=2, max_size=9))
def test_windows_side_by_side_add_up_to_the_cost(amount: int, currency: str, days: int, bounds: list[int]) -> None:
    first = date(2026, 1, 1)
    cost: Any = SimpleNamespace(
        amount=Decimal(amount) * Decimal(unit_of(currency).numerator) / unit_of(currency).denominator,
        currency=currency,
        from_on=first,
        to_on=first + timedelta(days=days),
    )
    ends = sorted({first + timedelta(days=one) for one in (*bounds, -60, 500)})
    parts = [part_of(cost, one, other) for one, other in pairwise(ends)]
    assert sum(parts) == Fraction(cost.amount)
    assert all(one >= 0 and one % unit_of(currency) == 0 for one in parts)


@pytest.mark.parametrize("by", ["source", "medium", "country", "owner", "team", "temperature", "campaign"])
async def test_whatever_the_groups_are_their_costs_add_up_to_all_costs(api: Api, by: str) -> None:
    await begin(api)
    for n, source in enumerate(("google", "google", "fair", "linkedin", "linkedin", "mail", "mail")):
        await came_by(api, n, source=source, campaign=("spring", "autumn")[n % 2])
    await put_cost(api, "spring", "100.00")
    await put_cost(api, "autumn", "0.02")
    await put_cost(api, "brought nobody", "33.33")
    await put_cost(api, "brought nobody", "7", "JPY", **{"from": "2026-02-01", "to": "2026-02-11"})
    for touch, to in product(("first", "last"), ("2026-01-08", "2026-02-01", "2026-02-04")):
        found = await report(api, "sources", by=by, touch=touch, to=to)
        listed = [one for group in found["groups"] for one in (of_sql(group)["cost"] or ())]
        euros = sum(Decimal(one["value"]) for one in listed if one["currency"] == "EUR")
        yen = sum(Decimal(one["value"]) for one in listed if one["currency"] == "JPY")
        expected = {"2026-01-08": ("30.11", 0), "2026-02-01": ("133.35", 0), "2026-02-04": ("133.35", 2)}[to]
        assert (euros, yen) == (Decimal(expected[0]), expected[1])
        if by in ("source", "medium"):
            assert of_sql(found["groups"][0])["cost"] is not None, "the group without a key has what brought nobody"


async def test_costs_are_shared_by_the_summaries_as_by_the_records(api: Api) -> None:
    await begin(api)
    for n, source in enumerate(("google", "google", "fair", "linkedin", "mail")):
        await came_by(api, n, source=source, campaign=("spring", "autumn")[n % 2])
    await put_cost(api, "spring", "100.00")
    await put_cost(api, "brought nobody", "33.33")
    await caught_up(api)
    api.clock.ahead += timedelta(seconds=5)
    assert await is_read(api)
    await came_by(api, 5, source="fair", campaign="spring")
    told = await compare(api, "&".join(f"{name}={value}" for name, value in JANUARY.items()))
    assert told.count(b'"cost":[{"value":"25.00"') == 4, (
        "two of its journeys of one source are half of it, by each touch"
    )


def of_sql(group: dict[str, Any]) -> dict[str, Any]:
    return next(dict(one) for one in group["metrics"] if one["name"] == "sql")


@given(st.fractions(min_value=0, max_value=10**15), st.sampled_from(("EUR", "JPY", "TND")))
def test_an_amount_is_rounded_half_to_even_to_the_decimals_of_its_currency(amount: Fraction, currency: str) -> None:
    [shown] = show_sums({currency: amount})
    unit = Fraction(1, {"EUR": 100, "JPY": 1, "TND": 1000}[currency])
    given_ = Fraction(Decimal(shown["value"]))
    assert given_ % unit == 0
    assert abs(given_ - amount) <= unit / 2
    assert abs(given_ - amount) < unit / 2 or (given_ / unit) % 2 == 0


async def test_an_empty_window_has_no_groups_and_no_evidence(api: Api) -> None:
    go_to(api, day(40))
    assert (await report(api, "sources"))["groups"] == []
    assert await evidence(api, "sources", "mql", key="google") == []
    answer = await api.call("GET", "/v1/reports/sources", params=JANUARY, headers={"Accept": "text/csv"})
    assert answer.text == ",".join((*COLUMNS, "amount_won", "cost", "cost_per_sql")) + "\r\n"
