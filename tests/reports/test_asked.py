"""What can be asked of reports: bands of rates that there are, groups by name, and addresses that stay the same."""

from __future__ import annotations

from typing import Any

import pytest

from app import ids
from app.forecast.snapshot import take_snapshots
from app.policy.shipped import shipped
from app.reports.funnel import pairs_of
from app.reports.table import REPORTS
from tests.api import Api
from tests.reports.steps import JANUARY, day, go_to, report
from tests.stories.test_reports_of_the_past import METRICS

POLICIES = ("waterfall", "pipeline")
NAMES = ["suspect", "mql", "sal", "srl", "sql", "won", "lost", "closed"]


async def put_band(api: Api, start: str, to: str, **members: Any) -> Any:
    band = {"from": start, "to": to, "low": 0.1, "high": 0.2, **members}
    return await api.call("PUT", "/v1/reports/bands", {"bands": [band]})


async def a_metric(api: Api, name: str) -> str:
    """The name of a metric of the report, also of one that names its metrics by what it finds."""
    metrics = [metric for group in (await report(api, name))["groups"] for metric in group["metrics"]]
    return str(metrics[0]["name"]) if metrics else METRICS[name]


@pytest.mark.parametrize("policy", POLICIES)
async def test_a_band_is_one_of_a_rate_that_a_report_has_and_others_are_refused_with_those_that_there_are(
    api: Api, pipeline_api: Api, policy: str
) -> None:
    of_policy = {"waterfall": api, "pipeline": pipeline_api}[policy]
    pairs = {*pairs_of(shipped(policy)), ("mql", "srl"), ("srl", "sql"), ("sql", "won")}
    known = {name for pair in pairs for name in pair}
    for start in NAMES:
        for to in NAMES:
            answer = await put_band(of_policy, start, to)
            if (start, to) in pairs:
                assert answer.status_code == 200, answer.text
                continue
            assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
            [fault] = answer.json()["errors"]
            unknown = [name for name in (start, to) if name not in known]
            if unknown:
                place = "from" if start == unknown[0] else "to"
                assert (fault["field"], fault["code"]) == (f"bands.0.{place}", "milestone_unknown")
                assert all(name in fault["detail"] for name in known)
            else:
                assert (fault["field"], fault["code"]) == ("bands.0", "rate_unknown")
                assert all(f"{one} to {other}" in fault["detail"] for one, other in pairs)


@pytest.mark.parametrize("policy", POLICIES)
async def test_the_bands_that_are_shown_meet_a_number_and_can_be_set_again(
    api: Api, pipeline_api: Api, policy: str
) -> None:
    of_policy = {"waterfall": api, "pipeline": pipeline_api}[policy]
    go_to(of_policy, day(20))
    shown = await of_policy.get("/v1/reports/bands")
    again = await of_policy.call("PUT", "/v1/reports/bands", shown)
    assert (again.status_code, again.json()) == (200, shown)
    metrics = (await report(of_policy, "funnel"))["groups"][0]["metrics"]
    for band in shown["bands"]:
        members = ("from", "to", "business")
        found = [one for one in metrics if all(one[name] == band[name] for name in members)]
        assert {"low": band["low"], "high": band["high"]} in [one["band"] for one in found], band


async def test_a_band_of_a_rate_that_the_policy_lacks_is_kept_and_not_shown(api: Api) -> None:
    assert (await put_band(api, "mql", "srl")).status_code == 200
    assert not any("srl" in (band["from"], band["to"]) for band in (await api.get("/v1/reports/bands"))["bands"])
    await api.publish(shipped("pipeline"))
    shown = {
        (band["from"], band["to"]): (band["low"], band["high"])
        for band in (await api.get("/v1/reports/bands"))["bands"]
    }
    assert shown["mql", "srl"] == (0.1, 0.2)


@pytest.mark.parametrize("policy", POLICIES)
async def test_no_number_but_a_rate_has_a_band(api: Api, pipeline_api: Api, policy: str) -> None:
    of_policy = {"waterfall": api, "pipeline": pipeline_api}[policy]
    go_to(of_policy, day(20))
    for one in REPORTS:
        groups = (await report(of_policy, one.name))["groups"]
        for metric in (metric for group in groups for metric in group["metrics"]):
            is_rate = one.name in ("funnel", "wins") and not metric["name"].startswith("volume_")
            assert is_rate or metric["band"] is metric["in_band"] is None, metric["name"]


@pytest.mark.parametrize("name", [one.name for one in REPORTS])
async def test_a_report_asked_for_now_and_as_of_now_is_the_same_to_the_last_byte(api: Api, name: str) -> None:
    go_to(api, day(20))
    await api.mql()
    by = next(one.parameters.groups()[-1] for one in REPORTS if one.name == name)
    for more in ("", f"&by={by}"):
        first = await api.call("GET", f"/v1/reports/{name}?from=2026-01-01&to=2026-02-01{more}")
        as_of = first.json()["as_of"].replace(":", "%3A")
        for query in (f"as_of={as_of}&from=2026-01-01&to=2026-02-01", f"from=2026-01-01&to=2026-02-01&as_of={as_of}"):
            again = await api.call("GET", f"/v1/reports/{name}?{query}{more}")
            assert again.content == first.content
        assert first.json()["evidence_url"].endswith(f"as_of={as_of}")
    metric = await a_metric(api, name)
    status = 422 if name == "ideal" else 200  # without deals it has no metric
    assert (await api.call("GET", f"{first.json()['evidence_url']}&metric={metric}")).status_code == status


