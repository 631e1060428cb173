"""An accepted body for every route that takes one, with as many members as possible; and its leaves one by one."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

from app.web.examples import POLICY
from tests.api import Api
from tests.contract.world import RecordIds
from tests.policies.steps import approved
from tests.submissions.sender import make_sender

Path = tuple[str | int, ...]
NUMBERS = itertools.count(1_000_000)
BANT = {
    "budget": {"status": "confirmed", "value": "yes", "amount": {"value": "12000.00", "currency": "EUR"}},
    "authority": {"status": "unknown", "evidence": "an e-mail"},
    "need": {"status": "confirmed", "value": "yes"},
    "timing": {"status": "confirmed", "due_on": "2027-03-31"},
}
FIELDS = {
    "email": "lian~@example-bio.hu",
    "phone": "+3630~",
    "first_name": "Lian",
    "last_name": "Chen",
    "company": "Bio",
    "full_name": "Lian Chen",
    "domain": "example-bio.hu",
    "job_title": "Director",
    "role": "buyer",
    "seniority": "head",
    "industry": "software",
    "employees": 120,
    "country": "HU",
    "language": "hu",
    "website": "https://example-bio.hu",
    "message": "Hello",
}
COMPANY = {
    "name": "Nordlicht ~",
    "domain": "nordlicht~.example",
    "website": "https://nordlicht.example",
    "phone": "+40215550100",
    "industry": "software",
    "employees": 5,
    "country": "RO",
    "language": "ro",
    "external_id": "n-~",
}
PERSON = {
    "email": "ion~@nordlicht.example",
    "phone": "+40215550101",
    "first_name": "Ion",
    "last_name": "Pop",
    "full_name": "Ion Pop",
    "job_title": "CTO",
    "role": "user",
    "seniority": "head",
    "country": "RO",
    "language": "ro",
    "website": "https://ion.example",
    "external_id": "p-~",
}
ORDER = {
    "account": {
        "mode": "match_or_create",
        "values": {"name": "Nordlicht ~", "country": "RO"},
        "overwrite": ["industry"],
    },
    "contact": {"mode": "match_or_create", "values": {"job_title": "CTO"}, "relink": True},
    "opportunity": {
        "mode": "create",
        "name": "Nordlicht 2027",
        "amount": {"value": "12000.00", "currency": "EUR"},
        "close_date": "2027-03-31",
        "class": "qualified",
        "business": "new",
    },
    "verification": {"note": "called"},
    "carry_activities": True,
}
DEFAULTS = {
    "region": "RO",
    "timezone": "Europe/Bucharest",
    "source": "fair",
    "medium": "stand",
    "campaign": "spring",
    "thank_you_url": "https://acme.example/thanks",
    "allowed_origins": ["https://acme.example"],
}
LIMITS = {"concurrency": 2, "timeout_seconds": 5, "retry_schedule": [0, 1.5], "disable_after_days": 3}
USER = {
    "name": "Sofia",
    "email": "sofia~@acme.example",
    "role": "sdr",
    "team": "north",
    "time_zone": "Europe/Bucharest",
    "working_hours": {"mon": [["09:00", "18:00"]]},
    "capacity": 5,
    "weight": 2,
    "absences": [{"starts_at": "2026-08-03T00:00:00Z", "ends_at": "2026-08-24T00:00:00Z"}],
    "active": True,
    "external_id": "u-~",
    "manager_id": None,
}
CONSENT = {"purpose": "phone", "state": "given", "text": "yes, call me", "occurred_at": "2026-08-17T09:00:00Z"}
ACTIVITY = {
    "type": "webinar",
    "kind": "interest",
    "activity_key": "w-~",
    "occurred_at": "2026-08-17T09:00:00Z",
    "properties": {"minutes": 30, "title": "Baton"},
}


def body(operation: str, record_ids: RecordIds) -> dict[str, Any]:
    """The accepted body of `METHOD path`. KeyError for a new route: add its body here."""
    source = {
        "name": "Form",
        "preset": "zapier",
        "secrets": {"token": "s"},
        "defaults": DEFAULTS,
        "enabled": True,
    }
    deal = {
        "name": "Renewal",
        "account_id": record_ids["account_id"],
        "contact_id": record_ids["contact_id"],
        "owner_id": record_ids["actor"],
        "amount": {"value": "1.00", "currency": "EUR"},
        "close_date": "2027-03-31",
        "business": "existing",
        "custom": {"a": "b"},
        "external_id": "d-~",
    }
    hook = {
        "url": "http://127.0.0.1:9/x",
        "types": ["lead.*"],
        "filter": {"to": ["mql"]},
        "if": {"fit": {"at_least": 20}},
        "headers": {"X-A": "b"},
        "limits": LIMITS,
        "on_dead": "block",
    }
    dead = {
        "types": ["lead.*"],
        "lead_ids": [record_ids["lead_id"]],
        "from": "2026-08-17T09:00:00Z",
        "to": "2027-08-17T09:00:00Z",
    }
    lead = {
        "fields": FIELDS,
        "external_ids": {"crm": "c-~"},
        "custom": {"colour": "red", "n": 5},
        "channel": "referral",
        "attribution": {
            "source": "ads",
            "channel": "referral",
            "referred_by_contact_id": record_ids["contact_id"],
            "partner_account_id": record_ids["account_id"],
        },
        "consents": [CONSENT],
        "source_id": record_ids["source_id"],
        "activity": ACTIVITY,
    }
    raw = {
        "method": "POST",
        "query": "a=b",
        "headers": {"content-type": "application/json"},
        "body": '{"email": "a@b.example"}',
    }
    owner = {"custom": {"a": "b"}, "owner_id": record_ids["actor"]}
    bodies: dict[str, dict[str, Any]] = {
        "POST /v1/sources": source,
        "PATCH /v1/sources/{source_id}": source,
        "POST /v1/sources/{source_id}/dry-run": raw,
        "POST /v1/submissions/{submission_id}/verdict": {"verdict": "not_spam"},
        "POST /v1/sources/{source_id}/replay": {"all": False, "received_after": "2026-08-17T09:00:00Z"},
        "POST /v1/leads": lead,
        "PATCH /v1/leads/{lead_id}": {"fields": FIELDS, "custom": {"colour": "red"}, "owner_id": record_ids["actor"]},
        "POST /v1/leads/{lead_id}/activities": ACTIVITY,
        "PUT /v1/leads/{lead_id}/bant": BANT,
        "PUT /v1/leads/{lead_id}/exception": {"reason": "A subsidiary of Nordsoft.", "persona": "decision_maker"},
        "PUT /v1/leads/{lead_id}/consents": {"consents": [CONSENT]},
        "POST /v1/exports": {"identity": {"email": "anna@nordsoft.example"}},
        "POST /v1/leads/{lead_id}/withdrawal-links": {"purposes": ["email_marketing", "phone"]},
        "POST /v1/leads/{lead_id}/transitions": {
            "action": "recycle",
            "reason_code": "timing",
            "note": "later",
            "wake_at": "2027-08-17T09:00:00Z",
        },
        "POST /v1/leads/{lead_id}/erasure": {"reason": "person_asked", "request_id": "DSR-2026-17"},
        "POST /v1/leads/{lead_id}/merge": {"into": record_ids["lead_id"]},
        "POST /v1/duplicates/{duplicate_id}/verdict": {"verdict": "not_duplicate", "into": record_ids["lead_id"]},
        "POST /v1/activities": {"activities": [{**ACTIVITY, "lead_id": record_ids["lead_id"]}]},
        "POST /v1/leads/{lead_id}/conversion": ORDER,
        "POST /v1/leads/{lead_id}/conversion/preview": ORDER,
        "POST /v1/leads/{lead_id}/conversion/revert": {"reason_code": "mistake"},
        "POST /v1/leads/{lead_id}/conversion/revert/preview": {"reason_code": "mistake"},
        "POST /v1/conversions/batch": {"items": [{**ORDER, "lead_id": record_ids["lead_id"]}], "atomic": False},
        "POST /v1/accounts": {**COMPANY, **owner},
        "PATCH /v1/accounts/{account_id}": {**COMPANY, **owner, "archived": False},
        "POST /v1/contacts": {**PERSON, **owner, "account_id": record_ids["account_id"]},
        "PATCH /v1/contacts/{contact_id}": {
            **PERSON,
            **owner,
            "account_id": record_ids["account_id"],
            "archived": False,
        },
        "POST /v1/opportunities": deal,
        "PATCH /v1/opportunities/{opportunity_id}": {**deal, "archived": False, "forecast_category": "commit"},
        "POST /v1/opportunities/{opportunity_id}/transitions": {
            "action": "qualify",
            "note": "met",
            "bant": BANT,
        },
        "PUT /v1/quotas": {
            "quotas": [{"period": "2026-Q4", "user_id": record_ids["user_id"], "amount": deal["amount"]}]
        },
        "PUT /v1/rates": {"currency": "EUR", "rates": {"USD": "0.9213"}},
        "PUT /v1/forecasts/{period}/{user_id}": {
            "commit": deal["amount"],
            "upside": deal["amount"],
            "note": "They sign on Friday.",
        },
        "PUT /v1/consumers/{name}": {
            "types": ["lead.*"],
            "lead_id": record_ids["lead_id"],
            "start": "earliest",
            "seek": "earliest",
        },
        "POST /v1/consumers/{name}/ack": {"event_id": record_ids["event_id"]},
        "POST /v1/subscriptions/preview": {"types": ["lead.*"], "if": {"field": "country", "is": "RO"}},
        "POST /v1/subscriptions": {**hook, "mode": "full", "start": "earliest"},
        "PATCH /v1/subscriptions/{subscription_id}": hook,
        "POST /v1/subscriptions/{subscription_id}/secret": {"grace_seconds": 60},
        "POST /v1/subscriptions/{subscription_id}/resume": {"resume": "cursor"},
        "POST /v1/subscriptions/{subscription_id}/deliveries/retry": dead,
        "POST /v1/subscriptions/{subscription_id}/replays": {"from": "earliest", "rate": 0.01},
        "POST /v1/subscriptions/{subscription_id}/deliveries/discard": dead,
        "POST /v1/policies": POLICY,
        "PUT /v1/policies/{policy_id}": POLICY,
        "POST /v1/policies/{policy_id}/activation": {
            "effective_from": "2097-08-17T09:00:00Z",
            "mapping": {"sal": "mql", "sql": "mql", "recycled": "inquiry"},
        },
        "POST /v1/policies/{policy_id}/backtests": {"from": "2024-01-01T00:00:00Z", "to": "2024-07-01T00:00:00Z"},
        "POST /v1/tenants": {"name": "other", "policy": "pipeline"},
        "PATCH /v1/tenants/{tenant_id}": {"name": "other"},
        "PUT /v1/tenants/{tenant_id}/limits": {
            "submissions_per_minute": 100_000,
            "requests_per_minute": 100_000,
            "in_flight": 64,
        },
        "PUT /v1/campaigns/{name}/cost": {"amount": deal["amount"], "from": "2026-01-01", "to": "2026-02-01"},
        "PUT /v1/reports/bands": {"bands": [{"from": "mql", "to": "srl", "business": "new", "low": 0.2, "high": 0.4}]},
        "PUT /v1/retention": {"raw_days": 60, "quarantined_days": 180, "spam_days": 30, "audit_days": None},
        "POST /v1/retention/preview": {"raw_days": 60, "attempts_days": 30, "unqualified_days": 730},
        "PUT /v1/calendar": {
            "time_zone": "America/New_York",
            "working_hours": {"mon": [["09:00", "18:00"]]},
            "holidays": ["2026-12-25"],
            "fiscal": {"first_month": 4, "layout": "4-4-5", "first_weekday": "sun"},
        },
        "POST /v1/users": USER,
        "PATCH /v1/users/{user_id}": USER,
        "POST /v1/keys": {"name": "reader", "scopes": ["leads:read"], "expires_at": "2099-08-17T09:00:00Z"},
    }
    # `~` becomes a new number, for values that must be unique.
    made: dict[str, Any] = json.loads(json.dumps(bodies[operation]).replace("~", str(next(NUMBERS))))
    return made


async def ids_for_request(operation: str, record_ids: RecordIds, api: Api) -> RecordIds:
    """The ids for one request, with a new record where the request can succeed only once per record."""
    if operation == "POST /v1/leads/{lead_id}/transitions":
        return {**record_ids, "lead_id": (await at_mql(api, record_ids))["id"]}
    if operation in ("POST /v1/leads/{lead_id}/conversion", "POST /v1/leads/{lead_id}/conversion/revert"):
        lead = await at_mql(api, record_ids)
        assert (await api.ask(lead, "accept", record_ids["user_id"])).status_code == 201
        assert (await api.ask(lead, "confirm", record_ids["actor"], bant=BANT)).status_code == 201
        if not operation.endswith("revert"):
            return {**record_ids, "lead_id": lead["id"]}
        key = {"Idempotency-Key": f"to-revert-{next(NUMBERS)}"}
        path = f"/v1/leads/{lead['id']}/conversion"
        assert (await api.call("POST", path, {}, actor=record_ids["actor"], headers=key)).status_code == 201
        return {**record_ids, "lead_id": lead["id"], "actor": record_ids["manager"]}
    if operation == "POST /v1/leads/{lead_id}/erasure":
        return {**record_ids, "lead_id": (await api.lead())["id"], "actor": record_ids["manager"]}
    if operation == "POST /v1/leads/{lead_id}/merge":
        return {**record_ids, "lead_id": (await api.lead())["id"], "actor": record_ids["manager"]}
    if operation in ("PUT /v1/leads/{lead_id}/exception", "PATCH /v1/opportunities/{opportunity_id}"):
        return {**record_ids, "actor": record_ids["manager"]}
    if operation == "PUT /v1/forecasts/{period}/{user_id}":
        return {**record_ids, "actor": record_ids["user_id"]}
    if operation == "POST /v1/submissions/{submission_id}/verdict":
        sender = await make_sender(api, overrides={"spam": {"honeypot": ["item.trap"]}})
        spam = await sender.post_and_process({"email": "a@b.example", "trap": "x"})
        return {**record_ids, "submission_id": spam["id"]}
    if operation == "POST /v1/opportunities/{opportunity_id}/transitions":
        deal = await api.post("/v1/opportunities", {"name": "Another"})
        return {**record_ids, "opportunity_id": deal["id"]}
    if operation == "POST /v1/policies/{policy_id}/activation":
        return {**record_ids, "actor": record_ids["manager"], "policy_id": (await approved(api, POLICY))["id"]}
    if operation in ("POST /v1/policies", "PUT /v1/policies/{policy_id}"):
        return {**record_ids, "actor": record_ids["manager"]}
    return record_ids


async def at_mql(api: Api, record_ids: RecordIds) -> dict[str, Any]:
    lead = await api.lead(full_name="Mara Ionescu")
    assert (await api.ask(lead, "qualify", record_ids["manager"], override_reason="a friend")).status_code == 201
    return lead


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every value in a body that is not an object or list, with its path."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def with_leaf(value: Any, path: Path, leaf: Any) -> Any:
    """The body with another value at that path."""
    if not path:
        return leaf
    changed = value.copy()
    changed[path[0]] = with_leaf(value[path[0]], path[1:], leaf)
    return changed
