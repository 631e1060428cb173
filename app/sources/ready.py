"""A source ready for use: its document made once a version, with the source's own defaults in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.database.transaction import Record
from app.sources.document import Document, TokenRule, merge
from app.sources.preset import DocumentFaulty, make_document

KEPT: Final = 1_000


@dataclass(frozen=True, slots=True)
class ReadySource:
    """One version of a source. `document` is None where what is stored does not fit this release's schema any more."""

    tenant_id: UUID
    id: UUID
    name: str
    enabled: bool
    document: Document | None
    thank_you_url: str | None
    allowed_origins: tuple[str, ...]


_kept: dict[tuple[UUID, int], ReadySource] = {}


def ready(row: Record) -> ReadySource:
    """The source of a row of `sources`; up to a thousand versions are kept. Never raises for what is stored."""
    named = row.id, row.version
    if named not in _kept:
        if len(_kept) >= KEPT:
            _kept.clear()
        _kept[named] = _read(row)
    return _kept[named]


def _read(row: Record) -> ReadySource:
    defaults = dict(row.defaults)
    thank_you_url, origins = defaults.pop("thank_you_url", None), defaults.pop("allowed_origins", None)
    try:
        document = without_secrets(make_document(row.preset, merge(row.overrides, {"defaults": defaults})))
    except (DocumentFaulty, KeyError):
        document = None
    return ReadySource(
        tenant_id=row.tenant_id,
        id=row.id,
        name=row.name,
        enabled=row.enabled,
        document=document,
        thank_you_url=thank_you_url,
        allowed_origins=tuple(origins or ("*",)),
    )


def without_secrets(document: Document) -> Document:
    """The document, with a token that senders put into the body among what is dropped of it."""
    tokens = [rule.name for rule in document.verify if isinstance(rule, TokenRule) and rule.place == "body"]
    drop = [*document.parse.drop, *(name for name in tokens if name not in document.parse.drop)]
    return document.model_copy(update={"parse": document.parse.model_copy(update={"drop": drop})})
