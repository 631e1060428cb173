"""Which purposes people have refused or withdrawn, as their leads would have it: for the dry run of a list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.journeys.state import Change, Lead
from app.leads import sql
from app.leads.counting_consents import REFUSALS
from app.leads.withdrawals import withdrawals_of
from app.matching.identity import Candidate, keys, resolve
from app.matching.person import Person
from app.policies.published import active_policy


async def refused_purposes(tx: Tx, tenant_id: UUID, people: Sequence[Person], now: datetime) -> list[frozenset[str]]:
    """Of each person the purposes that their lead has refused or withdrawn, or would have once it has their address."""
    wanted = {identity.key: identity for person in people for identity in person.identities}
    by_key: dict[tuple[str, str, str], list[Candidate]] = {}
    for one in await sql.candidates(tx, tenant_id, list(wanted.values())):
        by_key.setdefault((one.kind, one.namespace, one.value), []).append(one)
    matches = [
        resolve(person, [one for identity in keys(person) for one in by_key.get(identity.key, ())]) for person in people
    ]
    known = {row.id: row for row in await sql.consent_states(tx, tenant_id, {match.lead_id for match in matches})}
    withdrawn = await withdrawals_of(tx, tenant_id, [new for match in matches for new in match.new_identities])
    policy = await active_policy(tx, tenant_id)
    found = []
    for match in matches:
        row = known.get(match.lead_id)
        lead = Lead(match.lead_id or ids.new_id(), created_at=now, updated_at=now)
        if row is not None:
            lead.consents, lead.flags = dict(row.consents), dict(row.flags)
        withdrawn.apply(Change(lead, policy, None, now), match.new_identities)
        found.append(frozenset(purpose for purpose, state in lead.consents.items() if state in REFUSALS))
    return found
