"""Invented people as requests, with sixteen fields each and a different company for each.

No two of them are alike enough to be one person: each pair of those would be stored and told of.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import uuid
from typing import Any, Final

from app.commands.demo.people import FIRST, LAST, NAME_ENDS
from benchmarks.processes import ADMIN_KEY

SYLLABLES: Final = [f"{first}{vowel}" for first in "bdfgklmnprstvz" for vowel in "aeiou"]
SIGNING = "benchmark-signing-secret"
HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {size}\r\n"


def request(path: str, body: bytes, **headers: str) -> bytes:
    """The bytes of one HTTP POST."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return (HEAD.format(path=path, size=len(body)) + more + "\r\n").encode() + body


def person(number: int, run: str, ready: bool = False) -> dict[str, Any]:
    """The fields of a form fill; `ready` makes it a demo request, which the policy qualifies as MQL at once."""
    chance = random.Random(f"{run} {number}")
    company = f"{''.join(chance.choices(SYLLABLES, k=4))} {chance.choice(NAME_ENDS)}"
    domain = f"{company.replace(' ', '-')}-{run}{number}.com"
    return {
        "submission_id": f"{run}-{number}",
        "email": f"person.{number}@{domain}",
        "phone": f"+407{(int(run, 16) * 7919 + number) % 10**8:08d}",
        "first_name": chance.choice(FIRST),
        "last_name": chance.choice(LAST),
        "company": company.title(),
        "job_title": "Director of sales",
        "employees": 120,
        "industry": "software",
        "country": "Romania",
        "language": "ro",
        "website": f"https://www.{domain}/about",
        "message": "We would like to see it.",
        "utm_source": "linkedin",
        "utm_campaign": "spring",
        "newsletter": "yes",
        **({"activity_type": "demo_request"} if ready else {}),
    }


def new_run() -> str:
    """Six hexadecimal digits that make the people of a run unique."""
    return uuid.uuid4().hex[:6]


def form_fills(path: str, count: int, *, ready: bool = False) -> list[bytes]:
    """Requests with signed form fills for an ingest path (baselines ignore the signature)."""
    run, found = new_run(), []
    for number in range(count):
        body = json.dumps(person(number, run, ready)).encode()
        signature = hmac.new(SIGNING.encode(), body, hashlib.sha256).hexdigest()
        found.append(request(path, body, X_Signature=signature))
    return found


def lead_creations(count: int) -> list[bytes]:
    """Requests of `POST /v1/leads` with the same fields."""
    run, found = new_run(), []
    names = (
        "email",
        "phone",
        "first_name",
        "last_name",
        "company",
        "job_title",
        "employees",
        "industry",
        "country",
        "language",
        "website",
        "message",
    )
    for number in range(count):
        values = person(number, run)
        body = {
            "fields": {name: values[name] for name in names},
            "external_ids": {"crm": values["submission_id"]},
            "attribution": {"source": "linkedin", "campaign": "spring"},
            "consents": [{"purpose": "email_marketing", "state": "given"}],
        }
        found.append(request("/v1/leads", json.dumps(body).encode(), Authorization=f"Bearer {ADMIN_KEY}"))
    return found


def peer_creations(path: str, token: str, count: int) -> list[bytes]:
    """Requests that create the same people in another system, each a flat JSON object."""
    run = new_run()
    bodies = (json.dumps(person(number, run)).encode() for number in range(count))
    return [request(path, body, Authorization=f"Bearer {token}") for body in bodies]


def lead_requests(path: str, ids: list[str], body: dict[str, Any], actor: str, *, keys: bool = False) -> list[bytes]:
    """The same request for each lead as a user; `{id}` in the path is the lead. `keys` adds an Idempotency-Key."""
    found, data = [], json.dumps(body).encode()
    for one in ids:
        key = {"Idempotency_Key": uuid.uuid4().hex} if keys else {}
        head = {"Authorization": f"Bearer {ADMIN_KEY}", "Baton_Actor": actor, **key}
        found.append(request(path.format(id=one), data, **head))
    return found
