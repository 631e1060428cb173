"""A source's secrets: sealed as one text, opened only to check a signature, and otherwise known by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

import orjson
import structlog

from app.database.transaction import Record
from app.keyring import CannotOpen, KeyRing
from app.sources.document import secrets_of
from app.sources.ready import ready
from app.sources.verify import Secrets

log = structlog.get_logger("baton.sources")

FIELD: Final = "source.secrets"


def seal(ring: KeyRing, tenant_id: UUID, source_id: UUID, secrets: Secrets) -> str | None:
    """The secrets as they are stored; None when there are none."""
    return ring.seal(tenant_id, source_id, FIELD, orjson.dumps(dict(secrets)).decode()) if secrets else None


def opened(ring: KeyRing, row: Record) -> dict[str, str | list[str]]:
    """The secrets of a source by name; {} where none can be opened, so that no rule holds."""
    if row.secrets is None:
        return {}
    try:
        found: dict[str, str | list[str]] = orjson.loads(ring.open(row.tenant_id, row.id, FIELD, row.secrets))
    except CannotOpen:
        log.error("source_secrets_sealed", source_id=str(row.id))
        return {}
    return found


def merged(known: Secrets, changes: Mapping[str, str | list[str] | None]) -> Secrets:
    """The secrets after a PATCH: each name by itself, None removes one."""
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


def names(ring: KeyRing, row: Record) -> tuple[list[str], list[str]]:
    """The names of the secrets that are set, and of those the document needs and that are not."""
    known, document = opened(ring, row), ready(row).document
    needed = secrets_of(document) if document is not None else frozenset()
    return sorted(known), sorted(needed - set(known))
