"""Pictures of every report: names in place of ids, units, a title, and what is shown where nothing is counted."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.reports.chart import EMPTY, shortened, svg
from app.reports.names import distinct
from app.reports.table import REPORTS
from tests.api import Api
from tests.forecast.test_forecast import PERIOD, deal, set_clock
from tests.pipeline.test_forecast_members import patch
from tests.reports.steps import JANUARY, advance, day, go_to, hand_over
from tests.reports.test_funnel import begin

AN_ID = re.compile(r"\b[a-z]{2,3}_[0-9a-hjkmnp-tv-z]{26}\b")
# What each report says of the values that it shows, and of the end of its scale.
UNITS: dict[str, tuple[str, ...]] = {
    "funnel": (r"^100%$", r"^volume_mql$", r"^100\.0% \(2 of 2"),
    "velocity": (r"^0 to 0\.6 days$", r"^half within 0\.5 days$", r"^of 2, 1 still on the way$"),
    "wins": (r"^100%$", r"^100\.0% \(1 of 1"),
    "sources": (r"^100%$", r"^leads$|: leads$"),
    "feedback": (r"^100%$", r"^untouched$"),
    "cohorts": (r"^Cohort \(journeys\), week:$", r"^50%$"),
    "pipeline": (r"^1 opportunity, 100%, 1 day$", r"^1 opportunity \(1 of 1", r"^70\.00 EUR$"),
    "response": (r"^100%$", r"^met_response$"),
    "ageing": (r"^100%$", r"^mql:0-7$"),
    "rules": (r"^100%$", r"^rule:title$"),
    "ideal": (f"^{re.escape(EMPTY)}$",),
    "accounts": (r"^100%$", r"^several_people$"),
}
BY = {one.name: one.parameters.groups() for one in REPORTS}


async def drawn(api: Api, path: str, **parameters: Any) -> tuple[str, str, list[str]]:
    """The title and the description of a picture, and the texts that are seen in it."""
    answer = await api.call("GET", f"/v1/reports/{path}", params=parameters, headers={"Accept": "image/svg+xml"})
    assert answer.status_code == 200, answer.text
    root = ElementTree.fromstring(answer.text)
    texts = [one.text or "" for one in root.iter() if one.tag.endswith("}text")]
    assert texts[0] == root[0].text, "the title is seen"
    return root[0].text or "", root[1].text or "", texts


async def live(api: Api) -> str:
    """Two MQLs of one company, of whom one becomes a won deal, and an open deal; the id of who sold them."""
    sdr, ae = await begin(api)
    first, second = [await api.mql(email=f"{one}@nordsoft.example", company="Nordsoft") for one in ("ana", "ben")]
    assert (await api.call("PATCH", f"/v1/users/{ae}", {"name": "Andrei Ene"})).status_code == 200
    go_to(api, day(1, 21))
    opportunity = await hand_over(api, first, sdr, ae)
    yes = {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
    await advance(api, opportunity, "qualify", ae, bant=yes)
    await advance(api, opportunity, "win", ae)
    body = {"name": "Renewal", "owner_id": ae, "amount": {"value": "70.00", "currency": "EUR"}}
    await advance(api, (await api.post("/v1/opportunities", body))["id"], "qualify", ae, bant=yes)
    go_to(api, day(1, 22))
    await api.add_activity(second, "webinar")
    go_to(api, day(3))
    return ae


async def test_every_picture_has_a_title_and_its_units(pipeline_api: Api) -> None:
    await live(pipeline_api)
    assert set(UNITS) == set(BY)
    for name, patterns in UNITS.items():
        title, _, texts = await drawn(pipeline_api, name, **JANUARY)
        assert title == f"{name}, 2026-01-01 to 2026-02-01"
        missing = [one for one in patterns if not any(re.search(one, text) for text in texts)]
        assert missing == [], f"{name}: {texts}"


@pytest.mark.parametrize("name", [name for name, groups in BY.items() if {"owner", "account"} & set(groups)])
async def test_groups_of_people_and_accounts_have_their_names_as_of_the_instant(pipeline_api: Api, name: str) -> None:
    api = pipeline_api
    ae = await live(api)
    by = "account" if name == "accounts" else "owner"
    then = {**JANUARY, "by": by, "as_of": "2026-01-02T12:00:00Z"}
    before = await drawn(api, name, **then)
    assert not AN_ID.search(" ".join([before[1], *before[2]]))
    if by == "owner":
        assert (await api.call("PATCH", f"/v1/users/{ae}", {"name": "Andrei Popa"})).status_code == 200
        assert await drawn(api, name, **then) == before, "a picture of the past does not change"
        keys = [one["key"] for one in (await api.get(f"/v1/reports/{name}", params={**JANUARY, "by": by}))["groups"]]
        if ae in keys:
            assert "Andrei Ene" in before[1]
            assert "Andrei Popa" in (await drawn(api, name, **JANUARY, by=by))[1]
    else:
        assert "Nordsoft" in before[1]


async def test_the_forecast_and_its_changes_have_names_and_say_what_they_count(api: Api) -> None:
    set_clock(api, "04-20")
    boss = await api.user("manager", name="Helga Brandt")
    one, other = [await api.user("ae", name="Ana Pop", manager_id=boss) for _ in range(2)]
    for owner, amount in ((one, "50.00"), (other, "70.50"), (None, "1.00"), (other, None)):
        await deal(api, owner, amount, close_date="2031-06-01")
    title, told, texts = await drawn(api, "forecast", period=PERIOD)
    assert title == f"forecast {PERIOD}, 2031-04-01 to 2031-07-01"
    assert any("as long as its share of the largest amount in its currency" in text for text in texts)
    assert not AN_ID.search(told + "".join(texts))
    for pattern in (
        r"Helga Brandt: \w+: 120\.50 EUR \(3 opportunities\)",
        rf"Ana Pop …{one[-6:]}: \w+: 50\.00 EUR \(1 opportunity\)",
        rf"Ana Pop …{other[-6:]}: \w+: 70\.50 EUR \(2 opportunities\)",
        r"nobody: \w+: 1\.00 EUR \(1 opportunity\)",
    ):
        assert re.search(pattern, told), (pattern, told)
    await patch(api, (await deal(api, one, None, close_date="2031-06-01")), boss, forecast_category="commit")
    assert "no amount (1 opportunity)" in (await drawn(api, "forecast", period=PERIOD))[1]


async def test_where_nothing_is_counted_a_picture_says_so(api: Api) -> None:
    go_to(api, day(3))
    for name, groups in BY.items():
        group = "account" if groups == ("account",) else "owner"
        _, told, texts = await drawn(api, name, **JANUARY, by=group)
        assert (told, texts[2]) == ("no data", EMPTY)
    _, told, texts = await drawn(api, "forecast", period="2026-Q1")
    assert (told, texts[2]) == ("no data", EMPTY)


NAMES = st.text("ab :…", max_size=60)


@given(key=st.none() | NAMES, name=NAMES, most=st.integers(12, 60))
def test_a_label_is_short_and_keeps_the_metric_where_there_is_room(key: str | None, name: str, most: int) -> None:
    label = shortened(key, name, most)
    assert len(label) <= most
    whole = name if key is None else f"{key}: {name}"
    assert label == whole or "…" in label
    if len(name) + 10 <= most:
        assert label.endswith(name)
    if len(whole) <= most:
        assert label == whole


@given(st.dictionaries(st.text("xyz", min_size=8, max_size=8), st.sampled_from(("Ana", "Ben", "")), max_size=6))
def test_a_name_of_several_is_told_with_the_end_of_the_key(names: dict[str, str]) -> None:
    shown = distinct(names)
    assert list(shown) == list(names)
    for key, name in names.items():
        alone = list(names.values()).count(name) == 1
        assert shown[key] == (name if alone else f"{name} …{key[-6:]}")


@given(st.lists(st.floats(0, 10**6) | st.none(), min_size=1, max_size=5), st.booleans())
def test_the_scale_ends_with_the_longest_bar(values: list[float | None], are_days: bool) -> None:
    more = {"median_days": None} if are_days else {}
    metrics = [
        {"name": "m", "value": one, "band": None, "in_band": None, "numerator": 1, "denominator": 1, "mature": True}
        | more
        for one in values
    ]
    root = ElementTree.fromstring(
        svg({"report": "r", "from": "a", "to": "b", "as_of": "c", "groups": [{"key": None, "metrics": metrics}]})
    )
    [end] = [one.text for one in root.iter() if one.get("text-anchor") == "end"]
    longest = max([1, *(one for one in values if one is not None)])
    assert end is not None
    if are_days:
        assert end == f"{longest:g} {'day' if longest == 1 else 'days'}"
    else:
        assert end == (f"{longest:.1%}" if longest % 1 else f"{longest:.0%}")
    lengths = [float(one.attrib["width"]) for one in root.iter() if one.get("class") == "bar"]
    assert max(lengths, default=0) <= 300.05
