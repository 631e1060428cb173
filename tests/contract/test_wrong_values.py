"""Each member of each body with values that it cannot have: never a 5xx, and a 422 names the member."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.api import Api
from tests.contract.bodies import body
from tests.contract.contract import WITH_BODY, Operation, resolved
from tests.contract.test_hostile import send
from tests.contract.world import RecordIds, create_one_of_each

MARK = "@@"
VALUES = ("null", "true", "1e308", '""', '{"zzz": 1}', '"\\ud800"')
# What is wrong where a member is left out, or stands beside another one, is told at another.
BESIDE = {
    "attribution.channel": "channel",  # they must be the same
    "event_id": "cursor",  # exactly one of both
    "from": "month",
    "to": "month",
    "identity.email": "identity",  # which needs any
    "if.is": "if",  # exactly one comparison
}
FORM = ("request_invalid", "mapping_has_faults")  # other codes are about what the requests before have done
CREDENTIALS = "credentials."  # an HTTP receiver takes none of them
DEEPEST = 2


@pytest.fixture
async def record_ids(api: Api) -> RecordIds:
    return await create_one_of_each(api)


def members(schema: dict[str, Any], written: Any, depth: int = 1) -> Iterator[tuple[str, ...]]:
    """The members of a body, and those inside that the schema or the accepted body has."""
    found = resolved(schema)
    names = dict.fromkeys((*found.get("properties", {}), *(written if isinstance(written, dict) else ())))
    for name in names:
        yield (name,)
        inside = written.get(name) if isinstance(written, dict) else None
        if depth < DEEPEST and isinstance(inside, dict):
            yield from (
                (name, *inner) for inner in members(found.get("properties", {}).get(name, {}), inside, depth + 1)
            )


def replaced(written: Any, place: tuple[str, ...]) -> Any:
    inner = MARK if len(place) == 1 else replaced(written[place[0]], place[1:])
    return {**written, place[0]: inner}


def is_at(field: str, place: str) -> bool:
    return field == place or field.startswith(f"{place}.") or field == BESIDE.get(place, CREDENTIALS[:-1])


async def test_a_wrong_value_of_any_member_is_refused_with_the_name_of_the_member(
    api: Api, record_ids: RecordIds
) -> None:
    tried = 0
    for operation in [one for one in WITH_BODY if "/policies" not in one.path]:  # their faults: tests/rules
        written, schema = body(str(operation), record_ids), schema_of(operation)
        for place in members(schema, written):
            for value in VALUES:
                text = json.dumps(replaced(written, place)).replace(f'"{MARK}"', value)
                answer = await send(api, operation, record_ids, text.encode())
                tried += 1
                what = (str(operation), place, value[:20], answer.text[:300])
                assert answer.status_code < 500, what
                if answer.status_code == 422 and answer.json()["code"] in FORM:
                    fields = [fault["field"] for fault in answer.json()["errors"]]
                    assert any(is_at(field, ".".join(place)) for field in fields), what
    assert tried > 2_000


def schema_of(operation: Operation) -> dict[str, Any]:
    schema: dict[str, Any] = operation.members["requestBody"]["content"]["application/json"]["schema"]
    return schema
