"""HTTP endpoints: /v1/sources, /v1/presets, and the dry run of a source."""

from __future__ import annotations

from typing import Annotated

from fastapi import Request, Response

from app.database.transaction import Record
from app.errors import (
    AccountNotFound,
    ContactNotFound,
    InUse,
    MappingHasFaults,
    MappingTooCostly,
    PresetNotFound,
    SecretKeysMissing,
    SourceNotFound,
    StateConflict,
    VersionConflict,
)
from app.sources import change, dry_run, preset, secrets, sql
from app.sources.schemas import (
    DryRun,
    DryRunOut,
    PresetOut,
    PresetPage,
    SourceCreate,
    SourceOut,
    SourcePage,
    SourcePatch,
    show_source,
)
from app.tenants import audit
from app.web.auth import Caller, allowed
from app.web.fields import SourceId, answer
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected

api = router("/v1", "sources")
Admin = Annotated[Caller, allowed("admin")]
Reader = Annotated[Caller, allowed("leads:read")]
REFERENCE_PROBLEMS = (ContactNotFound, AccountNotFound)  # of the defaults


def _show(request: Request, row: Record) -> dict[str, object]:
    state = request.app.state
    return show_source(row, state.settings.address, secrets.summary(state.keyring, row))


@api.post(
    "/sources", status_code=201, response_model=SourceOut, responses=declared(MappingHasFaults, *REFERENCE_PROBLEMS)
)
async def create_source(body: SourceCreate, caller: Admin, tx: InTx, now: Now, request: Request) -> Response:
    """Create a source: a preset, overrides of it, and the secrets that verify its sender."""
    values = {**body.model_dump(exclude={"defaults"}), "defaults": body.defaults.model_dump(exclude_none=True)}
    state = request.app.state
    row = await change.create_source(tx, caller.tenant_id, values, state.keyring, now, state.egress)
    shown = _show(request, row)
    await audit.record(tx, caller, caller.tenant_id, "source.created", str(shown["id"]), now)
    return answer(shown, 201, version=row.version, location=f"/v1/sources/{shown['id']}")


@api.get("/sources", response_model=SourcePage)
async def list_sources(
    caller: Reader, tx: InTx, request: Request, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List the sources that are not archived."""
    page = Page(limit, cursor)
    return answer(page.answer(await sql.list_sources(tx, caller.tenant_id, page), lambda row: _show(request, row)))


@api.get("/sources/{source_id}", response_model=SourceOut, responses=declared(SourceNotFound))
async def get_source(source_id: SourceId, caller: Reader, tx: InTx, request: Request) -> Response:
    row = await sql.source(tx, caller.tenant_id, source_id)
    if row is None:
        raise SourceNotFound()
    return answer(_show(request, row), version=row.version)


@api.patch(
    "/sources/{source_id}",
    response_model=SourceOut,
    responses=declared(
        SourceNotFound,
        VersionConflict,
        MappingHasFaults,
        StateConflict,
        InUse,
        SecretKeysMissing,
        *REFERENCE_PROBLEMS,
    ),
)
async def patch_source(
    source_id: SourceId, body: SourcePatch, caller: Admin, tx: InTx, now: Now, expected: Expected, request: Request
) -> Response:
    """Change the members given; `secrets` are merged by name. All processes use the change within five seconds."""
    values = body.model_dump(exclude_unset=True)
    if body.defaults is not None:
        values["defaults"] = body.defaults.model_dump(exclude_none=True)
    ring, egress = request.app.state.keyring, request.app.state.egress
    row = await change.change_source(tx, caller.tenant_id, source_id, values, expected, ring, now, egress)
    shown = _show(request, row)
    if row.updated_at == now:  # else the same values were sent again
        members = {"members": sorted(values)}
        await audit.record(tx, caller, caller.tenant_id, "source.changed", str(shown["id"]), now, members)
    return answer(shown, version=row.version)


@api.delete(
    "/sources/{source_id}", response_model=SourceOut, responses=declared(SourceNotFound, VersionConflict, InUse)
)
async def archive_source(
    source_id: SourceId, caller: Admin, tx: InTx, now: Now, expected: Expected, request: Request
) -> Response:
    """Archive a source: its ingest URL answers 401; its submissions and leads stay."""
    row = await change.archive_source(tx, caller.tenant_id, source_id, expected, now)
    shown = _show(request, row)
    if row.archived_at == now:
        await audit.record(tx, caller, caller.tenant_id, "source.archived", str(shown["id"]), now)
    return answer(shown, version=row.version)


@api.post(
    "/sources/{source_id}/dry-run",
    response_model=DryRunOut,
    responses=declared(SourceNotFound, MappingHasFaults, MappingTooCostly),
)
async def dry_run_source(source_id: SourceId, body: DryRun, caller: Reader, tx: InTx, now: Now) -> Response:
    """Map a request and return the items, without verifying its signature and without writing anything."""
    return answer({"items": await dry_run.dry_run(tx, caller.tenant_id, source_id, body.model_dump(), now)})


@api.get("/presets", response_model=PresetPage)
async def list_presets(caller: Reader) -> Response:
    """List the built-in presets, with their full documents."""
    return answer({"data": [preset.preset(name) for name in preset.preset_names()], "next": None})


@api.get("/presets/{name}", response_model=PresetOut, responses=declared(PresetNotFound))
async def get_preset(name: str, caller: Reader) -> Response:
    try:
        return answer(preset.preset(name))
    except KeyError:
        raise PresetNotFound() from None
