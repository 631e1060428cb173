"""A source's secrets: encrypted as one text, decrypted only to verify or change; responses show the names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import orjson
import structlog

from app.database.transaction import Record
from app.keyring import CannotOpen, KeyRing
from app.sources.document import secrets_of
from app.sources.ready import ready_source
from app.sources.verify import Secrets

log = structlog.get_logger("baton.sources")

FIELD: Final = "source.secrets"


def seal(ring: KeyRing, tenant_id: UUID, source_id: UUID, secrets: Secrets) -> str | None:
    """The secrets encrypted for storage; None when there are none."""
    return ring.seal(tenant_id, source_id, FIELD, orjson.dumps(dict(secrets)).decode()) if secrets else None


def open_secrets(ring: KeyRing, row: Record) -> dict[str, str | list[str]]:
    """The secrets of a source by name; {} when they cannot be decrypted, so that no rule holds."""
    if row.secrets is None:
        return {}
    try:
        found: dict[str, str | list[str]] = orjson.loads(ring.open(row.tenant_id, row.id, FIELD, row.secrets))
    except CannotOpen:
        log.error("source_secrets_not_decrypted", source_id=str(row.id))
        return {}
    return found


def merged(known: Secrets, changes: Mapping[str, str | list[str] | None]) -> Secrets:
    """The secrets after a PATCH: merged by name, None removes one."""
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


def names(ring: KeyRing, row: Record) -> tuple[list[str], list[str]]:
    """The names of the secrets that are set, and of those that the document needs and that are missing."""
    known, document = open_secrets(ring, row), ready_source(row).document
    needed = secrets_of(document, known) if document is not None else frozenset()
    return sorted(known), sorted(needed - set(known))
