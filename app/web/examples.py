"""One example of each request body for the OpenAPI document; a test validates them against their schemas."""

from __future__ import annotations

from typing import Any, Final

from app.web.fields import EXAMPLES as IDS

BANT: Final = {
    "need": {"status": "confirmed", "value": "replace the old tool"},
    "budget": {"status": "confirmed", "amount": {"value": "12000.00", "currency": "EUR"}},
    "timing": {"status": "confirmed", "due_on": "2027-03-31"},
}
FIELDS: Final = {"job_title": "Director", "employees": 120, "industry": "software"}
ACTIVITY: Final = {"type": "demo_request", "activity_key": "demo-2026-08-17", "occurred_at": "2026-08-17T09:00:00Z"}
QUOTA: Final = {"value": "250000.00", "currency": "EUR"}
ORDER: Final = {
    "account": {"mode": "match_or_create"},
    "contact": {"mode": "match_or_create"},
    "opportunity": {
        "mode": "create",
        "name": "Nordsoft 2027",
        "amount": {"value": "12000.00", "currency": "EUR"},
        "close_date": "2027-03-31",
    },
    "verification": {"note": "called, confirmed"},
}
POLICY: Final[dict[str, Any]] = {
    "schema": 1,
    "name": "shop",
    "title": "A shop: from inquiry to customer",
    "review": "quarterly",
    "approvals": ["marketing", "sales"],
    "stages": [
        {"name": "inquiry", "kind": "open", "order": 10},
        {"name": "mql", "kind": "open", "order": 20},
        {"name": "converted", "kind": "closed", "order": 60},
        {"name": "disqualified", "kind": "closed"},
    ],
    "milestones": [{"name": "mql", "stage": "mql"}, {"name": "won", "class": "won"}],
    "conditions": {},
    "actions": [
        {"name": "capture", "from": [None], "to": "inquiry", "by": {"machines": ["service", "policy", "import"]}},
        {
            "name": "qualify",
            "from": ["inquiry"],
            "to": "mql",
            "by": {"people": ["marketing"], "machines": ["policy"]},
            "guard": {"all": [{"fit": {"at_least": 20}}, {"engagement": {"at_least": 30}}]},
            "effects": [{"assign": "sales"}],
        },
        {"name": "convert", "from": ["mql"], "to": "converted", "by": {"people": ["ae"]}, "needs": ["conversion"]},
        {
            "name": "disqualify",
            "from": ["inquiry", "mql"],
            "to": "disqualified",
            "by": {"people": ["sdr", "ae"]},
            "needs": ["reason_code"],
            "reasons": "disqualify",
        },
    ],
    "automation": [{"do": "qualify"}],
    "reasons": {"disqualify": [{"code": "no_need"}, {"code": "spam", "permanent": True}]},
    "scoring": {
        "decay": [{"to_day": 30, "percent": 100}],
        "fit": [{"id": "title", "points": 20, "if": {"field": "job_title", "present": True}}],
        "engagement": [{"id": "demo", "points": 40, "type": "demo_request"}],
        "caps": [],
        "levels": [{"level": 1, "if": {"contactable": True}}, {"level": 2, "if": {"fit": {"at_least": 20}}}],
        "temperature": {"hot": {"bant": {"min": 2}}, "warm": {"bant": {"min": 1}}},
    },
    "lists": {},
    "routing": {"sales": {"role": "ae", "method": "pool"}},
    "clocks": {},
    "conversion": {"class": {"mql": "qualified"}, "fast_track": None, "revert_days": 14, "overwrite": []},
    "opportunity": {
        "stages": [
            {"name": "deal", "class": "qualified", "probability": 50},
            {"name": "won", "class": "won", "probability": 100},
            {"name": "lost", "class": "lost", "probability": 0},
        ],
        "actions": [
            {"name": "win", "from": ["deal"], "to": "won", "by": {"people": ["ae"]}},
            {"name": "lose", "from": ["deal"], "to": "lost", "by": {"people": ["ae"]}},
        ],
        "reasons": {},
    },
    "reinquiry": {
        "disqualified_permanent": "block",
        "disqualified": "new_journey",
        "converted_open": "activity",
        "converted_closed_or_older_than_days": 90,
    },
}
BODIES: Final[dict[str, Any]] = {
    "POST /v1/policies": POLICY,
    "PUT /v1/policies/{policy_id}": POLICY,
    "POST /v1/policies/{policy_id}/activation": {"effective_from": "2027-01-01T00:00:00Z", "mapping": {"sal": "mql"}},
    "POST /v1/policies/{policy_id}/backtests": {"from": "2026-01-01T00:00:00Z", "to": "2026-07-01T00:00:00Z"},
    "POST /v1/sources": {
        "name": "Demo form",
        "preset": "generic",
        "overrides": {"verify": [{"kind": "hmac", "header": "X-Signature"}]},
        "secrets": {"signing": "the secret that the sender signs with"},
    },
    "PATCH /v1/sources/{source_id}": {"overrides": {"fields": {"company": "item.hidden.company"}}},
    "POST /v1/sources/{source_id}/dry-run": {
        "headers": {"content-type": "application/json"},
        "body": {"email": "anna@nordsoft.ro", "company": "Nordsoft"},
    },
    "POST /v1/submissions/{submission_id}/verdict": {"verdict": "not_spam"},
    "POST /v1/sources/{source_id}/replay": {"received_after": "2026-08-17T00:00:00Z"},
    "POST /v1/leads": {
        "fields": {"email": "anna@nordsoft.ro", "full_name": "Anna Zvoristeanu", "company": "Nordsoft", **FIELDS},
        "external_ids": {"crm": "4711"},
        "attribution": {"source": "newsletter"},
        "activity": {"type": "webinar"},
    },
    "PATCH /v1/leads/{lead_id}": {"fields": FIELDS, "owner_id": IDS["user"]},
    "POST /v1/leads/{lead_id}/activities": ACTIVITY,
    "PUT /v1/leads/{lead_id}/bant": BANT,
    "PUT /v1/leads/{lead_id}/exception": {"reason": "A subsidiary of our largest customer."},
    "PUT /v1/leads/{lead_id}/consents": {"consents": [{"purpose": "email_marketing", "state": "withdrawn"}]},
    "POST /v1/exports": {"identity": {"email": "anna@nordsoft.ro"}},
    "POST /v1/leads/{lead_id}/withdrawal-links": {"purposes": ["email_marketing"]},
    "POST /v1/leads/{lead_id}/erasure": {"reason": "person_asked", "request_id": "DSR-2026-17"},
    "POST /v1/leads/{lead_id}/merge": {"into": IDS["lead"]},
    "POST /v1/duplicates/{duplicate_id}/verdict": {"verdict": "not_duplicate"},
    "POST /v1/leads/{lead_id}/transitions": {"action": "confirm", "bant": BANT},
    "POST /v1/activities": {"activities": [{**ACTIVITY, "email": "anna@nordsoft.ro"}]},
    "POST /v1/leads/{lead_id}/conversion": ORDER,
    "POST /v1/leads/{lead_id}/conversion/preview": ORDER,
    "POST /v1/leads/{lead_id}/conversion/revert": {"reason_code": "mistake"},
    "POST /v1/leads/{lead_id}/conversion/revert/preview": {"reason_code": "mistake"},
    "POST /v1/conversions/batch": {"items": [{"lead_id": IDS["lead"], **ORDER}]},
    "POST /v1/accounts": {"name": "Nordsoft", "domain": "nordsoft.ro", "industry": "software", "country": "RO"},
    "PATCH /v1/accounts/{account_id}": {"phone": "+40215550100"},
    "POST /v1/contacts": {
        "email": "anna@nordsoft.ro",
        "full_name": "Anna Zvoristeanu",
        "account_id": IDS["account"],
    },
    "PATCH /v1/contacts/{contact_id}": {"job_title": "Director"},
    "POST /v1/opportunities": {
        "name": "Nordsoft renewal 2027",
        "account_id": IDS["account"],
        "close_date": "2027-03-31",
    },
    "PATCH /v1/opportunities/{opportunity_id}": {"amount": {"value": "15000.00", "currency": "EUR"}},
    "POST /v1/opportunities/{opportunity_id}/transitions": {"action": "advance", "to": "proposal"},
    "PUT /v1/quotas": {"quotas": [{"period": "2026-Q4", "user_id": IDS["user"], "amount": QUOTA}]},
    "PUT /v1/rates": {"currency": "EUR", "rates": {"USD": "0.9213"}},
    "PUT /v1/forecasts/{period}/{user_id}": {"commit": QUOTA, "note": "Nordsoft signs on Friday."},
    "PUT /v1/consumers/{name}": {"types": ["lead.*"], "start": "earliest"},
    "POST /v1/consumers/{name}/ack": {"event_id": IDS["event"]},
    "POST /v1/subscriptions": {"url": "https://hooks.acme.example/baton", "types": ["lead.*"], "start": "now"},
    "POST /v1/subscriptions/preview": {
        "types": ["lead.stage_changed"],
        "if": {"all": [{"field": "data.to", "is": "mql"}, {"field": "country", "in": ["RO", "PL"]}]},
    },
    "PATCH /v1/subscriptions/{subscription_id}": {"types": ["lead.converted"]},
    "POST /v1/subscriptions/{subscription_id}/secret": {"grace_seconds": 86400},
    "POST /v1/subscriptions/{subscription_id}/resume": {"resume": "now"},
    "POST /v1/subscriptions/{subscription_id}/replays": {"from": "2026-08-17T09:00:00Z", "types": ["lead.*"]},
    "POST /v1/subscriptions/{subscription_id}/deliveries/retry": {"types": ["lead.*"], "from": "2026-08-17T09:00:00Z"},
    "POST /v1/subscriptions/{subscription_id}/deliveries/discard": {"lead_ids": [IDS["lead"]]},
    "POST /v1/tenants": {"name": "acme", "policy": "pipeline"},
    "PATCH /v1/tenants/{tenant_id}": {"name": "Acme"},
    "PUT /v1/tenants/{tenant_id}/limits": {"submissions_per_minute": 6000, "in_flight": 16},
    "PUT /v1/retention": {"raw_days": 60, "quarantined_days": 180, "spam_days": 30, "unqualified_days": 730},
    "POST /v1/retention/preview": {"raw_days": 60, "spam_days": 30},
    "PUT /v1/calendar": {
        "time_zone": "Europe/Bucharest",
        "working_hours": {day: [["09:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")},
        "holidays": ["2026-12-01", "2026-12-25"],
    },
    "POST /v1/users": {
        "name": "Sofia Dumitru",
        "email": "sofia@acme.example",
        "role": "sdr",
        "team": "north",
        "time_zone": "Europe/Bucharest",
        "working_hours": {"mon": [["09:00", "18:00"]]},
    },
    "PATCH /v1/users/{user_id}": {"active": False},
    "PUT /v1/campaigns/{name}/cost": {"amount": {"value": "1000.00", "currency": "EUR"}, "month": "2026-01"},
    "PUT /v1/reports/bands": {"bands": [{"from": "mql", "to": "srl", "business": None, "low": 0.2, "high": 0.4}]},
    "POST /v1/keys": {"name": "CRM", "scopes": ["leads:read", "leads:write", "actors:assert"]},
}
