"""The funnel counts journeys by the cohort of their first milestone, as of an instant, and shows every one of them."""

from __future__ import annotations

import csv
import io
import unicodedata
import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from tests.api import Api
from tests.reports.steps import JANUARY, THREE, day, evidence, fraction, go_to, hand_over, metric, report

EARLIER: dict[str, Any] = {"from": "2025-01-01", "to": "2025-02-01"}


async def begin(api: Api) -> tuple[str, str]:
    """An SDR and an AE, on the first of January."""
    users = await api.user("sdr"), await api.user("ae")
    go_to(api, day(1))
    return users


async def test_a_rate_counts_distinct_journeys_within_the_horizon(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await begin(api)
    early, late, never = [await api.mql(company=f"Company {n}", website=f"https://n{n}.example") for n in range(3)]
    go_to(api, day(10))
    await hand_over(api, early, sdr, ae)
    go_to(api, day(41))
    await hand_over(api, late, sdr, ae)
    found = await report(api, "funnel")
    rate = metric(found, "mql_to_srl")
    assert (rate["numerator"], rate["denominator"], rate["value"], rate["horizon_days"]) == (1, 3, 0.3333, 30)
    assert (rate["mature"], rate["band"], rate["in_band"]) == (True, {"low": 0.2, "high": 0.4}, True)
    assert fraction(await report(api, "funnel", horizon=60), "mql_to_srl") == (2, 3)
    rows = await evidence(api, "funnel", "mql_to_srl", limit=1)
    assert {row["lead_id"]: row["counted"] for row in rows} == {
        early["id"]: True,
        late["id"]: False,
        never["id"]: False,
    }
    assert metric(await report(api, "funnel", as_of="2026-01-05T00:00:00Z"), "mql_to_srl")["mature"] is False
    empty = metric(await report(api, "funnel", **EARLIER), "mql_to_srl")
    assert (empty["value"], empty["denominator"], empty["in_band"]) == (None, 0, None)


async def test_skipped_milestones_are_left_out_on_request(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await begin(api)
    await hand_over(api, await api.mql(company="Nordsoft", website="https://n.example"), sdr, ae)
    assert fraction(await report(api, "funnel"), "mql_to_sal") == (1, 1)
    assert fraction(await report(api, "funnel", skipped="exclude"), "mql_to_sal") == (0, 1)
    assert fraction(await report(api, "funnel", skipped="exclude"), "mql_to_srl") == (1, 1)


async def test_a_correction_voids_a_milestone_from_then_on(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await begin(api)
    manager = await api.user("manager")
    lead = await api.mql()
    await api.ask(lead, "accept", sdr)
    assert (await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)).status_code == 201
    assert fraction(await report(api, "funnel"), "sal_to_srl") == (1, 1)
    go_to(api, day(2))
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]
    corrected = await api.ask(
        lead, "correct", manager, to="sal", correction_of=last["id"], reason_code="mistake", note="too early"
    )
    assert corrected.status_code == 201, corrected.text
    assert fraction(await report(api, "funnel"), "sal_to_srl") == (0, 1)
    assert fraction(await report(api, "funnel", as_of="2026-01-01T12:00:00Z"), "sal_to_srl") == (1, 1)


GROUPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "country": ({"country": "RO"}, {"country": "DE"}),
    "industry": ({"industry": "software"}, {"industry": "retail"}),
}


@pytest.mark.parametrize("by", GROUPS)
async def test_a_group_is_that_of_the_instant_whatever_was_changed_since(api: Api, by: str) -> None:
    await begin(api)
    before, after = GROUPS[by]
    lead = await api.mql(**{k: v for k, v in before.items() if k != "industry"})
    await api.mql()
    go_to(api, day(2))
    parameters: dict[str, Any] = {"by": by, "as_of": "2026-01-01T12:00:00Z"}
    then = await report(api, "funnel", **parameters)
    assert fraction(then, "mql_to_sal", before[by]) == (0, 1 if by == "country" else 2)
    go_to(api, day(3))
    changed = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": after})
    assert changed.status_code == 200, changed.text
    assert await report(api, "funnel", **parameters) == then
    assert fraction(await report(api, "funnel", by=by), "mql_to_sal", after[by]) == (0, 1)
    [row] = await evidence(api, "funnel", "mql_to_sal", by=by, key=after[by])
    assert row["lead_id"] == lead["id"]


