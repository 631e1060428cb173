"""What can be asked of the forecast: sizes, formats, groups, weeks by name, and what is refused by name."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.forecast import report as forecast_report
from app.forecast import roll_up
from app.forecast.roll_up import ManagerOf, Part, below, own_sums, quotas_of, rolled_up
from tests.api import Api
from tests.conversion.steps import BANT, converted, sql_lead
from tests.forecast.test_changes import amounts, begin_week, changes, commit, part
from tests.forecast.test_forecast import PERIOD, deal, eur, forecast, set_clock, sums, won
from tests.pipeline.test_advance import step
from tests.pipeline.test_forecast_members import patch

PEOPLE = [UUID(int=number) for number in range(1, 13)]
# Each person reports to nobody or to somebody before him, so that there are no circles.
TREES = st.tuples(*(st.none() | st.sampled_from(PEOPLE[:place]) if place else st.none() for place in range(12))).map(
    lambda managers: dict(zip(PEOPLE, managers, strict=True))
)
PARTS = st.lists(
    st.builds(
        Part,
        st.sampled_from([*PEOPLE, None]),
        st.sampled_from(["closed", "commit", "omitted"]),
        st.integers(0, 100),
        st.integers(1, 9),
        st.sampled_from([{}, {"EUR": Decimal("10.10")}, {"USD": Decimal(7)}]),
    ),
    max_size=20,
)


@given(manager_of=TREES, parts=PARTS)
def test_what_a_person_has_with_all_below_is_the_sum_of_what_each_of_them_has(
    manager_of: ManagerOf, parts: list[Part]
) -> None:
    total = rolled_up(own_sums(parts), manager_of)
    for person in (*PEOPLE, None):
        team = {None} if person is None else below(person, manager_of)
        theirs = own_sums(Part(person, *_rest(one)) for one in parts if one.owner_id in team)
        assert total.get(person, {}) == theirs.get(person, {})


def _rest(one: Part) -> tuple[Any, ...]:
    return one.category, one.probability, one.count, one.amounts


@given(manager_of=TREES, quotas=st.dictionaries(st.sampled_from(PEOPLE), st.integers(0, 9)))
def test_a_quota_that_is_not_set_is_the_sum_of_those_directly_below(
    manager_of: ManagerOf, quotas: dict[UUID, int]
) -> None:
    found = quotas_of({person: {"EUR": Decimal(value)} for person, value in quotas.items()}, manager_of)
    for person in PEOPLE:
        listed = [found[one] for one in PEOPLE if manager_of[one] == person and one in found]
        expected = {"EUR": Decimal(quotas[person])} if person in quotas else None
        if expected is None and listed:
            expected = {"EUR": sum((one["EUR"] for one in listed), Decimal())}
        assert found.get(person) == expected


@pytest.mark.parametrize("size", [10, 100, 1_000])
@pytest.mark.parametrize("shape", ["chain", "star"])
def test_each_sum_is_added_once_however_deep_or_wide_the_hierarchy(
    monkeypatch: pytest.MonkeyPatch, size: int, shape: str
) -> None:
    people = [UUID(int=number) for number in range(1, size + 1)]
    manager_of = {
        one: None if not place else people[place - 1 if shape == "chain" else 0] for place, one in enumerate(people)
    }
    own = own_sums(Part(one, "commit", 50, 1, {"EUR": Decimal(1)}) for one in people)
    added = 0
    plus = roll_up._plus

    def counting(*sums: Any) -> Any:
        nonlocal added
        added += 1
        return plus(*sums)

    monkeypatch.setattr(roll_up, "_plus", counting)
    assert rolled_up(own, manager_of)[people[0]]["commit"].count == size
    assert added == size - 1


async def test_more_people_than_an_answer_has_are_refused_with_the_limit_and_what_to_do(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast_report, "MOST_GROUPS", 3)
    boss = await api.user("manager")
    team = [await api.user("ae", manager_id=boss) for _ in range(2)]
    for owner in team:
        await deal(api, owner)
    assert len((await forecast(api))["groups"]) == 3
    await deal(api, None)
    refused = await api.call("GET", f"/v1/reports/forecast?period={PERIOD}")
    assert (refused.status_code, refused.json()["code"]) == (422, "request_invalid")
    [fault] = refused.json()["errors"]
    assert (fault["field"], fault["code"]) == ("level", "too_many_groups")
    assert "4 people" in fault["detail"]
    assert "3 is the limit" in fault["detail"]
    assert [one["key"] for one in (await forecast(api, "&level=0"))["groups"]] == [boss, None]
    assert len((await forecast(api, f"&owner={boss}"))["groups"]) == 3


CALENDARS = [
    {"time_zone": "Asia/Tokyo"},
    {"time_zone": "America/New_York"},
    {"fiscal": {"first_month": 1, "layout": "months", "first_weekday": "sun"}},
    {"fiscal": {"first_month": 1, "layout": "months", "first_weekday": "thu"}},
    {"time_zone": "Pacific/Apia", "fiscal": {"first_month": 4, "layout": "4-4-5", "first_weekday": "sat"}},
]


@pytest.mark.parametrize("calendar", CALENDARS)
async def test_every_week_that_a_message_names_can_be_asked_for_whatever_became_of_the_calendar(
    api: Api, calendar: dict[str, Any]
) -> None:
    await begin_week(api, "2031-W18")
    ae = await api.user("ae")
    await commit(api, ae, "5.00")
    await begin_week(api, "2031-W19")
    before = await changes(api, "since=2031-W18")
    api.clock.ahead += timedelta(days=1)
    assert (await api.call("PUT", "/v1/calendar", {"time_zone": "UTC", **calendar})).status_code == 200
    known = {one["week"]: one["at"] for one in (await api.get("/v1/snapshots"))["data"]}
    refused = await api.call("GET", f"/v1/reports/forecast/changes?period={PERIOD}&since=2031-W01")
    assert all(week in refused.json()["detail"] for week in known)
    for week, at in known.items():
        assert (await changes(api, f"since={week}"))["since_at"] == at
    again = await changes(api, f"since=2031-W18&as_of={before['as_of']}")
    assert again == before


async def test_until_ends_before_as_of_or_is_refused(api: Api) -> None:
    await begin_week(api, "2031-W18")
    ae = await api.user("ae")
    await commit(api, ae, "5.00")
    middle = api.now
    await begin_week(api, "2031-W19")
    ended = await changes(api, "since=2031-W18&until=2031-W19")
    assert part(ended, "new") == {"EUR": 5}
    await commit(api, ae, "7.00")
    api.clock.ahead += timedelta(days=1)
    later = f"{api.now.isoformat().replace('+00:00', 'Z')}"
    with_as_of = await changes(api, f"since=2031-W18&until=2031-W19&as_of={later}")
    assert {**with_as_of, "evidence_url": ""} == {**ended, "evidence_url": ""}
    for document in (ended, with_as_of):
        assert len((await api.get(f"{document['evidence_url']}&part=new"))["data"]) == 1
    earlier = middle.isoformat().replace("+00:00", "Z")
    query = f"period={PERIOD}&since=2031-W18&until=2031-W19&as_of={earlier}"
    refused = await api.call("GET", f"/v1/reports/forecast/changes?{query}")
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "until")


async def test_the_quota_and_the_gap_of_a_person_alone_are_those_set_for_that_person(api: Api) -> None:
    set_clock(api, "05-10")
    boss = await api.user("ae")
    one, two = await api.user("ae", manager_id=boss), await api.user("ae", manager_id=boss)
    set_for = {one: "100.00", two: "50.00"}
    await _set_quotas(api, set_for)
    await won(api, one, "30.00")
    await won(api, boss, "1.00")
    report = await forecast(api)
    expected: dict[str, list[dict[str, int]]] = {
        boss: [{}, {}],
        one: [{"EUR": 100}, {"EUR": 70}],
        two: [{"EUR": 50}, {"EUR": 50}],
    }
    for user, pair in expected.items():
        assert [sums(report, user, name, own=True) for name in ("quota", "gap")] == pair
    assert [sums(report, boss, name) for name in ("quota", "gap")] == [{"EUR": 150}, {"EUR": 119}]
    await _set_quotas(api, {boss: "140.00"})
    report = await forecast(api)
    assert [sums(report, boss, name, own=True) for name in ("quota", "gap")] == [{"EUR": 140}, {"EUR": 139}]


async def _set_quotas(api: Api, quotas: dict[str, str]) -> None:
    listed = [{"period": PERIOD, "user_id": user, "amount": eur(value)} for user, value in quotas.items()]
    assert (await api.call("PUT", "/v1/quotas", {"quotas": listed})).status_code == 200


async def test_a_won_deal_that_is_archived_later_stays_won_everywhere(api: Api) -> None:
    await begin_week(api, "2031-W19")
    ae = await api.user("ae")
    made = await commit(api, ae, "500.00")
    await begin_week(api, "2031-W20")
    await step(api, made, ae, action="qualify", bant=BANT)
    await step(api, made, ae, action="win")
    window = "from=2031-05-01&to=2031-06-01"

    async def told() -> list[Any]:
        report = await forecast(api)
        wins = (await api.get(f"/v1/reports/wins?{window}"))["groups"]
        evidence = await api.get(f"{report['evidence_url']}&metric=closed&key={ae}")
        parts = (await changes(api, "since=2031-W20"))["parts"]
        return [report["groups"], wins, evidence["data"], parts]

    before = await told()
    assert sums(await forecast(api), ae, "closed") == {"EUR": 500}
    assert (await patch(api, made, ae, archived=True)).status_code == 200
    api.clock.ahead += timedelta(hours=1)
    assert await told() == before
    left = await commit(api, ae, "9.00")
    await patch(api, left, ae, archived=True)
    assert sums(await forecast(api), ae, "commit") == {}, "what is open and archived does not count"


async def test_hunters_and_farmers_add_up_to_the_whole(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae)
    order = {"opportunity": {"amount": eur("30.00"), "close_date": "2031-06-01"}}
    await converted(api, lead, ae, order)
    await deal(api, ae, "4.00")
    whole, hunted, farmed = [await forecast(api, query) for query in ("", "&origin=lead", "&origin=none")]
    assert [sums(hunted, ae, name) for name in ("pipeline", "omitted")] == [{"EUR": 30}, {}]
    assert [sums(farmed, ae, name) for name in ("pipeline", "omitted")] == [{}, {"EUR": 4}]
    assert sums(whole, ae, "pipeline") == {"EUR": 30}
    assert "quota" not in [one["name"] for one in hunted["groups"][0]["metrics"]]
    for report, has_lead in ((hunted, True), (farmed, False)):
        [row] = (await api.get(f"{report['evidence_url']}&metric=pipeline&key={ae}"))["data"]
        assert (row["lead_id"] is not None) is has_lead


async def test_rows_name_their_owner_as_of_the_instant_and_nobody_has_no_name(api: Api) -> None:
    set_clock(api, "05-10")
    ana, ben = [await api.user("ae", name=name) for name in ("Ana", "Ben")]
    for owner in (ana, ben, None):
        await deal(api, owner)
    address = (await forecast(api))["evidence_url"] + "&metric=pipeline"

    def owners(page: dict[str, Any]) -> dict[str | None, str | None]:
        return {row["owner_id"]: row["owner_name"] for row in page["data"]}

    before = await api.get(address)
    assert owners(before) == {ana: "Ana", ben: "Ben", None: None}
    api.clock.ahead += timedelta(seconds=5)
    assert (await api.call("PATCH", f"/v1/users/{ana}", {"name": "Ana Maria"})).status_code == 200
    assert await api.get(address) == before
    of_now = (await forecast(api))["evidence_url"] + "&metric=pipeline"
    assert owners(await api.get(of_now))[ana] == "Ana Maria"


REFUSED = [
    ("/evidence?metric=quota", "metric", "no_evidence"),
    ("/evidence?metric=gap", "metric", "no_evidence"),
    ("/evidence?metric=profit", "metric", "metric_unknown"),
    ("/evidence?metric=commit&key=boss", "key", "key_unknown"),
    ("/evidence?metric=commit&key=", "key", "key_unknown"),
    ("/evidence?metric=commit&owner={boss}&key=nobody", "key", "key_unknown"),
    ("/evidence?metric=commit&owner={boss}&key={other}", "key", "key_unknown"),
    ("?period=", "period", "period_unknown"),
    ("/evidence?metric=commit&period=", "period", "period_unknown"),
    ("/changes?since=2031-W18&period=", "period", "period_unknown"),
    ("/changes?period=2031-Q2&since=", "since", "period_unknown"),
    ("?origin=hunter", "origin", "unknown_value"),
]


@pytest.mark.parametrize(("address", "field", "code"), REFUSED)
async def test_what_the_forecast_does_not_have_is_refused_and_named(
    api: Api, address: str, field: str, code: str
) -> None:
    boss, other = await api.user("manager"), await api.user("ae")
    answer = await api.call("GET", "/v1/reports/forecast" + address.format(boss=boss, other=other))
    assert answer.status_code == 422, answer.text
    [fault] = answer.json()["errors"]
    assert (fault["field"], fault["code"]) == (field, code)
    if code in ("no_evidence", "metric_unknown"):
        assert "closed, commit, upside, pipeline, weighted, omitted" in fault["detail"]


async def _filled(api: Api) -> list[str]:
    """Two snapshots with open and won opportunities between; the addresses of the forecast and of its changes."""
    await begin_week(api, "2031-W18")
    boss = await api.user("manager")
    ae = await api.user("ae", manager_id=boss)
    await commit(api, ae, "100.50")
    lost = await commit(api, ae, "20.00")
    await begin_week(api, "2031-W19")
    await step(api, lost, ae, action="lose", reason_code="price")
    await deal(api, None, "1234", "JPY")
    await _set_quotas(api, {ae: "10.00"})
    await won(api, ae, "70.00")
    await api.call("PUT", "/v1/rates", {"currency": "EUR", "rates": {"JPY": "0.01"}})
    await api.call("PUT", f"/v1/forecasts/{PERIOD}/{ae}", {"commit": eur("5.00")}, actor=ae)
    return [
        f"/v1/reports/forecast?period={PERIOD}",
        f"/v1/reports/forecast/changes?period={PERIOD}&since=2031-W19",
    ]


async def test_the_forecast_and_its_changes_are_csv_svg_or_refused_as_the_header_asks(api: Api) -> None:
    addresses = await _filled(api)
    for address, (kind, start) in product(addresses, (("text/csv", "report,period"), ("image/svg+xml", "<svg "))):
        answer = await api.call("GET", address, headers={"Accept": kind})
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, kind)
        assert answer.headers["vary"] == "Accept"
        assert answer.text.startswith(start)
        if kind == "image/svg+xml":
            root = ElementTree.fromstring(answer.text)
            assert "EUR" in str(root[1].text), "the description says the amounts"
    for address in addresses:
        refused = await api.call("GET", address, headers={"Accept": "application/pdf"})
        assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")


async def test_the_rows_of_the_csv_have_the_amounts_of_the_json(api: Api) -> None:
    forecast_address, changes_address = await _filled(api)
    rows = await _csv(api, forecast_address)
    for group in (await api.get(forecast_address))["groups"]:
        for metric in group["metrics"]:
            mine = [one for one in rows if (one["key"], one["metric"]) == (group["key"] or "nobody", metric["name"])]
            found = {one["currency"]: Decimal(one["amount"]) for one in mine if one["amount"]}
            assert found == amounts(metric["amounts"])
            own = {one["currency"]: Decimal(one["own_amount"]) for one in mine if one["own_amount"]}
            assert own == amounts(metric["own"]["amounts"])
            assert [one["converted"] for one in mine if one["converted"]] == [metric["converted"]["value"]]
    assert any(one["metric"] == "gap" and one["amount"] == "-60.00" for one in rows), "a number, not a text"
    assert [one["amount"] for one in rows if one["metric"] == "judged_commit"] == ["5.00"]
    rows = await _csv(api, changes_address)
    for name in ("before", "difference", "after"):
        for category, listed in (await api.get(changes_address))[name].items():
            mine = [one for one in rows if (one["part"], one["category"]) == (name, category)]
            assert {one["currency"]: Decimal(one["amount"]) for one in mine} == amounts(listed)


async def _csv(api: Api, address: str) -> list[dict[str, str]]:
    answer = await api.call("GET", address, headers={"Accept": "text/csv"})
    return list(csv.DictReader(io.StringIO(answer.text)))


@pytest.mark.parametrize("between", [0, 1, 5])
async def test_a_second_quota_of_one_person_for_one_period_is_refused_and_named(api: Api, between: int) -> None:
    person, others = await api.user("ae"), [await api.user("ae") for _ in range(between)]

    def quota(user: str, value: str | None, period: str = PERIOD) -> dict[str, Any]:
        return {"period": period, "user_id": user, "amount": None if value is None else eur(value)}

    in_between = [quota(one, "7.00") for one in others]
    for first, second in (("1.00", "2.00"), ("1.00", "1.00"), ("1.00", None), (None, "1.00")):
        listed = [quota(person, first), *in_between, quota(person, second)]
        refused = await api.call("PUT", "/v1/quotas", {"quotas": listed})
        assert refused.status_code == 422
        [fault] = refused.json()["errors"]
        assert (fault["field"], fault["code"]) == (f"quotas.{between + 1}", "quota_repeated")
        assert (await api.get(f"/v1/quotas?period={PERIOD}"))["data"] == [], "nothing was set"
    listed = [quota(person, "1.00"), *in_between, quota(person, "2.00", "2031-05")]
    assert (await api.call("PUT", "/v1/quotas", {"quotas": listed})).status_code == 200
