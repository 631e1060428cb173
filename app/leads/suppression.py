"""Keeps people who were erased from being stored again, unless they give a new consent (docs/erasure.md).

Of an identity only HMAC-SHA256 under a salt of the tenant is kept. The salt is encrypted as other secrets are.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.errors import SecretKeysMissing
from app.events.record import NewEvent, record_events
from app.keyring import CannotOpen, KeyRing
from app.leads import suppression_sql as sql
from app.leads.absorb import Arrival
from app.matching.person import Identity

FIELD: Final = "suppression"
KEY: Final = "submission"
SHARED: Final = "shared"
Name = tuple[str, str, str]  # kind, namespace and value


def names(identities: Iterable[Identity]) -> list[Name]:
    """By what a person is known not to be stored: what is the person's own, else what others have too."""
    known = list(identities)
    own = [one.key for one in known if not one.shared]
    return own or [named_shared(one.key) for one in known]


def named_shared(key: Name) -> Name:
    """The name of an identity that several people have, such as the number of a switchboard."""
    return f"{SHARED} {key[0]}", key[1], key[2]


def named_submission(source_id: UUID, key: str) -> Name:
    """The name of a submission by the key that its sender gave it."""
    return KEY, str(source_id), key


def hashed(salt: bytes, name: Name) -> bytes:
    """HMAC-SHA256 of `kind|namespace|value`."""
    return hmac.digest(salt, "|".join(name).encode(), "sha256")


async def salt_of(tx: Tx, tenant_id: UUID, *, make: bool = False) -> bytes | None:
    """The salt of the tenant; None where nobody was erased. Raises SecretKeysMissing where it cannot be decrypted."""
    ring = tx.keyring
    stored = await sql.salt(tx, tenant_id)
    if stored is None and make:
        assert ring is not None, "the application has a key ring"
        stored = await sql.keep_salt(tx, tenant_id, ring.seal(tenant_id, tenant_id, FIELD, secrets.token_hex(32)))
    return None if stored is None else _opened(ring, tenant_id, stored)


def _opened(ring: KeyRing | None, tenant_id: UUID, stored: str) -> bytes:
    if ring is None:
        raise SecretKeysMissing("People were erased here, and the keys are needed to know them again.")
    try:
        return bytes.fromhex(ring.open(tenant_id, tenant_id, FIELD, stored))
    except CannotOpen:
        raise SecretKeysMissing("The salt of erased people is stored, but cannot be decrypted at present.") from None


async def suppressed(tx: Tx, tenant_id: UUID, arrivals: Sequence[Arrival], now: datetime) -> dict[int, UUID]:
    """The places of the arrivals that must not be stored, each with the lead that was erased; tells of them.

    An identity of an arrival with a new consent is not suppressed any more. The identities are locked.
    """
    salt = await salt_of(tx, tenant_id)
    if salt is None:
        return {}
    hashes = [[hashed(salt, name) for name in names(one.person.identities)] for one in arrivals]
    keys = [hashed(salt, named) if (named := _submission(one)) else None for one in arrivals]
    wanted = {*(one for each in hashes for one in each), *(key for key in keys if key)}
    erased = {row.hash: row for row in await sql.suppressions(tx, tenant_id, wanted)}
    found: dict[int, UUID] = {}
    lifted: set[bytes] = set()
    for place, (arrival, own) in enumerate(zip(arrivals, hashes, strict=True)):
        known = [erased[one] for one in own if one in erased and one not in lifted]
        if not known:
            continue
        if keys[place] not in erased and consents_anew(arrival, max(row.erased_at for row in known)):
            lifted.update(row.hash for row in known)
        else:
            found[place] = known[0].lead_id
    await sql.lift(tx, tenant_id, lifted)
    await record_events(tx, tenant_id, [_event(lead_id, arrivals[place], now) for place, lead_id in found.items()], now)
    return found


def consents_anew(arrival: Arrival, erased_at: datetime) -> bool:
    """Whether the person has consented to something since. A list cannot say so for a person."""
    return (
        arrival.create
        and not arrival.claims
        and any(
            one.state == "given" and (one.occurred_at or arrival.occurred_at) > erased_at for one in arrival.consents
        )
    )


def _submission(arrival: Arrival) -> Name | None:
    return named_submission(arrival.source_id, arrival.submission_key) if arrival.submission_key else None


def _event(lead_id: UUID, arrival: Arrival, now: datetime) -> NewEvent:
    data: Mapping[str, object] = {
        "lead_id": ids.show("lead", lead_id),
        "source": {"id": ids.show("source", arrival.source_id), "name": arrival.source_name},
        "submission_id": ids.shown("submission", arrival.submission_id),
    }
    return NewEvent("lead.suppressed", data, now, lead_id=lead_id)