@pytest.mark.parametrize(
    "by",
    ["source", "medium", "campaign", "owner", "team", "country", "industry", "business", "temperature", "first_stage"],
)
async def test_the_groups_of_each_kind_have_the_evidence_that_they_count(api: Api, by: str) -> None:
    sdr, _ = await begin(api)
    for n in range(3):
        lead = await api.mql(**({"country": "RO"} if n else {}))
        await api.ask(lead, "accept", sdr)
    found = await report(api, "funnel", by=by)
    assert sum(fraction(found, "mql_to_sal", group["key"])[1] for group in found["groups"]) == 3
    for group in found["groups"]:
        given = {} if group["key"] is None else {"key": group["key"]}
        rows = await evidence(api, "funnel", "mql_to_sal", by=by, **given)
        numerator, denominator = fraction(found, "mql_to_sal", group["key"])
        assert (sum(row["counted"] for row in rows), len(rows)) == (numerator, denominator)
    if by == "owner":
        assert [group["key"] for group in found["groups"]] == [sdr]


async def test_a_merged_person_counts_once_from_the_merge_on_and_as_two_before(api: Api) -> None:
    await begin(api)
    manager = await api.user("manager")
    one, other = await api.mql(), await api.mql()
    go_to(api, day(2, hour=1))
    parameters: dict[str, Any] = {"as_of": "2026-01-01T12:00:00Z"}
    then, rows = await report(api, "funnel", **parameters), await evidence(api, "funnel", "mql_to_sal", **parameters)
    assert fraction(then, "mql_to_sal") == (0, 2)
    go_to(api, day(2))
    await api.post(f"/v1/leads/{one['id']}/merge", {"into": other["id"]}, status=200, actor=manager)
    assert fraction(await report(api, "funnel"), "mql_to_sal") == (0, 1)
    assert await report(api, "funnel", **parameters) == then
    assert await evidence(api, "funnel", "mql_to_sal", **parameters) == rows
    go_to(api, day(3))
    await api.post(f"/v1/leads/{one['id']}/unmerge", None, status=200, actor=manager)
    assert fraction(await report(api, "funnel"), "mql_to_sal") == (0, 2)
    assert fraction(await report(api, "funnel", as_of="2026-01-02T12:00:00Z"), "mql_to_sal") == (0, 1)
    assert await evidence(api, "funnel", "mql_to_sal", **parameters) == rows


async def test_days_are_those_of_the_time_zone_that_the_tenant_had_then(api: Api) -> None:
    await begin(api)
    go_to(api, day(31, hour=23))
    await api.mql()  # 1 February in Bucharest
    go_to(api, day(40))
    then: dict[str, Any] = {"as_of": "2026-02-02T00:00:00Z"}
    assert fraction(await report(api, "funnel", **then), "mql_to_sal") == (0, 1)
    answer = await api.call("PUT", "/v1/calendar", {"time_zone": "Europe/Bucharest"})
    assert answer.status_code == 200
    assert fraction(await report(api, "funnel"), "mql_to_sal") == (0, 0)
    assert fraction(await report(api, "funnel", **then), "mql_to_sal") == (0, 1)


async def test_bands_are_the_policys_until_the_tenant_sets_its_own(api: Api) -> None:
    await begin(api)
    await api.mql()
    before: dict[str, Any] = {"as_of": "2026-01-01T12:00:00Z"}
    assert metric(await report(api, "funnel"), "mql_to_sal")["band"] == {"low": 0.5, "high": 0.9}
    assert metric(await report(api, "funnel"), "sql_to_won:existing")["band"] == {"low": 0.75, "high": 1.0}
    go_to(api, day(2))
    own = {"bands": [{"from": "mql", "to": "sal", "low": 0, "high": 0.4}]}
    shown = await api.call("PUT", "/v1/reports/bands", own)
    assert shown.status_code == 200, shown.text
    assert {"from": "mql", "to": "sal", "business": None, "low": 0.0, "high": 0.4} in shown.json()["bands"]
    assert (await api.get("/v1/reports/bands")) == shown.json()
    found = metric(await report(api, "funnel"), "mql_to_sal")
    assert (found["band"], found["value"], found["in_band"]) == ({"low": 0.0, "high": 0.4}, 0.0, True)
    assert metric(await report(api, "funnel", **before), "mql_to_sal")["band"] == {"low": 0.5, "high": 0.9}


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"from": "2026-02-01"}, "from"),
    ({"from": "2026-03-01", "to": "2026-02-01"}, "from"),
    ({"from": "2026-01-03", "as_of": "2026-01-02T00:00:00Z"}, "from"),
    ({"from": "2020-01-01"}, "to"),
    ({"from": "yesterday"}, "from"),
    ({"to": "2026-13-01"}, "to"),
    ({"as_of": "2026-01-20"}, "as_of"),
    ({"as_of": "2099-01-01T00:00:00Z"}, "as_of"),
    ({"by": "colour"}, "by"),
    ({"horizon": "0"}, "horizon"),
    ({"horizon": "x"}, "horizon"),
    ({"skipped": "maybe"}, "skipped"),
    ({"touch": "first"}, "touch"),
]


