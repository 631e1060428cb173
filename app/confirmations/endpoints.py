"""HTTP endpoint of the links by which people confirm consents: public, since the link is the proof."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from app.confirmations.confirm import confirm, look_at
from app.confirmations.page import HEADERS, page
from app.confirmations.schemas import Confirmed
from app.database.faults import run_with_retries
from app.database.transaction import Record, Tx
from app.errors import ConfirmationExpired, ConfirmationNotFound, DatabaseUnavailable, Erased, Overloaded
from app.web.accept import prefers
from app.web.fields import answer
from app.web.problems import declared

REFUSALS: Final = declared(ConfirmationNotFound, ConfirmationExpired, Erased, Overloaded, DatabaseUnavailable)
HTML: Final[dict[str, Any]] = {"content": {"text/html": {"schema": {"type": "string"}}}}
PAGE: Final = {"description": "Redirects a browser to the page that the source sets."}

api = APIRouter(prefix="/v1/confirm", tags=["confirmations"], responses=REFUSALS)


@api.get("/{token}", response_model=Confirmed, responses={200: HTML, 303: PAGE})
async def confirm_consent(token: str, request: Request) -> Response:
    """Confirm the consents of a link from `lead.consent_requested`. A browser gets a page, other clients JSON."""
    return await _answer(request, token, confirm)


@api.head("/{token}", include_in_schema=False)
async def look_at_link(token: str, request: Request) -> Response:
    """Answers as GET would and confirms nothing: programs that look at the links of an e-mail send HEAD."""
    return await _answer(request, token, look_at)


async def _answer(request: Request, token: str, verb: Callable[[Tx, str, datetime], Awaitable[Record]]) -> Response:
    state, is_browser = request.app.state, prefers(request.headers.get("accept", ""), "text/html", "application/json")

    async def opened() -> Record:
        async with state.engine.begin() as tx:
            return await verb(tx, token, state.clock.now())

    try:
        found = await run_with_retries(opened)
    except (ConfirmationNotFound, ConfirmationExpired, Erased) as problem:
        if not is_browser:
            raise
        return page(problem.status, "This link is not valid", problem.title())
    state.wake.set("events")
    if not is_browser:
        return answer({"state": "confirmed"})
    if found.confirmed_url is not None:
        return Response(status_code=303, headers={**HEADERS, "Location": found.confirmed_url})
    return page(200, "Thank you", "You have confirmed your consent. You can withdraw it at any time.")
