"""Whose data are exported: the leads, contacts and submissions of one person."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.exports import sql
from app.exports.schemas import IdentityIn
from app.leads.history import wanted_identities

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Person:
    """The ids of what is stored about a person, and how their items and addresses are found."""

    tenant_id: UUID
    leads: list[UUID]
    contacts: list[UUID]
    submissions: list[UUID]
    mapped: list[str]
    addresses: list[str]

    @property
    def values(self) -> tuple[object, ...]:
        """The parameters of a section (sections.py)."""
        return self.tenant_id, self.leads, self.contacts, self.submissions, self.mapped, self.addresses


async def person_of_lead(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Person:
    """The person of a lead, with the leads that were merged into it."""
    return await _person(tx, tenant_id, [row.id for row in await sql.with_merged(tx, tenant_id, [lead_id])], set())


async def person_with(tx: Tx, tenant_id: UUID, identity: IdentityIn) -> Person:
    """The person with these identities, who need not be a lead.

    Raises RequestInvalid for a value that is no identity, and for a number or mailbox that several leads share.
    """
    given = identity.model_dump(exclude_none=True)
    keys: set[Key] = set()
    found: set[UUID] = set()
    for name, typed in given.items():
        try:
            [named] = wanted_identities(**{"email": None, "phone": None, "external_id": None, name: typed})
        except RequestInvalid as problem:
            [fault] = problem.members["errors"]
            raise RequestInvalid.of(f"identity.{name}", fault["code"], fault["detail"]) from None
        leads = await sql.with_merged(tx, tenant_id, await sql.holders(tx, tenant_id, named))
        if sum(row.root for row in leads) > 1:
            detail = "several leads share it; export each by its id: GET /v1/leads/{lead_id}/export"
            raise RequestInvalid.of(f"identity.{name}", "person_ambiguous", detail)
        keys.update(named)
        found.update(row.id for row in leads)
    return await _person(tx, tenant_id, sorted(found), keys)


async def _person(tx: Tx, tenant_id: UUID, leads: Sequence[UUID], keys: set[Key]) -> Person:
    keys = keys | await sql.identities_of(tx, tenant_id, leads)
    emails = sorted(value for kind, _, value in keys if kind == "email")
    mapped = [json.dumps({"identities": [list(key)]}) for key in sorted(keys)]
    needles = sorted({text for one in emails for text in (one, quote(one, safe="").lower())})
    return Person(
        tenant_id,
        list(leads),
        await sql.contacts_of(tx, tenant_id, leads, emails),
        await sql.submissions_of(tx, tenant_id, leads, mapped, needles),
        mapped,
        [hashlib.sha256(one.encode()).hexdigest() for one in emails],
    )
