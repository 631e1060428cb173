"""A source ready for use: its document parsed once a version, its defaults read."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app.database import Record
from app.sources.document import Defaults, Document, TokenRule
from app.sources.preset import DocumentFaulty, make_document

KEPT: Final = 1_000
DOOR_DEFAULTS: Final = ("thank_you_url", "allowed_origins")


@dataclass(frozen=True, slots=True)
class ReadySource:
    """One version of a source. `document` is None where what is stored does not fit this release's schema any more."""

    tenant_id: UUID
    id: UUID
    version: int
    name: str
    enabled: bool
    document: Document | None
    defaults: Defaults
    thank_you_url: str | None
    allowed_origins: tuple[str, ...]


_kept: OrderedDict[tuple[UUID, int], ReadySource] = OrderedDict()


def ready(row: Record) -> ReadySource:
    """The source of a row of `sources`; the last thousand versions are kept. Never raises for what is stored."""
    named = row.id, row.version
    found = _kept.get(named)
    if found is None:
        found = _kept[named] = _read(row)
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    else:
        _kept.move_to_end(named)
    return found


def _read(row: Record) -> ReadySource:
    try:
        document = without_secrets(make_document(row.preset, row.overrides))
    except (DocumentFaulty, KeyError):
        document = None
    return ReadySource(
        tenant_id=row.tenant_id,
        id=row.id,
        version=row.version,
        name=row.name,
        enabled=row.enabled,
        document=document,
        defaults=mapping_defaults(row.defaults),
        thank_you_url=row.defaults.get("thank_you_url"),
        allowed_origins=tuple(row.defaults.get("allowed_origins") or ("*",)),
    )


def mapping_defaults(stored: dict[str, Any]) -> Defaults:
    """The part of a source's defaults that the mapping uses; the door uses the rest."""
    return Defaults.model_validate({name: value for name, value in stored.items() if name not in DOOR_DEFAULTS})


def without_secrets(document: Document) -> Document:
    """The document, with a token that senders put into the body among what is dropped of it."""
    tokens = [rule.name for rule in document.verify if isinstance(rule, TokenRule) and rule.place == "body"]
    drop = [*document.parse.drop, *(name for name in tokens if name not in document.parse.drop)]
    return document.model_copy(update={"parse": document.parse.model_copy(update={"drop": drop})})