@pytest.mark.parametrize("name", [one.name for one in REPORTS if one.parameters.by is None])
@pytest.mark.parametrize("key", ["", "RO", "new"])
async def test_a_key_without_groups_is_refused_with_the_groups_that_there_are(api: Api, name: str, key: str) -> None:
    go_to(api, day(20))
    metric = await a_metric(api, name)
    refused = await report(api, f"{name}/evidence", expect=422, metric=metric, key=key)
    [fault] = refused["errors"]
    assert (fault["field"], fault["code"]) == ("key", "key_without_group")
    assert all(by in fault["detail"] for one in REPORTS if one.name == name for by in one.parameters.groups())


KEYS = {
    "business": ("new", "existing"),
    "temperature": ("hot", "warm", "cold"),
    "origin": ("lead", "none"),
    "owner": (ids.show("user", ids.new_id()),),
    "account": (ids.show("account", ids.new_id()),),
}


@pytest.mark.parametrize("name", [one.name for one in REPORTS])
async def test_a_key_that_no_group_can_have_is_refused_and_one_without_rows_is_not(api: Api, name: str) -> None:
    go_to(api, day(20))
    metric = await a_metric(api, name)
    groups = next(one.parameters.groups() for one in REPORTS if one.name == name)
    for by, keys in KEYS.items():
        if by not in groups:
            continue
        for key in keys:
            if name == "ideal":  # without deals it has no metric
                continue
            found = await report(api, f"{name}/evidence", metric=metric, by=by, key=key)
            assert found == {"data": [], "next": None}
        for key in ("", "nobody", keys[0].upper(), f"{keys[0]} ", f"lead_{keys[0]}"):
            refused = await report(api, f"{name}/evidence", expect=422, metric=metric, by=by, key=key)
            [fault] = refused["errors"]
            assert (fault["field"], fault["code"]) == ("key", "key_unknown"), (by, key)
            assert all(one in fault["detail"] for one in keys if by in ("business", "temperature", "origin"))


@pytest.mark.parametrize("name", [one.name for one in REPORTS])
async def test_a_report_names_the_policy_by_which_it_counts_also_before_the_first_activation(
    api: Api, name: str
) -> None:
    """The window is over before there was a policy; the last instant of it, now, and after another activation."""
    active = (await api.get("/v1/policies/active"))["number"]
    assert (await report(api, name))["policy_versions"] == [active]
    assert (await report(api, name, as_of="2026-01-20T00:00:00Z"))["policy_versions"] == [active]
    await api.publish(shipped("pipeline"))
    again = await report(api, name, as_of="2026-01-20T00:00:00Z")
    assert again["policy_versions"] == [active]


# A request for each report and its evidence that is answered but for the parameter that is asked for in vain.
NEEDED = {**JANUARY, "metric": "commit", "period": "2026-Q1", "since": "2026-W04", "part": "won"}
NAMES_OF = {"metric", "milestone", "period", "since", "until", "part"}  # not enumerated by the description of the API


def enumerated(parameter: dict[str, Any]) -> list[str]:
    """The values that the description of the API lists for a parameter."""
    schema = parameter["schema"]
    of = [schema, *schema.get("anyOf", ())]
    return [str(value) for one in of for value in (*one.get("enum", ()), *([one["const"]] if "const" in one else ()))]


@pytest.mark.parametrize("value", ["nonsense", "SOURCE", "source ", ""])
async def test_every_report_refuses_an_unknown_value_of_what_it_can_be_asked_and_names_the_parameter_and_what_there_is(
    api: Api, value: str
) -> None:
    go_to(api, day(20))
    await take_snapshots(api.app.state.engine, api.now)
    asked: dict[str, set[str]] = {}
    paths = {path: one["get"] for path, one in api.app.openapi()["paths"].items() if path.startswith("/v1/reports/")}
    for path, operation in paths.items():
        listed = {one["name"]: one for one in operation.get("parameters", ()) if one["in"] == "query"}
        for name, parameter in listed.items():
            known = enumerated(parameter)
            if not known and name not in NAMES_OF:
                continue
            given = {one: NEEDED[one] for one, of in listed.items() if of.get("required") and one in NEEDED}
            answer = await api.call("GET", path, params={**given, name: value})
            assert answer.status_code == 422, (path, name, answer.text)
            [fault] = [one for one in answer.json()["errors"] if one["field"] == name]
            assert all(one in fault["detail"] for one in known), (path, fault)
            asked.setdefault(name, set()).add(path)
    assert {one.name for one in REPORTS} <= {path.split("/")[3] for path in asked["by"]}
    assert {one.name for one in REPORTS} | {"forecast"} <= {path.split("/")[3] for path in asked["metric"]}
    assert asked.keys() == {"by", "touch", "per", "skipped", "origin"} | NAMES_OF
