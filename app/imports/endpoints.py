"""HTTP endpoints: /v1/imports."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from app.errors import (
    BodyTooLarge,
    CursorInvalid,
    ImportNotFound,
    ListInvalid,
    MappingHasFaults,
    RequestTimeout,
    SourceNotFound,
    StateConflict,
    UnsupportedMediaType,
)
from app.events.waiting import AllowLongRequest, with_connection
from app.imports import show, sql
from app.imports.errors_file import errors_file
from app.imports.receive import receive
from app.imports.results import page_of_rows
from app.imports.schemas import ImportedRowPage, ImportOut, ImportPage, ImportProgress, ListDryRunOut, ListOptions
from app.submissions.schemas import Verdict
from app.web.auth import Caller, allowed
from app.web.fields import ImportId, answer
from app.web.pages import Cursor, Limit, Page
from app.web.problems import IDEMPOTENT, declared, router
from app.web.transacted import InTx, Now

LIST_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            media: {"schema": {"type": "string", "format": "binary"}}
            for media in (
                "text/csv",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
                "application/vnd.oasis.opendocument.spreadsheet",
            )
        },
    }
}
CSV: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "A CSV.", "content": {"text/csv": {"schema": {"type": "string"}}}}
}
REFUSALS: Final = declared(
    SourceNotFound,
    MappingHasFaults,
    StateConflict,
    ListInvalid,
    BodyTooLarge,
    RequestTimeout,
    UnsupportedMediaType,
    *IDEMPOTENT,
)
DRY_RUN: Final = {"model": ListDryRunOut, "description": "With `dry_run`: what would come of the rows."}
# These two take long or answer much: they hold a connection for each statement only.
stream_api = APIRouter(prefix="/v1/imports", tags=["imports"])
api = router("/v1/imports", "imports")
Reader = Annotated[Caller, allowed("leads:read")]
Writer = Annotated[Caller, allowed("leads:write")]


@stream_api.post(
    "", status_code=202, response_model=ImportOut, responses={**REFUSALS, 200: DRY_RUN}, openapi_extra=LIST_BODY
)
async def create_import(
    request: Request,
    caller: Annotated[Caller, Depends(AllowLongRequest("leads:write"))],
    options: Annotated[ListOptions, Depends()],
) -> Response:
    """Import a list: the body is a CSV, XLSX, XLS or ODS file. 202: all rows are stored and will be processed."""
    return await receive(request, caller, options)


@stream_api.get("/{import_id}/errors", response_class=Response, responses={**CSV, **declared(ImportNotFound)})
async def get_errors(
    request: Request, import_id: ImportId, caller: Annotated[Caller, Depends(AllowLongRequest("leads:read"))]
) -> Response:
    """The refused rows as a CSV in the columns of the list, each with its reason: to be corrected and posted again."""
    row = await with_connection(request.app.state, lambda tx: sql.find(tx, caller.tenant_id, import_id))
    if row is None:
        raise ImportNotFound()
    headers = {"Content-Disposition": 'attachment; filename="errors.csv"', "Cache-Control": "no-store"}
    file = errors_file(request.app.state.engine, caller.tenant_id, row)
    return StreamingResponse(file, media_type="text/csv; charset=utf-8", headers=headers)


@api.get("", response_model=ImportPage, responses=declared(CursorInvalid))
async def list_imports(caller: Reader, tx: InTx, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List imports, newest first."""
    page = Page(limit, cursor)
    rows = await sql.list_imports(tx, caller.tenant_id, page)
    waiting = await sql.waiting(tx, caller.tenant_id, [row.id for row in rows])
    return answer(page.answer(rows, lambda row: show.import_of(row, is_waiting=row.id in waiting)))


@api.get("/{import_id}", response_model=ImportProgress, responses=declared(ImportNotFound))
async def get_import(import_id: ImportId, caller: Reader, tx: InTx) -> Response:
    """An import with its progress: how many of its rows have each verdict."""
    row = await sql.find(tx, caller.tenant_id, import_id)
    if row is None:
        raise ImportNotFound()
    return answer(show.import_with_progress(row, await sql.progress(tx, caller.tenant_id, import_id)))


@api.get("/{import_id}/rows", response_model=ImportedRowPage, responses=declared(ImportNotFound, CursorInvalid))
async def list_rows(
    import_id: ImportId,
    caller: Reader,
    tx: InTx,
    verdict: Annotated[Verdict | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The rows that are processed, in their order, with verdict, lead and reason."""
    if await sql.find(tx, caller.tenant_id, import_id) is None:
        raise ImportNotFound()
    return answer(await page_of_rows(tx, caller.tenant_id, import_id, verdict, limit, cursor))


@api.post("/{import_id}/cancel", response_model=ImportProgress, responses=declared(ImportNotFound, StateConflict))
async def cancel_import(import_id: ImportId, caller: Writer, tx: InTx, now: Now) -> Response:
    """Delete the rows that are not processed yet; leads of the others stay."""
    row = await sql.find(tx, caller.tenant_id, import_id)
    if row is None:
        raise ImportNotFound()
    if row.state == "stored" and not row.is_waiting:
        raise StateConflict("The import is completed: there is nothing left to cancel.")
    await sql.cancel(tx, caller.tenant_id, import_id, now)
    return await get_import(import_id, caller, tx)
