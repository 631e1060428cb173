"""Compares an event with the schema that the OpenAPI document publishes for its type."""

from __future__ import annotations

from functools import cache
from typing import Any

from jsonschema_rs import Draft202012Validator

from tests.contract.contract import DOCUMENT, resolved


@cache
def _schema(type_: str) -> tuple[Draft202012Validator, frozenset[str]]:
    """The validator of an event of this type, and the members that its data may have."""
    body = DOCUMENT["webhooks"][type_]["post"]["requestBody"]["content"]["application/json"]["schema"]
    data = resolved(resolved(body)["properties"]["data"])
    return Draft202012Validator({**body, "components": DOCUMENT["components"]}), frozenset(data["properties"])


def faults_of(event: dict[str, Any]) -> list[str]:
    """How an event differs from its schema: what is wrong, and members of `data` that the schema does not name."""
    validator, names = _schema(event["type"])
    wrong = [f"{event['type']}: {error.message}" for error in validator.iter_errors(event)]
    return wrong + [f"{event['type']}: {name} is not described" for name in sorted(event["data"].keys() - names)]
