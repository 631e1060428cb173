"""Every route declares the scope it needs, and a key without that scope is refused."""

from app.reports.table import REPORTS as ROWS
from app.web.auth import SCOPES
from tests.api import Api
from tests.contract.contract import ALL, AUTHENTICATED

READ, WRITE, REPORTS = "leads:read", "leads:write", "reports:read"
# The scopes of api.md, section 2. Add every new route here.
TABLE = {
    "/healthz": {"GET": None},
    "/readyz": {"GET": None},
    "/v1/ingest/{source_key}": {"POST": None, "GET": None},
    "/v1/audit": {"GET": "admin"},
    "/v1/sources": {"POST": "admin", "GET": READ},
    "/v1/sources/{source_id}": {"GET": READ, "PATCH": "admin", "DELETE": "admin"},
    "/v1/sources/{source_id}/dry-run": {"POST": READ},
    "/v1/sources/{source_id}/replay": {"POST": WRITE},
    "/v1/sources/{source_id}/volume": {"GET": READ},
    "/v1/presets": {"GET": READ},
    "/v1/presets/{name}": {"GET": READ},
    "/v1/confirm/{token}": {"GET": None},
    "/v1/withdraw/{token}": {"GET": None, "POST": None},
    "/v1/leads/{lead_id}/withdrawal-links": {"POST": WRITE},
    "/v1/submissions": {"GET": READ},
    "/v1/submissions/{submission_id}": {"GET": READ},
    "/v1/submissions/{submission_id}/raw": {"GET": READ},
    "/v1/submissions/{submission_id}/replay": {"POST": WRITE},
    "/v1/submissions/{submission_id}/verdict": {"POST": WRITE},
    "/v1/leads/{lead_id}/export": {"GET": "privacy"},
    "/v1/exports": {"POST": "privacy"},
    "/v1/imports": {"POST": WRITE, "GET": READ},
    "/v1/imports/{import_id}": {"GET": READ},
    "/v1/imports/{import_id}/rows": {"GET": READ},
    "/v1/imports/{import_id}/errors": {"GET": READ},
    "/v1/imports/{import_id}/cancel": {"POST": WRITE},
    "/v1/leads": {"POST": WRITE, "GET": READ},
    "/v1/leads/{lead_id}": {"GET": READ, "PATCH": WRITE},
    "/v1/leads/{lead_id}/activities": {"POST": WRITE, "GET": READ},
    "/v1/leads/{lead_id}/bant": {"PUT": WRITE, "GET": READ},
    "/v1/leads/{lead_id}/exception": {"PUT": WRITE, "DELETE": WRITE},
    "/v1/leads/{lead_id}/consents": {"PUT": "privacy", "GET": READ},
    "/v1/leads/{lead_id}/events": {"GET": READ},
    "/v1/leads/{lead_id}/fields": {"GET": READ},
    "/v1/leads/{lead_id}/transitions": {"POST": WRITE, "GET": READ},
    "/v1/leads/{lead_id}/score": {"GET": READ},
    "/v1/leads/{lead_id}/assignment": {"GET": READ},
    "/v1/leads/{lead_id}/journeys": {"GET": READ},
    "/v1/leads/{lead_id}/timeline": {"GET": READ},
    "/v1/leads/{lead_id}/clocks": {"GET": READ},
    "/v1/leads/{lead_id}/qualifications": {"GET": READ},
    "/v1/leads/{lead_id}/eligibility": {"GET": READ},
    "/v1/leads/{lead_id}/likelihood": {"GET": READ},
    "/v1/leads/{lead_id}/erasure": {"POST": "privacy", "GET": "privacy"},
    "/v1/leads/{lead_id}/merge": {"POST": WRITE},
    "/v1/leads/{lead_id}/unmerge": {"POST": WRITE},
    "/v1/duplicates": {"GET": READ},
    "/v1/duplicates/{duplicate_id}": {"GET": READ},
    "/v1/duplicates/{duplicate_id}/verdict": {"POST": WRITE},
    "/v1/leads/{lead_id}/conversion": {"POST": "leads:convert", "GET": READ},
    "/v1/leads/{lead_id}/conversion/preview": {"POST": READ},
    "/v1/leads/{lead_id}/conversion/revert": {"POST": "leads:convert"},
    "/v1/leads/{lead_id}/conversion/revert/preview": {"POST": READ},
    "/v1/conversions/batch": {"POST": "leads:convert"},
    "/v1/activities": {"POST": WRITE},
    "/v1/consent-purposes": {"GET": READ},
    "/v1/attributes": {"GET": READ},
    "/v1/accounts": {"POST": WRITE, "GET": READ},
    "/v1/accounts/{account_id}": {"GET": READ, "PATCH": WRITE},
    "/v1/contacts": {"POST": WRITE, "GET": READ},
    "/v1/contacts/{contact_id}": {"GET": READ, "PATCH": WRITE},
    "/v1/contacts/{contact_id}/activities": {"GET": READ},
    "/v1/accounts/{account_id}/activities": {"GET": READ},
    "/v1/accounts/{account_id}/counts": {"GET": READ},
    "/v1/accounts/{account_id}/people": {"GET": READ},
    "/v1/accounts/{account_id}/timeline": {"GET": READ},
    "/v1/reports/forecast": {"GET": "reports:read"},
    "/v1/reports/forecast/evidence": {"GET": "reports:read"},
    "/v1/reports/forecast/changes": {"GET": "reports:read"},
    "/v1/reports/forecast/changes/evidence": {"GET": "reports:read"},
    "/v1/snapshots": {"GET": "reports:read"},
    "/v1/quotas": {"PUT": "admin", "GET": "reports:read"},
    "/v1/rates": {"PUT": "admin", "GET": "reports:read"},
    "/v1/forecasts/{period}/{user_id}": {"PUT": WRITE, "GET": "reports:read"},
    "/v1/opportunities": {"POST": WRITE, "GET": READ},
    "/v1/opportunities/{opportunity_id}": {"GET": READ, "PATCH": WRITE},
    "/v1/opportunities/{opportunity_id}/transitions": {"POST": WRITE, "GET": READ},
    "/v1/opportunities/{opportunity_id}/history": {"GET": READ},
    "/v1/events": {"GET": "events:read"},
    "/v1/events/{event_id}": {"GET": "events:read"},
    "/v1/consumers": {"GET": "events:read"},
    "/v1/consumers/{name}": dict.fromkeys(("PUT", "GET", "DELETE"), "events:read"),
    "/v1/consumers/{name}/events": {"GET": "events:read"},
    "/v1/consumers/{name}/ack": {"POST": "events:read"},
    "/v1/subscriptions": {"POST": "subscriptions", "GET": "subscriptions"},
    "/v1/subscriptions/preview": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}": dict.fromkeys(("GET", "PATCH", "DELETE"), "subscriptions"),
    "/v1/subscriptions/{subscription_id}/pause": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/resume": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/secret": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/ping": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/handshake": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/deliveries": {"GET": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/deliveries/retry": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/deliveries/discard": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/deliveries/{position}/retry": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/deliveries/{position}/discard": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/attempts": {"GET": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/replays": {"POST": "subscriptions", "GET": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/replays/{replay_id}": {"GET": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/replays/{replay_id}/pause": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/replays/{replay_id}/resume": {"POST": "subscriptions"},
    "/v1/subscriptions/{subscription_id}/replays/{replay_id}/cancel": {"POST": "subscriptions"},
    "/v1/policies/{policy_id}/backtests": {"POST": "policy:write"},
    "/v1/policies/{policy_id}/shadow": {"POST": "policy:write"},
    "/v1/backtests": {"GET": "policy:read"},
    "/v1/backtests/{backtest_id}": {"GET": "policy:read"},
    "/v1/backtests/{backtest_id}/journeys": {"GET": "policy:read"},
    "/v1/backtests/{backtest_id}/cancel": {"POST": "policy:write"},
    "/v1/models": {"GET": "policy:read", "POST": "policy:write"},
    "/v1/models/{version}": {"GET": "policy:read"},
    "/v1/policies": {"GET": "policy:read", "POST": "policy:write"},
    "/v1/policies/active": {"GET": "policy:read"},
    "/v1/policies/{policy_id}": {"GET": "policy:read", "PUT": "policy:write", "DELETE": "policy:write"},
    "/v1/policies/{policy_id}/proposal": {"POST": "policy:write"},
    "/v1/policies/{policy_id}/approvals": {"POST": "policy:write"},
    "/v1/policies/{policy_id}/activation": {"POST": "policy:write"},
    "/v1/policies/schema": {"GET": "policy:read"},
    "/v1/policies/{policy_id}/diff": {"GET": "policy:read"},
    "/v1/policies/{policy_id}/diagram": {"GET": "policy:read"},
    "/v1/me": {"GET": ""},
    "/v1/tenants": {"POST": "platform", "GET": "platform"},
    "/v1/tenants/{tenant_id}": {"GET": "platform", "PATCH": "platform"},
    "/v1/tenants/{tenant_id}/limits": {"GET": "platform", "PUT": "platform"},
    "/v1/calendar": {"GET": "admin", "PUT": "admin"},
    "/v1/retention": {"GET": "admin", "PUT": "admin"},
    "/v1/retention/preview": {"POST": "admin"},
    "/v1/reports/bands": {"GET": REPORTS, "PUT": "admin"},
    "/v1/campaigns/{name}/cost": {"GET": REPORTS, "PUT": "admin"},
    **{f"/v1/reports/{one.name}": {"GET": REPORTS} for one in ROWS},
    **{f"/v1/reports/{one.name}/evidence": {"GET": REPORTS} for one in ROWS},
    "/v1/users": {"POST": "admin", "GET": "admin"},
    "/v1/users/{user_id}": {"GET": "admin", "PATCH": "admin"},
    "/v1/keys": {"POST": "admin", "GET": "admin"},
    "/v1/keys/{key_id}": {"GET": "admin", "DELETE": "admin"},
}


def test_every_route_needs_the_scope_in_this_table() -> None:
    found: dict[str, dict[str, str | None]] = {}
    for operation in ALL:
        found.setdefault(operation.path, {})[operation.method] = operation.scope
    assert found == TABLE


async def test_a_key_with_every_scope_but_the_needed_one_is_refused(api: Api) -> None:
    others: dict[str, str] = {}
    for scope in sorted({operation.scope for operation in AUTHENTICATED if operation.scope}):
        # admin includes every scope but platform, so such a key would have the scope in question
        scopes = ["admin"] if scope == "platform" else [each for each in SCOPES if each not in (scope, "admin")]
        others[scope] = (await api.post("/v1/keys", {"name": f"without {scope}", "scopes": scopes}))["secret"]
    for operation in AUTHENTICATED:
        if operation.scope:
            answer = await api.call(operation.method, operation.at(), {}, key=others[operation.scope])
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), operation
            assert answer.json()["scope"] == operation.scope


async def test_without_a_valid_key_every_route_is_a_401(api: Api) -> None:
    for operation in AUTHENTICATED:
        for headers in ({}, {"Authorization": "Bearer btn_wrong"}, {"Authorization": "Basic QTpC"}):
            answer = await api.client.request(operation.method, operation.at(), headers=headers, json={})
            assert (answer.status_code, answer.json()["code"]) == (401, "key_unknown"), (operation, headers)


async def test_only_a_key_with_the_platform_scope_can_grant_it(api: Api) -> None:
    admin = (await api.post("/v1/keys", {"name": "admin", "scopes": ["admin"]}))["secret"]
    answer = await api.call("POST", "/v1/keys", {"name": "more", "scopes": ["platform"]}, key=admin)
    assert answer.json()["code"] == "scope_missing"


async def test_a_key_cannot_act_for_a_user_without_actors_assert(api: Api) -> None:
    key = (await api.post("/v1/keys", {"name": "reader", "scopes": ["leads:read"]}))["secret"]
    sdr = await api.user("sdr")
    answer = await api.call("GET", "/v1/me", key=key, actor=sdr)
    assert (answer.status_code, answer.json()["scope"]) == (403, "actors:assert")