@pytest.mark.parametrize(("parameters", "named"), REFUSED)
async def test_what_cannot_be_asked_for_is_refused_and_named(api: Api, parameters: dict[str, Any], named: str) -> None:
    go_to(api, day(40))
    for path, more in (("funnel", {}), ("funnel/evidence", {"metric": "mql_to_sal"})):
        refused = await report(api, path, expect=422, **parameters, **more)
        assert [fault["field"] for fault in refused["errors"]] == [named], refused


async def test_an_unknown_metric_is_refused_with_those_that_there_are(api: Api) -> None:
    go_to(api, day(40))
    refused = await report(api, "funnel/evidence", expect=422, metric="mql_to_srl")
    assert (refused["errors"][0]["field"], refused["errors"][0]["code"]) == ("metric", "metric_unknown")
    assert "mql_to_sal" in refused["detail"]


async def test_a_cursor_of_other_evidence_is_refused(api: Api) -> None:
    await begin(api)
    for _ in range(2):
        await api.mql()
    first = await report(api, "funnel/evidence", metric="mql_to_sal", limit=1)
    for cursor, metric_ in ((first["next"], "sal_to_sql"), ("nonsense", "mql_to_sal")):
        refused = await report(api, "funnel/evidence", expect=422, metric=metric_, cursor=cursor)
        assert refused["code"] == "cursor_invalid"


async def test_a_key_without_the_scope_reads_no_report(api: Api) -> None:
    made = await api.post("/v1/keys", {"name": "reader", "scopes": ["leads:read"]})
    for path in ("funnel", "funnel/evidence?metric=mql_to_sal", "bands"):
        answer = await api.call("GET", f"/v1/reports/{path}", key=made["secret"], params=None if "?" in path else {})
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), path
    allowed = await api.post("/v1/keys", {"name": "reports", "scopes": ["reports:read"]})
    go_to(api, day(40))
    answer = await api.call("GET", "/v1/reports/funnel", key=allowed["secret"], params=JANUARY)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "country", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x", 'a","b']
)
async def test_no_cell_of_a_csv_is_a_formula(api: Api, country: str) -> None:
    await begin(api)
    lead = await api.mql()
    capture = {"fields": {"email": lead["fields"]["email"]}, "attribution": {"campaign": country}}
    await api.call("POST", "/v1/leads", capture)
    answer = await api.call(
        "GET", "/v1/reports/funnel", params={**JANUARY, "by": "campaign"}, headers={"Accept": "text/csv"}
    )
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert rows[0]["report"] == "funnel"
    for cell in (cell for row in rows for cell in row.values()):
        assert not unicodedata.normalize("NFKC", cell).lstrip("\t\r\n").startswith(("=", "+", "-", "@")), cell
    assert country in {row["key"].removeprefix("'") for row in rows}


async def test_a_picture_has_a_title_a_description_and_colours_for_the_dark(api: Api) -> None:
    await begin(api)
    await api.mql(country="RO")
    answer = await api.call(
        "GET", "/v1/reports/funnel", params={**JANUARY, "by": "country"}, headers={"Accept": "image/svg+xml"}
    )
    assert answer.headers["content-type"] == "image/svg+xml"
    root = ElementTree.fromstring(answer.text)
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("role") == "img"
    assert "funnel" in (root.findtext(f"{space}title") or "")
    assert "RO: mql_to_sal: 0.0% (0 of 1" in (root.findtext(f"{space}desc") or "")
    assert "prefers-color-scheme:dark" in (root.findtext(f"{space}style") or "")
    refused = await api.call("GET", "/v1/reports/funnel", params=JANUARY, headers={"Accept": "text/html"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
