"""Query parameters: unknown ones are refused on every route, and so are filters that can match nothing."""

import pytest

from app.policy.shipped import shipped
from tests.api import Api
from tests.contract.contract import AUTHENTICATED
from tests.contract.world import create_one_of_each

EARLIER, LATER = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
MISSPELT = ("foo", "Limit", "stage[]", "limit ", "\u202e", "x" * 3000)


async def test_an_unknown_parameter_is_refused_on_every_route_and_named(api: Api) -> None:
    for operation in AUTHENTICATED:
        answer = await api.call(operation.method, operation.at(), params={"foo": "bar"})
        [fault] = answer.json()["errors"]
        assert (answer.status_code, fault["field"], fault["code"]) == (422, "foo", "parameter_unknown"), str(operation)
        assert all(name in fault["detail"] for name in operation.queries), str(operation)


@pytest.mark.parametrize("name", MISSPELT)
@pytest.mark.parametrize("path", ["/v1/leads", "/v1/events", "/v1/me"])
async def test_a_misspelt_parameter_does_not_answer_with_everything(api: Api, path: str, name: str) -> None:
    answer = await api.call("GET", path, params={name: "1"})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "parameter_unknown")


async def test_a_parameter_of_one_value_is_given_once(api: Api) -> None:
    for operation in AUTHENTICATED:
        for name in operation.queries:
            answer = await api.call(operation.method, operation.at(), params=[(name, "1"), (name, "2")])
            codes = {(fault["field"], fault["code"]) for fault in answer.json()["errors"]}
            assert ((name, "parameter_repeated") in codes) == (name not in ("types", "consent")), (
                str(operation),
                name,
                answer.text,
            )


async def test_the_key_is_checked_before_the_parameters(api: Api) -> None:
    for path in ("/v1/leads?foo=bar", "/v1/events?foo=bar"):
        assert (await api.client.get(path)).status_code == 401


async def test_ingest_pages_and_health_take_any_parameter(api: Api) -> None:
    source = await api.post("/v1/sources", {"name": "form", "preset": "generic"})
    sent = await api.client.post(f"/v1/ingest/{source['key']}?utm_source=x", json={"email": "a@nordsoft.ro"})
    assert sent.status_code == 202
    for path in ("/", "/docs", "/healthz", "/readyz"):
        assert (await api.client.get(f"{path}?cache=off")).status_code == 200


@pytest.mark.parametrize("stage", ["mqql", "MQL", "", "won", "mql ", "'; DROP TABLE leads; --"])
async def test_a_stage_that_no_policy_has_is_refused_with_the_stages_there_are(api: Api, stage: str) -> None:
    answer = await api.call("GET", "/v1/leads", params={"stage": stage})
    [fault] = answer.json()["errors"]
    assert (answer.status_code, fault["field"], fault["code"]) == (422, "stage", "stage_unknown")
    for name in shipped("waterfall").stage_of:
        assert name in fault["detail"]


async def test_a_stage_of_an_earlier_policy_still_filters(api: Api) -> None:
    for name in ("waterfall", "pipeline"):
        await api.publish(shipped(name))
    for name in ("waterfall", "pipeline"):
        for stage in shipped(name).stage_of:
            await api.get(f"/v1/leads?stage={stage}")
        for deal in shipped(name).opportunity.stage_of:
            await api.get(f"/v1/opportunities?stage={deal}")


async def test_a_stage_of_another_tenants_policy_is_unknown(api: Api, pipeline_api: Api) -> None:
    other = set(shipped("pipeline").stage_of) - set(shipped("waterfall").stage_of)
    for stage in other:
        assert (await api.call("GET", f"/v1/leads?stage={stage}")).status_code == 422
        assert (await pipeline_api.call("GET", f"/v1/leads?stage={stage}")).status_code == 200


