"""Stories as their providers would post them: the body, and the signature over its bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import orjson

from app.commands.demo.plan import Story


def _labelled(where: str) -> dict[str, Any]:
    """The form builders do not know our fields for size and industry: the mapping is told where to look."""
    return {"fields": {name: f"labelled({where}, 'value', '{name}')" for name in ("employees", "industry")}}


# How each source is made: its preset, and what is changed of it. The website signs as its own developers chose to.
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


def form_fill(story: Story) -> bytes:
    """The body that the story's provider posts."""
    made = {"typeform": _typeform, "tally": _tally, "website": _website}[story.source](story)
    return orjson.dumps(made, option=orjson.OPT_UTC_Z)


def signed(story: Story, body: bytes, secret: str) -> dict[str, str]:
    """The headers that the provider sends beside the body."""
    name, prefix = HEADERS[story.source]
    mac = base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()
    return {"Content-Type": "application/json", name: prefix + mac}


def _said(story: Story) -> Mapping[str, Any]:
    who = story.person
    return {
        "full_name": f"{who.first_name} {who.last_name}",
        "company": who.company.name,
        "job_title": who.job_title,
        "country": who.company.country,
        "employees": who.company.employees,
        "industry": who.company.industry,
    }


def _typeform(story: Story) -> dict[str, Any]:
    answers: list[dict[str, Any]] = [
        {"type": "email", "email": story.person.email, "field": {"id": "e", "type": "email", "ref": "email"}},
        {"type": "boolean", "boolean": story.newsletter, "field": {"id": "n", "type": "yes_no", "ref": "newsletter"}},
    ]
    for name, value in _said(story).items():
        kind = "number" if isinstance(value, int) else "text"
        answers.append({"type": kind, kind: value, "field": {"id": name, "type": "short_text", "ref": name}})
    form = {"form_id": "demo", "token": story.key, "submitted_at": story.at, "hidden": story.utm, "answers": answers}
    return {"event_id": story.key, "event_type": "form_response", "form_response": form}


def _tally(story: Story) -> dict[str, Any]:
    labels = {**_said(story), **story.utm, "newsletter": story.newsletter}
    fields: list[dict[str, Any]] = [{"label": "Email", "type": "INPUT_EMAIL", "value": story.person.email}]
    for name, value in labels.items():
        label = name.replace("_", " ") if name in ("full_name", "job_title") else name
        fields.append({"label": label, "type": "INPUT_TEXT", "value": value})
    data = {"responseId": story.key, "formId": "demo", "createdAt": story.at, "fields": fields}
    return {"eventId": story.key, "eventType": "FORM_RESPONSE", "createdAt": story.at, "data": data}


def _website(story: Story) -> dict[str, Any]:
    return {
        "submission_id": story.key,
        "occurred_at": story.at,
        "email": story.person.email,
        **_said(story),
        **story.utm,
        "newsletter": story.newsletter,
    }
