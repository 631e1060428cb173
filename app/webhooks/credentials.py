"""What a broker asks for at the connect: encrypted in the database, never shown, and never sent to another broker."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import Field, StringConstraints
from sqlalchemy import Row

from app.errors import RequestInvalid
from app.keyring import CannotOpen, KeyRing
from app.web.fields import RequestBody
from app.webhooks import nkeys
from app.webhooks.sinks import Kind, is_sink, sink_of

FIELD: Final = "credentials"
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class Credentials(RequestBody):
    """One way to sign in to a broker. `{}`: none."""

    username: Text | None = Field(default=None, repr=False)
    password: Text | None = Field(default=None, repr=False)
    mechanism: Mechanism | None = Field(default=None, description="Of Kafka; `PLAIN` if not given.")
    token: Text | None = Field(default=None, repr=False)
    nkey_seed: Text | None = Field(default=None, repr=False, description="`SU…`: the server knows the public key.")
    creds: Annotated[str, StringConstraints(min_length=1, max_length=10_000)] | None = Field(
        default=None, repr=False, description="The text of a credentials file: a JWT and a seed."
    )

    @property
    def given(self) -> set[str]:
        """The names of the members that have a value."""
        return set(self.model_dump(exclude_none=True))


PAIR: Final = {"username", "password"}
ACCEPTED: Final[dict[Kind, tuple[set[str], ...]]] = {
    "nats": (set(), PAIR, {"token"}, {"nkey_seed"}, {"creds"}),
    "kafka": (set(), PAIR, PAIR | {"mechanism"}),
}
WANTED: Final[dict[Kind, str]] = {
    "nats": "a NATS server takes username and password, token, nkey_seed or creds, one of these",
    "kafka": "Kafka takes username and password, and may have mechanism",
}


def check(url: str, given: Credentials | None) -> None:
    """Raises RequestInvalid for credentials that what the URL names does not take."""
    names = given.given if given else set()
    if not is_sink(url):
        if names:
            detail = "only brokers take credentials: put what an HTTP receiver asks for into headers"
            raise RequestInvalid.of(FIELD, "credentials_unused", detail)
        return
    kind = sink_of(url).kind
    if names not in ACCEPTED[kind]:
        raise RequestInvalid.of(FIELD, "credentials_invalid", WANTED[kind])
    try:
        seed_of(given)
    except ValueError as error:
        raise RequestInvalid.of(FIELD, "credentials_invalid", str(error)) from None


def seed_of(given: Credentials | None) -> tuple[str | None, Ed25519PrivateKey] | None:
    """The JWT, if there is one, and the key of credentials that sign. Raises ValueError for what is no seed."""
    if given is None:
        return None
    if given.creds is not None:
        token, seed = nkeys.read_file(given.creds)
        return token, nkeys.key_of(seed)
    return (None, nkeys.key_of(given.nkey_seed)) if given.nkey_seed is not None else None


def seal(ring: KeyRing, tenant_id: UUID, subscription_id: UUID, given: Credentials | None) -> str | None:
    """The credentials encrypted for storage; None when there are none."""
    if given is None or not given.given:
        return None
    text = orjson.dumps(given.model_dump(exclude_none=True)).decode()
    return ring.seal(tenant_id, subscription_id, FIELD, text)


def opened(ring: KeyRing, tenant_id: UUID, subscription_id: UUID, sealed: str | None) -> Credentials | None:
    """The stored credentials. Raises CannotOpen when the ring lacks the encryption key."""
    if sealed is None:
        return None
    return Credentials.model_validate_json(ring.open(tenant_id, subscription_id, FIELD, sealed))


def changed(ring: KeyRing, tenant_id: UUID, row: Row[Any], url: str, given: Credentials | None) -> dict[str, Any]:
    """The column to write, if a PATCH changes it: `url` as it will be, `given` None where the PATCH has none.

    Raises RequestInvalid where the stored ones would be sent to another broker than the one that they are for.
    """
    if given is None:
        if row.credentials is None or _broker(url) == _broker(row.url):
            return {}
        detail = "the URL names another broker: give its credentials, or {} where it needs none"
        raise RequestInvalid.of(FIELD, "credentials_needed", detail)
    check(url, given)
    if row.credentials is None and not given.given:
        return {}
    try:
        if opened(ring, tenant_id, row.id, row.credentials) == given:
            return {}
    except CannotOpen:
        pass  # they are replaced: what they were is not needed
    return {FIELD: seal(ring, tenant_id, row.id, given)}


def _broker(url: str) -> object:
    """What credentials are for: the broker, by its hosts, and whether they are sent by TLS; None for an HTTP URL."""
    if not is_sink(url):
        return None
    sink = sink_of(url)
    return sink.kind, sink.tls, sink.hosts
