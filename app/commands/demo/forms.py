"""Planned leads as form fills in the format of their form provider, with the provider's signature."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.commands.demo.plan import PlannedLead


def _labelled(where: str) -> dict[str, Any]:
    """Mapping of company size and industry, for which the form builders have no field of their own."""
    return {"fields": {name: f"labelled({where}, 'value', '{name}')" for name in ("employees", "industry")}}


# Preset and overrides of each source. The website has no provider, so its signature scheme is configured here.
OWN_SIGNATURE: Final = {
    "kind": "hmac",
    "secret": "signing",
    "header": "X-Signature",
    "prefix": "sha256=",
    "algorithm": "sha256",
    "encoding": "base64",
    "signed": "{body}",
}
SOURCES: Final[dict[str, dict[str, Any]]] = {
    "typeform": {"preset": "typeform", "overrides": _labelled("item.answers, 'ref'")},
    "tally": {"preset": "tally", "overrides": _labelled("item.fields, 'label'")},
    "website": {"preset": "generic", "overrides": {"verify": [OWN_SIGNATURE]}},
}
HEADERS: Final = {
    "typeform": ("Typeform-Signature", "sha256="),
    "tally": ("Tally-Signature", ""),
    "website": ("X-Signature", "sha256="),
}


def form_fill(lead: PlannedLead) -> bytes:
    """The request body that the provider posts."""
    form = {"typeform": _typeform, "tally": _tally, "website": _website}[lead.source](lead)
    return orjson.dumps(form, option=orjson.OPT_UTC_Z)


def signed(lead: PlannedLead, body: bytes, secret: str) -> dict[str, str]:
    """The request headers that the provider sends, with the signature."""
    name, prefix = HEADERS[lead.source]
    mac = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    return {"Content-Type": "application/json", name: prefix + mac}


def _answers(lead: PlannedLead) -> Mapping[str, Any]:
    who = lead.person
    return {
        "full_name": f"{who.first_name} {who.last_name}",
        "company": who.company.name,
        "job_title": who.job_title,
        "country": who.company.country,
        "employees": who.company.employees,
        "industry": who.company.industry,
    }


def _typeform(lead: PlannedLead) -> dict[str, Any]:
    answers: list[dict[str, Any]] = [
        {"type": "email", "email": lead.person.email, "field": {"id": "e", "type": "email", "ref": "email"}},
        {"type": "boolean", "boolean": lead.newsletter, "field": {"id": "n", "type": "yes_no", "ref": "newsletter"}},
    ]
    for name, value in _answers(lead).items():
        kind = "number" if isinstance(value, int) else "text"
        answers.append({"type": kind, kind: value, "field": {"id": name, "type": "short_text", "ref": name}})
    form = {"form_id": "demo", "token": lead.key, "submitted_at": lead.at, "hidden": lead.utm, "answers": answers}
    return {"event_id": lead.key, "event_type": "form_response", "form_response": form}


def _tally(lead: PlannedLead) -> dict[str, Any]:
    labels = {**_answers(lead), **lead.utm, "newsletter": lead.newsletter}
    fields: list[dict[str, Any]] = [{"label": "Email", "type": "INPUT_EMAIL", "value": lead.person.email}]
    for name, value in labels.items():
        label = name.replace("_", " ") if name in ("full_name", "job_title") else name
        fields.append({"label": label, "type": "INPUT_TEXT", "value": value})
    data = {"responseId": lead.key, "formId": "demo", "createdAt": lead.at, "fields": fields}
    return {"eventId": lead.key, "eventType": "FORM_RESPONSE", "createdAt": lead.at, "data": data}


def _website(lead: PlannedLead) -> dict[str, Any]:
    return {
        "submission_id": lead.key,
        "occurred_at": lead.at,
        "email": lead.person.email,
        **_answers(lead),
        **lead.utm,
        "newsletter": lead.newsletter,
    }
