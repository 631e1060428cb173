"""GET /v1/audit: who did what, and who read keys, raw submissions and exports."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any, Final

from fastapi import Query, Response
from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from app import ids
from app.database.transaction import Record
from app.errors import CursorInvalid
from app.tenants import audit_sql
from app.tenants.acts import Act
from app.tenants.schemas import AuditPage
from app.web.auth import Caller, allowed
from app.web.fields import EXAMPLES, Instant, answer, rfc3339
from app.web.pages import Cursor, Limit, Page
from app.web.parameters import check_window
from app.web.problems import declared, router
from app.web.transacted import InTx

api = router("/v1/audit", "administration")
NO_LEAD: Final = "person"
SUBJECTS: Final = ("key", "lead", "policy", "source", "submission", "tenant", "user")
ACTORS: Final = ("user", "key")


def _subject(text: str) -> str:
    return text if text == NO_LEAD else _id_of(SUBJECTS, text)


def _actor(text: str) -> str:
    return _id_of(ACTORS, text)


def _id_of(kinds: tuple[str, ...], text: str) -> str:
    """The text, if it is an id of one of the kinds: a misspelt one must not read as if nothing had been done."""
    for kind in kinds:
        with suppress(ValueError):
            ids.read(kind, text)
            return text
    *others, last = (f"{ids.PREFIXES[kind]}_…" for kind in kinds)
    example = {"prefixes": f"{', '.join(others)} or {last}", "example": EXAMPLES[kinds[0]]}
    raise PydanticCustomError("id_malformed", "write an id that begins with {prefixes}, like {example}", example)


@api.get("", response_model=AuditPage, responses=declared(CursorInvalid))
async def list_audit(
    caller: Annotated[Caller, allowed("admin")],
    tx: InTx,
    act: Annotated[Act | None, Query(description="What was done.")] = None,
    subject: Annotated[
        Annotated[str, AfterValidator(_subject)] | None,
        Query(description=f"The id of what it was done to, or `{NO_LEAD}`: one who is exported and is no lead."),
    ] = None,
    actor: Annotated[
        Annotated[str, AfterValidator(_actor)] | None,
        Query(description="The id of who did it: a user or a key."),
    ] = None,
    from_: Annotated[Instant | None, Query(alias="from", description="Recorded then or later.")] = None,
    to: Annotated[Instant | None, Query(description="Recorded before.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The audit log, the latest row first; `head` is the number and hash of the last row that was written."""
    check_window(from_, to)
    filters: dict[str, Any] = {"act": act, "subject": subject, "actor": actor, "from": from_, "to": to}
    page = Page(limit, cursor, "recorded_at", filters)
    shown = page.answer(await audit_sql.list_audit(tx, caller.tenant_id, page, filters), show)
    head = await audit_sql.head(tx, caller.tenant_id)
    return answer({**shown, "head": head and {"number": head.number, "hash": head.hash.hex()}})


def show(row: Record) -> dict[str, Any]:
    """An audit row as responses have it."""
    return {
        "id": ids.show("audit", row.id),
        "number": row.number,
        "recorded_at": rfc3339(row.recorded_at),
        "act": row.act,
        "subject": row.subject,
        "actor": row.actor,
        "detail": row.detail,
        "hash": row.hash.hex(),
    }
