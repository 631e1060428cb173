"""A source's secrets: encrypted as one text, decrypted only to verify or change; responses show the names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import orjson
import structlog

from app import ids
from app.database.transaction import Record
from app.errors import SecretKeysMissing
from app.keyring import CannotOpen, KeyRing
from app.sources.document import secrets_of, usable_secrets
from app.sources.ready import ready_source
from app.sources.verify import Secrets

log = structlog.get_logger("baton.sources")

FIELD: Final = "source.secrets"


def seal(ring: KeyRing, tenant_id: UUID, source_id: UUID, secrets: Secrets) -> str | None:
    """The secrets encrypted for storage; None when there are none."""
    return ring.seal(tenant_id, source_id, FIELD, orjson.dumps(dict(secrets)).decode()) if secrets else None


def open_secrets(ring: KeyRing, row: Record) -> dict[str, str | list[str]]:
    """The secrets of a source by name. Raises SecretKeysMissing when they cannot be decrypted."""
    if row.secrets is None:
        return {}
    try:
        found: dict[str, str | list[str]] = orjson.loads(ring.open(row.tenant_id, row.id, FIELD, row.secrets))
    except CannotOpen as error:
        log.error("source_secrets_not_decrypted", source_id=ids.show("source", row.id), kid=error.kid)
        raise SecretKeysMissing("The source's secrets cannot be decrypted at present.") from error
    return found


def merged(known: Secrets, changes: Mapping[str, str | list[str] | None]) -> Secrets:
    """The secrets after a PATCH: merged by name, None removes one."""
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


def summary(ring: KeyRing, row: Record) -> dict[str, object]:
    """The names of the secrets that are set, of those that the document needs and that are missing, and of those that
    it does not use; and whether they can be decrypted: if not, none of this is known."""
    try:
        known = set(open_secrets(ring, row))
    except SecretKeysMissing:
        return {"secret_names": [], "missing_secrets": [], "unused_secrets": [], "secrets_readable": False}
    document = ready_source(row).document
    needed, usable = (secrets_of(document, known), usable_secrets(document)) if document else (set(), known)
    return {
        "secret_names": sorted(known),
        "missing_secrets": sorted(needed - known),
        "unused_secrets": sorted(known - usable),
        "secrets_readable": True,
    }
