"""The AsyncAPI document is valid, describes every event at each place where it can be had, and is served."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from jsonschema_rs import Draft7Validator, Draft202012Validator

from app.events.catalogue import TYPES
from app.web.asyncapi import PING, asyncapi
from tests.api import Api
from tests.contract.contract import DOCUMENT

ASYNCAPI: Final = asyncapi(DOCUMENT)
# The unchanged schema of the release 6.11.1 of @asyncapi/specs (Apache-2.0).
SCHEMA: Final = json.loads(gzip.decompress((Path(__file__).parent / "asyncapi-3.0.0.schema.json.gz").read_bytes()))


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        yield from (value for name, value in part.items() if name == "$ref")
        for member in part.values():
            yield from references(member)
    elif isinstance(part, list):
        for member in part:
            yield from references(member)


def at(pointer: str) -> Any:
    found: Any = ASYNCAPI
    for name in pointer.removeprefix("#/").split("/"):
        found = found[name]
    return found


def test_the_document_is_valid_by_the_schema_of_asyncapi() -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(ASYNCAPI)] == []


@pytest.mark.parametrize("broken", [{"asyncapi": "2.6.0"}, {"channels": {"a": {"adress": "/"}}}, {"surplus": 1}])
def test_that_schema_finds_faults(broken: dict[str, Any]) -> None:
    assert list(Draft7Validator(SCHEMA).iter_errors({**ASYNCAPI, **broken}))


def test_every_reference_leads_somewhere() -> None:
    assert all(at(each) is not None for each in references(ASYNCAPI))


@pytest.mark.parametrize("channel", sorted(ASYNCAPI["channels"]))
def test_each_channel_has_every_event_of_the_catalogue_and_the_ping_only_where_it_is_sent(channel: str) -> None:
    missing = {PING} if channel == "feed" else set()
    assert set(ASYNCAPI["channels"][channel]["messages"]) == set(TYPES) - missing
    assert ASYNCAPI["operations"][channel]["channel"] == {"$ref": f"#/channels/{channel}"}


@pytest.mark.parametrize("name", sorted(TYPES))
def test_the_payload_of_a_message_is_what_the_openapi_document_says(name: str) -> None:
    payload = at(ASYNCAPI["components"]["messages"][name]["payload"]["$ref"])
    ours = Draft202012Validator({**payload, "components": ASYNCAPI["components"]})
    assert payload["properties"]["type"]["const"] == name
    assert not ours.is_valid({"id": "evt_1", "type": "other"})
    schema = DOCUMENT["webhooks"][name]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert payload == DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]


async def test_the_document_is_served_and_linked_from_the_documentation(api: Api) -> None:
    served = (await api.client.get("/asyncapi.json")).json()
    assert served["channels"] == ASYNCAPI["channels"]
    assert "(asyncapi.json)" in (await api.client.get("/openapi.json")).json()["info"]["description"]
