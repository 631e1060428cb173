"""The catalogue of what conditions can name, with the custom answers, purposes and personas that the tenant has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Record, Tx
from app.leads import sql
from app.leads.consent import purposes
from app.policies.published import active_policy
from app.policy.attributes import (
    ATTRIBUTES,
    CONSENT,
    Attribute,
    AttributeType,
    consent_attribute,
    custom_attribute,
)
from app.policy.document import Policy

TYPES: Final[Mapping[str, AttributeType]] = {"string": "text", "number": "number", "boolean": "flag"}


async def attributes(tx: Tx, tenant_id: UUID) -> list[dict[str, Any]]:
    """Everything that a condition of this tenant's policies can name, by name."""
    policy = (await active_policy(tx, tenant_id)).policy
    known = [one["purpose"] for one in await purposes(tx, tenant_id)]
    answers = await sql.custom_answers(tx, tenant_id)
    found = [*_of_policy(policy), *map(consent_attribute, known), *map(_custom, answers)]
    return [_shown(one) for one in sorted(found, key=lambda one: one.name)]


def _shown(attribute: Attribute) -> dict[str, Any]:
    members = asdict(attribute).items()
    return {name: list(value) if isinstance(value, tuple) else value for name, value in members if name != "least"}


def _custom(row: Record) -> Attribute:
    types = {one for one in row.types if one != "null"}
    type_ = TYPES.get(types.pop(), "any") if len(types) == 1 else "any"
    return custom_attribute(row.name, type_, tuple(row.examples or ()))


def _of_policy(policy: Policy) -> Iterator[Attribute]:
    """The attributes that every tenant has; those whose values are names of the policy have them."""
    reasons = [one.code for listed in policy.reasons.values() for one in listed]
    names: Mapping[str, Sequence[str]] = {
        "persona": list(policy.persona_conditions),
        "from": [stage.name for stage in policy.stages],
        "stage": [stage.name for stage in policy.stages],
        "reason": list(dict.fromkeys(reasons)),
        "assignable": list(policy.routing),
    }
    for attribute in ATTRIBUTES.values():
        if attribute is CONSENT:
            continue  # there is one for each purpose
        values = tuple(names.get(attribute.name, ()))
        yield _with_values(attribute, values) if values else attribute


def _with_values(attribute: Attribute, values: tuple[str, ...]) -> Attribute:
    first = values[0] if attribute.name == "assignable" else [values[0]]
    return replace(attribute, values=values, examples=values[:3], condition={attribute.word: first})
