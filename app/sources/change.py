"""Create, change and archive a source. A mapping document with faults is refused on saving, not found in processing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from secrets import token_urlsafe
from typing import Any, Final
from uuid import UUID

import orjson

from app import ids
from app.database.transaction import Record, Tx
from app.errors import InUse, MappingHasFaults, RequestInvalid, SourceNotFound, StateConflict
from app.keyring import KeyRing
from app.leads.references import check_attribution, unknown_references
from app.matching.country import is_region
from app.policies.entries import check_entry
from app.sources import known, secrets, sql
from app.sources.addresses import Egress, address_faults, target_faults
from app.sources.document import MAX_DOCUMENT, Document
from app.sources.handshake import handshake_faults
from app.sources.member_faults import NO_REGION, member_faults
from app.sources.preset import DocumentFaulty, make_document, preset_names
from app.sources.rule_faults import rule_faults
from app.sources.secret_faults import secret_faults
from app.sources.verify import Secrets
from app.web import versions

KEY_BYTES: Final = 32  # 43 characters: for a source without signature rules the key is the only authentication


async def create_source(
    tx: Tx, tenant_id: UUID, values: Mapping[str, Any], ring: KeyRing, now: datetime, egress: Egress | None = None
) -> Record:
    """Creates a source with a random key. `egress`: which addresses may be called.

    Raises MappingHasFaults, RequestInvalid for an unknown preset or a faulty default, ContactNotFound or
    AccountNotFound for a default that names none.
    """
    document = await _check_document(values["preset"], values["overrides"], egress, is_new=True)
    _check_secrets(document, values["secrets"])
    await _check_defaults(tx, tenant_id, values["defaults"], "defaults")
    await _check_defaults(tx, tenant_id, values["overrides"].get("defaults", {}), "overrides.defaults")
    source_id = ids.new_id()
    made = {
        **values,
        "id": source_id,
        "key": token_urlsafe(KEY_BYTES),
        "created_at": now,
        "updated_at": now,
        "secrets": secrets.seal(ring, tenant_id, source_id, values["secrets"]),
    }
    return await sql.insert_source(tx, tenant_id, made)


async def change_source(
    tx: Tx,
    tenant_id: UUID,
    source_id: UUID,
    values: Mapping[str, Any],
    expected: frozenset[str] | None,
    ring: KeyRing,
    now: datetime,
    egress: Egress | None = None,
) -> Record:
    """Updates the members in `values`.

    Raises the problems of `create_source`, SourceNotFound where there is none, VersionConflict for another version,
    StateConflict once it is archived, and SecretKeysMissing when the secrets before cannot be decrypted, so that they
    can neither be merged with the new ones nor compared with a new document.
    """
    row = await _locked(tx, tenant_id, source_id, expected)
    if row.archived_at is not None:
        raise StateConflict("The source is archived: it can be read and its submissions replayed, but not changed.")
    if row.builtin and ("name" in values or values.get("enabled") is False):
        raise InUse("The built-in source cannot be renamed or disabled.")
    preset, overrides = values.get("preset", row.preset), values.get("overrides", row.overrides)
    # A document that stays as it was stored by an earlier release goes on working, and is not judged anew.
    is_new = preset != row.preset or overrides != row.overrides
    document = await _check_document(preset, overrides, egress, is_new=is_new)
    given = values.get("secrets") or {}
    before = secrets.open_secrets(ring, row) if given or is_new else {}
    after = secrets.merged(before, given)
    _check_secrets(document, after if is_new else secrets.merged({}, given))
    await _check_defaults(tx, tenant_id, values.get("defaults", {}), "defaults")
    await _check_defaults(tx, tenant_id, overrides.get("defaults", {}) if is_new else {}, "overrides.defaults")
    changed = versions.moved(row._mapping, {name: value for name, value in values.items() if name != "secrets"})
    if after != before:
        changed["secrets"] = secrets.seal(ring, tenant_id, source_id, after)
    if not changed:
        return row
    tx.after_commit.append(partial(known.invalidate, row.key))
    return await sql.update_source(tx, tenant_id, source_id, {**changed, "updated_at": now})


async def archive_source(
    tx: Tx, tenant_id: UUID, source_id: UUID, expected: frozenset[str] | None, now: datetime
) -> Record:
    """Archives a source for good and deletes its secrets; its submissions stay. Archiving twice changes nothing."""
    row = await _locked(tx, tenant_id, source_id, expected)
    if row.builtin:
        raise InUse("The built-in source cannot be archived: POST /v1/leads uses it.")
    if row.archived_at is not None:
        return row
    tx.after_commit.append(partial(known.invalidate, row.key))
    return await sql.update_source(
        tx, tenant_id, source_id, {"archived_at": now, "enabled": False, "secrets": None, "updated_at": now}
    )


async def _check_defaults(tx: Tx, tenant_id: UUID, defaults: Mapping[str, Any], place: str) -> None:
    region = defaults.get("region")
    if region is not None and not is_region(region):
        raise RequestInvalid.of(f"{place}.region", "region_unknown", NO_REGION)
    await check_entry(tx, tenant_id, defaults.get("entry"), f"{place}.entry")
    check_attribution(defaults, await unknown_references(tx, tenant_id, [defaults]), place)


async def _locked(tx: Tx, tenant_id: UUID, source_id: UUID, expected: frozenset[str] | None) -> Record:
    row = await sql.source(tx, tenant_id, source_id, lock=True)
    if row is None:
        raise SourceNotFound()
    versions.check(expected, row.version)
    return row


async def _check_document(
    preset: str, overrides: Mapping[str, Any], egress: Egress | None, *, is_new: bool
) -> Document:
    """The document. Raises RequestInvalid for an unknown preset, MappingHasFaults with the path of every fault."""
    if len(orjson.dumps(overrides)) > MAX_DOCUMENT:
        detail = f"a source's overrides have at most {MAX_DOCUMENT} bytes as JSON"
        fault = {"field": "overrides", "code": "too_large", "detail": detail}
        raise MappingHasFaults(f"The mapping document is too large: {detail}.", errors=[fault])
    try:
        document = make_document(preset, overrides)
    except KeyError:
        raise RequestInvalid.of(
            "preset", "preset_unknown", f"unknown preset; presets are {', '.join(preset_names())}"
        ) from None
    except DocumentFaulty as faulty:
        raise _faulty(faulty.faults) from None
    faults = [*address_faults(document), *handshake_faults(document), *rule_faults(document)]
    if is_new:
        faults += [*member_faults(document), *_preset_faults(preset, overrides)]
    if is_new and egress is not None and not faults:
        faults += await target_faults(document, egress)
    if faults:
        raise _faulty(faults)
    return document


def _check_secrets(document: Document, given: Secrets) -> None:
    if errors := list(secret_faults(document, given)):
        raise MappingHasFaults(
            f"{len(errors)} of the secrets would never be used by the document; see `errors`.", errors=errors
        )


def _preset_faults(preset: str, overrides: Mapping[str, Any]) -> list[dict[str, str]]:
    named = overrides.get("preset", preset)
    if named == preset or named not in preset_names():  # an unknown one is a fault of the document
        return []
    detail = f"the source has the preset `{preset}`, which stays: name another in the source's own `preset`"
    return [{"field": "preset", "code": "preset_unused", "detail": detail}]


def _faulty(faults: list[dict[str, str]]) -> MappingHasFaults:
    errors = [{**fault, "field": f"overrides.{fault['field']}".rstrip(".")} for fault in faults]
    return MappingHasFaults(f"The mapping document has {len(errors)} faults; `errors` lists them.", errors=errors)