@pytest.mark.parametrize(
    ("path", "field", "told"),
    [
        ("/v1/leads?temperature=lukewarm", "temperature", "'hot', 'warm' or 'cold'"),
        ("/v1/leads?owner_id=usr_me", "owner_id", "usr_"),
        ("/v1/leads?account_id=lead_01kj7jrys5fgynx40zc4zks2gf", "account_id", "acc_"),
        ("/v1/leads?source=form", "source", "src_"),
        ("/v1/leads?email=anna", "email", "email"),
        ("/v1/leads?phone=abc", "phone", "phone"),
        ("/v1/leads?external_id=4711", "external_id", "namespace:value"),
        ("/v1/leads?campaign=", "campaign", "the minimum length is 1"),
        ("/v1/leads?created_after=yesterday", "created_after", "like 2026-08-17T09:00:00Z"),
        ("/v1/leads?created_before=2026-08-17", "created_before", "like 2026-08-17T09:00:00Z"),
        ("/v1/leads?updated_before=1787000000", "updated_before", "like 2026-08-17T09:00:00Z"),
        ("/v1/leads?sort=name", "sort", "'created_at'"),
        ("/v1/submissions?state=done", "state", "'quarantined'"),
        ("/v1/accounts?domain=nordsoft", "domain", "such as example.com"),
        ("/v1/accounts?archived=perhaps", "archived", "true or false"),
        ("/v1/contacts?email=anna", "email", "such as anna@example.com"),
        ("/v1/opportunities?stage=mql", "stage", "unqualified"),
        ("/v1/opportunities?class=hot", "class", "'won'"),
        ("/v1/opportunities?business=old", "business", "'existing'"),
        ("/v1/users?role=boss", "role", "'manager'"),
        ("/v1/users?active=maybe", "active", "true or false"),
        ("/v1/events?types=lead.nonsense", "types", "lead.captured"),
        ("/v1/events?types=leads.*", "types", "lead.captured"),
        ("/v1/events?lead_id=anna", "lead_id", "lead_"),
        ("/v1/audit?subject=x", "subject", "key_…, lead_…"),
        ("/v1/audit?subject=con_01kj7jrys5fgynx40zc4zks2gf", "subject", "lead_…"),
        ("/v1/audit?subject=", "subject", "like key_"),
        ("/v1/audit?actor=anna", "actor", "usr_… or key_…"),
        ("/v1/audit?actor=lead_01kj7jrys5fgynx40zc4zks2gf", "actor", "like usr_"),
        ("/v1/audit?act=key.creatd", "act", "'key.created'"),
        (f"/v1/audit?from={LATER}&to={EARLIER}", "to", "later than `from`"),
        (f"/v1/audit?from={LATER}&to={LATER}", "to", "later than `from`"),
        (f"/v1/leads?created_after={LATER}&created_before={EARLIER}", "created_before", "`created_after`"),
        (f"/v1/leads?updated_after={LATER}&updated_before={LATER}", "updated_before", "`updated_after`"),
        ("/v1/submissions?source_id=form", "source_id", "src_"),
        ("/v1/duplicates?state=closed", "state", "'open'"),
        ("/v1/duplicates?lead_id=anna", "lead_id", "lead_"),
        ("/v1/subscriptions?state=dead", "state", "'failing'"),
        ("/v1/quotas?period=autumn", "period", "2026-Q4"),
    ],
)
async def test_a_filter_that_can_match_nothing_is_refused_with_what_there_is(
    api: Api, path: str, field: str, told: str
) -> None:
    answer = await api.call("GET", path)
    assert answer.status_code == 422, answer.text
    fault = answer.json()["errors"][0]
    assert fault["field"].partition(".")[0] == field
    assert told in fault["detail"], fault


async def test_a_subject_that_the_log_may_tell_of_is_taken(api: Api) -> None:
    await create_one_of_each(api)
    subjects = {row["subject"] for row in (await api.get("/v1/audit?limit=200"))["data"]} | {"person"}
    for subject in subjects:
        await api.get(f"/v1/audit?subject={subject}")


async def test_dead_deliveries_of_no_time_are_refused(api: Api) -> None:
    ids = await create_one_of_each(api)
    path = f"/v1/subscriptions/{ids['subscription_id']}/deliveries"
    for answer in (
        await api.call("GET", f"{path}?from={LATER}&to={EARLIER}"),
        await api.call("POST", f"{path}/retry", {"from": LATER, "to": EARLIER}),
        await api.call("POST", f"{path}/discard", {"from": LATER, "to": LATER}),
    ):
        [fault] = answer.json()["errors"]
        assert (answer.status_code, fault["field"], fault["code"]) == (422, "to", "window_empty")


async def test_the_state_of_deliveries_is_one_of_three(api: Api) -> None:
    ids = await create_one_of_each(api)
    answer = await api.call("GET", f"/v1/subscriptions/{ids['subscription_id']}/deliveries?state=lost")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "state")
