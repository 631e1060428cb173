"""Cache of parsed sources: the document is built once for each version, with the source's own defaults merged in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.database.transaction import Record
from app.leads.double_opt_in import DoubleOptIn
from app.matching.channel import Channel
from app.matching.host import same_origin
from app.sources.document import Document, TokenRule, merge
from app.sources.preset import DocumentFaulty, make_document

CACHE_SIZE: Final = 1_000


@dataclass(frozen=True, slots=True)
class ReadySource:
    """One version of a source. `document` is None where the stored one is invalid in this release.

    `channel`: the one that the source itself sets, and not its preset.
    """

    tenant_id: UUID
    id: UUID
    name: str
    enabled: bool
    document: Document | None
    thank_you_url: str | None
    allowed_origins: tuple[str, ...]
    double_opt_in: DoubleOptIn | None
    channel: Channel | None


_cache: dict[tuple[UUID, int], ReadySource] = {}


def ready_source(row: Record) -> ReadySource:
    """The source of a row of `sources`, cached by id and version. Never raises for an invalid stored document."""
    key = row.id, row.version
    if key not in _cache:
        if len(_cache) >= CACHE_SIZE:
            _cache.clear()
        _cache[key] = _load(row)
    return _cache[key]


def _load(row: Record) -> ReadySource:
    defaults = dict(row.defaults)
    double_opt_in = DoubleOptIn.of(row.tenant_id, defaults)
    thank_you_url, origins = defaults.pop("thank_you_url", None), defaults.pop("allowed_origins", None)
    defaults.pop("double_opt_in", None)
    overrides = merge(row.overrides, {"defaults": defaults})
    try:
        document = with_body_tokens_dropped(make_document(row.preset, overrides))
    except (DocumentFaulty, KeyError):
        document = None
    return ReadySource(
        tenant_id=row.tenant_id,
        id=row.id,
        name=row.name,
        enabled=row.enabled,
        document=document,
        thank_you_url=thank_you_url,
        allowed_origins=tuple(map(same_origin, origins or ("*",))),
        double_opt_in=double_opt_in,
        channel=overrides["defaults"].get("channel"),
    )


def with_body_tokens_dropped(document: Document) -> Document:
    """The document with the tokens that senders and a bot check put into the body added to `parse.drop`."""
    tokens = [rule.name for rule in document.verify if isinstance(rule, TokenRule) and rule.place == "body"]
    tokens += [document.bot_check.field] if document.bot_check else []
    drop = [*document.parse.drop, *(name for name in tokens if name not in document.parse.drop)]
    return document.model_copy(update={"parse": document.parse.model_copy(update={"drop": drop})})
