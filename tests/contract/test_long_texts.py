"""A text that does not compress, as long as a member may be, is stored or refused with its place, at every door."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from tests.api import Api

LENGTHS = (200, 255, 300, 500, 680, 1000, 2000)  # an index holds some 2,700 bytes: 675 of these characters
DOORS: list[tuple[str, dict[str, Any]]] = [
    *(
        ("/v1/leads", {"fields": {"email": "a@nord.ro"}, "attribution": {name: "LONG"}})
        for name in ("source", "medium", "campaign", "term", "content")
    ),
    *(
        ("/v1/leads", {"fields": {"email": "a@nord.ro", name: "LONG"}})
        for name in ("company", "first_name", "last_name", "job_title", "city", "industry")
    ),
    ("/v1/leads", {"fields": {"email": "LONG@nord.ro"}}),
    ("/v1/leads", {"fields": {"email": "a@nord.ro"}, "external_ids": {"crm": "LONG"}}),
    ("/v1/leads", {"fields": {"email": "a@nord.ro"}, "activity": {"type": "demo_request", "activity_key": "LONG"}}),
    (
        "/v1/activities",
        {"activities": [{"identity": {"email": "a@nord.ro"}, "type": "page_view", "activity_key": "LONG"}]},
    ),
    *(("/v1/accounts", {"name": "Nordsoft", name: "LONG"}) for name in ("name", "external_id")),
    *(("/v1/contacts", {"last_name": "Pop", name: "LONG"}) for name in ("last_name", "external_id")),
    *(("/v1/opportunities", {"name": "Licences", name: "LONG"}) for name in ("name", "external_id")),
    *(
        ("/v1/users", {"name": "Ana", "email": "ana@nord.ro", "role": "sdr", name: "LONG"})
        for name in ("name", "external_id")
    ),
    ("/v1/sources", {"name": "LONG", "preset": "generic"}),
    ("/v1/subscriptions", {"url": "https://nord.example/LONG", "types": ["*"]}),
]


def long_text(length: int) -> str:
    chance = Random(length)
    return "".join(chr(chance.randrange(0x20000, 0x2A6D0)) for _ in range(length))


def filled(value: Any, long: str) -> Any:
    if isinstance(value, dict):
        return {name: filled(one, long) for name, one in value.items()}
    if isinstance(value, list):
        return [filled(one, long) for one in value]
    return value.replace("LONG", long) if isinstance(value, str) else value


@pytest.mark.parametrize("length", LENGTHS)
async def test_a_long_text_that_does_not_compress_is_stored_or_refused(api: Api, length: int) -> None:
    for path, body in DOORS:
        answer = await api.call("POST", path, filled(body, long_text(length)))
        assert answer.status_code < 500, (path, body, answer.text)


async def test_leads_are_found_by_the_longest_campaign(api: Api) -> None:
    campaigns = [long_text(1000), long_text(1000)[:-1]]
    leads = [
        (await api.post("/v1/leads", {"fields": {"email": f"{n}@nord.ro"}, "attribution": {"campaign": campaign}}))[
            "id"
        ]
        for n, campaign in enumerate(campaigns)
    ]
    for lead, campaign in zip(leads, campaigns, strict=True):
        answer = await api.call("GET", "/v1/leads", params={"campaign": campaign})
        assert [one["id"] for one in answer.json()["data"]] == [lead], answer.text
