"""HTTP endpoints of the links by which people confirm and withdraw consents: public, since the link is the proof."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response

from app import ids
from app.confirmations.confirm import confirm, look_at
from app.confirmations.page import HEADERS, page
from app.confirmations.schemas import Confirmed, Withdrawable, WithdrawalLinkIn, WithdrawalLinkOut, Withdrawn
from app.confirmations.withdraw import WITHDRAW_PATH, look_at_withdrawal, make_link, withdraw
from app.database.faults import run_with_retries
from app.database.transaction import Record, Tx
from app.errors import (
    ConfirmationExpired,
    ConfirmationNotFound,
    DatabaseUnavailable,
    Erased,
    LeadMerged,
    LeadNotFound,
    Overloaded,
)
from app.web.accept import prefers
from app.web.auth import Caller, allowed
from app.web.client_address import address_of
from app.web.fields import LeadId, answer
from app.web.problems import declared, router
from app.web.transacted import InTx, Now

WITHDRAWAL_REFUSALS: Final = declared(ConfirmationNotFound, Erased, Overloaded, DatabaseUnavailable)
REFUSALS: Final = declared(ConfirmationNotFound, ConfirmationExpired, Erased, Overloaded, DatabaseUnavailable)
HTML: Final[dict[str, Any]] = {"content": {"text/html": {"schema": {"type": "string"}}}}
PAGE: Final = {"description": "Redirects a browser to the page that the source sets."}

api = APIRouter(prefix="/v1/confirm", tags=["confirmations"], responses=REFUSALS)
withdraw_api = APIRouter(prefix="/v1/withdraw", tags=["confirmations"], responses=WITHDRAWAL_REFUSALS)
links_api = router("/v1/leads", "leads")

Verb = Callable[[Tx, str, str | None, datetime], Awaitable[Record]]  # token, address of the client, now


@api.get("/{token}", response_model=Confirmed, responses={200: HTML, 303: PAGE})
async def confirm_consent(token: str, request: Request) -> Response:
    """Confirm the consents of a link from `lead.consent_requested`. A browser gets a page, other clients JSON."""
    return await _answer(request, token, confirm, _confirmed)


@api.head("/{token}", include_in_schema=False)
async def look_at_link(token: str, request: Request) -> Response:
    """Answers as GET would and confirms nothing: programs that look at the links of an e-mail send HEAD."""
    return await _answer(request, token, look_at, _confirmed)


@links_api.post(
    "/{lead_id}/withdrawal-links",
    status_code=201,
    response_model=WithdrawalLinkOut,
    responses=declared(LeadNotFound, LeadMerged, Erased),
)
async def create_withdrawal_link(
    lead_id: LeadId, body: WithdrawalLinkIn, caller: Annotated[Caller, allowed("leads:write")], tx: InTx, now: Now
) -> Response:
    """Make a link by which the person withdraws consents with one click; it stays good for ever.

    In an e-mail it goes into `List-Unsubscribe`, with `List-Unsubscribe-Post: List-Unsubscribe=One-Click`.
    """
    token = await make_link(tx, caller, lead_id, body.purposes, now)
    link = {"id": ids.show("withdrawal_link", token.request_id), "withdraw_url": f"{WITHDRAW_PATH}{token}"}
    return answer(link, 201)


@withdraw_api.post("/{token}", response_model=Withdrawn, responses={200: HTML})
async def withdraw_consent(token: str, request: Request) -> Response:
    """Withdraw the consents of a link, as often as it is used. A browser gets a page, other clients JSON."""
    return await _answer(request, token, withdraw, _withdrawn)


@withdraw_api.get("/{token}", response_model=Withdrawable, responses={200: HTML})
async def show_withdrawal(token: str, request: Request) -> Response:
    """What POST would withdraw; it changes nothing. A browser gets a page with a button, other clients JSON."""
    return await _answer(request, token, look_at_withdrawal, _withdrawable)


async def _answer(request: Request, token: str, verb: Verb, show: Callable[[Record, bool], Response]) -> Response:
    state, is_browser = request.app.state, prefers(request.headers.get("accept", ""), "text/html", "application/json")

    address = address_of(request, state.settings)

    async def opened() -> Record:
        async with state.engine.begin() as tx:
            return await verb(tx, token, None if address is None else str(address), state.clock.now())

    try:
        found = await run_with_retries(opened)
    except (ConfirmationNotFound, ConfirmationExpired, Erased) as problem:
        if not is_browser:
            raise
        return page(problem.status, "This link is not valid", problem.title())
    state.wake.set("events")
    return show(found, is_browser)


def _confirmed(request: Record, is_browser: bool) -> Response:
    if not is_browser:
        return answer({"state": "confirmed"})
    if request.confirmed_url is not None:
        return Response(status_code=303, headers={**HEADERS, "Location": request.confirmed_url})
    return page(200, "Thank you", "You have confirmed your consent. You can withdraw it at any time.")


def _withdrawn(link: Record, is_browser: bool) -> Response:
    if not is_browser:
        return answer({"state": "withdrawn"})
    return page(200, "Done", "You have withdrawn your consent.")


def _withdrawable(link: Record, is_browser: bool) -> Response:
    if not is_browser:
        return answer({"purposes": link.purposes})
    return page(200, "Withdraw your consent", "You will get no more of these messages.", button="Withdraw")
