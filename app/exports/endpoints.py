"""HTTP endpoints of exports: all that is stored about a person."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import IO, Annotated, Any, Final, Literal

from fastapi import Query, Request
from fastapi.responses import StreamingResponse

from app import ids
from app.database.faults import run_with_retries
from app.database.transaction import Tx
from app.errors import Erased, LeadNotFound, RequestInvalid
from app.exports.person import Person, person_of_lead, person_with
from app.exports.schemas import ExportIn
from app.exports.sections import json_schema
from app.exports.write import write_document, write_zip
from app.journeys.load import read_lead
from app.tenants import audit
from app.web.accept import prefers
from app.web.auth import Caller, allowed
from app.web.fields import LeadId
from app.web.problems import declared, router
from app.web.transacted import Unstored

ZIP: Final = "application/zip"
JSON: Final = "application/json"
DOCUMENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "The document; as a ZIP `export.json` with it, and the raw submissions.",
        "content": {JSON: {"schema": json_schema()}, ZIP: {"schema": {"type": "string", "format": "binary"}}},
    }
}
CHUNK: Final = 1 << 16
# The transaction is over before the answer is sent. A stored answer would be one more copy of the data.
api = router("/v1", "privacy", Unstored)
Privacy = Annotated[Caller, allowed("privacy")]
Format = Annotated[
    Literal["json", "zip"] | None, Query(description="`zip` adds the raw submissions; so does Accept: application/zip.")
]


@api.get(
    "/leads/{lead_id}/export",
    response_class=StreamingResponse,
    responses={**DOCUMENT, **declared(LeadNotFound, Erased)},
)
async def export_lead(request: Request, lead_id: LeadId, caller: Privacy, format: Format = None) -> StreamingResponse:
    """Everything that is stored about the person of a lead, also of leads merged into it. The audit log tells of it."""

    async def find(tx: Tx) -> Person:
        lead = (await read_lead(tx, caller.tenant_id, lead_id, request.app.state.clock.now())).lead
        return await person_of_lead(tx, caller.tenant_id, lead.id)

    return await _export(request, caller, find, ids.show("lead", lead_id), format)


@api.post("/exports", response_class=StreamingResponse, responses={**DOCUMENT, **declared(RequestInvalid)})
async def export_person(request: Request, body: ExportIn, caller: Privacy, format: Format = None) -> StreamingResponse:
    """Everything that is stored about the person with an identity, also where they are no lead; nothing is changed."""

    async def find(tx: Tx) -> Person:
        return await person_with(tx, caller.tenant_id, body.identity)

    return await _export(request, caller, find, "person", format)


async def _export(
    request: Request,
    caller: Caller,
    find: Callable[[Tx], Awaitable[Person]],
    subject: str,
    format: Literal["json", "zip"] | None,
) -> StreamingResponse:
    state = request.app.state
    is_zip = format == "zip" if format else prefers(request.headers.get("accept", ""), ZIP, JSON)

    async def write() -> IO[bytes]:
        async with state.engine.begin() as tx:
            now = state.clock.now()
            person = await find(tx)
            file = await (write_zip if is_zip else write_document)(tx, person, now)
            leads = [ids.show("lead", one) for one in person.leads]
            detail = {"leads": leads, "submissions": len(person.submissions)}
            await audit.record(tx, caller, caller.tenant_id, "person.exported", subject, now, detail)
        return file

    async with state.waiters.connections:
        file = await run_with_retries(write)
    name = "export.zip" if is_zip else "export.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(_chunks(file), media_type=ZIP if is_zip else JSON, headers=headers)


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK):
            yield chunk
