"""Back-tests and shadow runs of policies."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from app.backtests import sql
from app.backtests.schemas import BacktestIn, BacktestOut, BacktestPage, BacktestSummary, JourneyPage, Listed
from app.backtests.show import page_of_journeys, show_backtest, show_summary
from app.backtests.start import start_backtest, start_shadow
from app.database.transaction import Record, Tx
from app.errors import (
    BacktestLimitReached,
    BacktestNotFound,
    CursorInvalid,
    PolicyNotFound,
    RequestInvalid,
    StateConflict,
)
from app.web.auth import Caller, allowed
from app.web.fields import BacktestId, PolicyId, answer
from app.web.pages import Cursor, Limit, Page
from app.web.problems import IDEMPOTENT, declared, router
from app.web.transacted import InTx, Now

api = router("/v1", "policies")
Reader = Annotated[Caller, allowed("policy:read")]
Writer = Annotated[Caller, allowed("policy:write")]
PROBLEMS = (PolicyNotFound, BacktestLimitReached, *IDEMPOTENT)


@api.post(
    "/policies/{policy_id}/backtests",
    status_code=202,
    response_model=BacktestSummary,
    responses=declared(*PROBLEMS, RequestInvalid),
)
async def create_backtest(
    policy_id: PolicyId, caller: Writer, tx: InTx, now: Now, body: BacktestIn | None = None
) -> Response:
    """Replay the policy and the active one over the recorded history, without changing any lead."""
    return _started(await start_backtest(tx, caller.tenant_id, policy_id, body or BacktestIn(), now))


@api.post(
    "/policies/{policy_id}/shadow", status_code=202, response_model=BacktestSummary, responses=declared(*PROBLEMS)
)
async def create_shadow(policy_id: PolicyId, caller: Writer, tx: InTx, now: Now) -> Response:
    """From now on, also evaluate every lead by this policy beside the active one, until it is cancelled."""
    return _started(await start_shadow(tx, caller.tenant_id, policy_id, now))


@api.get("/backtests", response_model=BacktestPage, responses=declared(CursorInvalid))
async def list_backtests(caller: Reader, tx: InTx, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """Back-tests and shadow runs, newest first."""
    page = Page(limit, cursor)
    return answer(page.answer(await sql.list_backtests(tx, caller.tenant_id, page), show_summary))


@api.get("/backtests/{backtest_id}", response_model=BacktestOut, responses=declared(BacktestNotFound))
async def get_backtest(backtest_id: BacktestId, caller: Reader, tx: InTx, now: Now) -> Response:
    """Its progress, and what it has found so far."""
    row = await _found(tx, caller.tenant_id, backtest_id)
    return answer(await show_backtest(tx, caller.tenant_id, row, now))


@api.get(
    "/backtests/{backtest_id}/journeys",
    response_model=JourneyPage,
    responses=declared(BacktestNotFound, CursorInvalid),
)
async def list_journeys(
    backtest_id: BacktestId,
    caller: Reader,
    tx: InTx,
    listed: Annotated[Listed, Query(alias="list")] = "candidate",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """One of its lists in full: who would have become an MQL and when, beside what was."""
    row = await _found(tx, caller.tenant_id, backtest_id)
    return answer(await page_of_journeys(tx, caller.tenant_id, row, listed, limit, cursor))


@api.post(
    "/backtests/{backtest_id}/cancel",
    response_model=BacktestSummary,
    responses=declared(BacktestNotFound, StateConflict, *IDEMPOTENT),
)
async def cancel_backtest(backtest_id: BacktestId, caller: Writer, tx: InTx, now: Now) -> Response:
    """End it; what it has found so far stays readable. A shadow run is then done."""
    row = await _found(tx, caller.tenant_id, backtest_id)
    state = "done" if row.kind == "shadow" else "cancelled"
    ended = await sql.finish(tx, caller.tenant_id, backtest_id, state, now)
    if ended is None:
        raise StateConflict("It has ended: there is nothing left to cancel.")
    return answer(show_summary(ended))


async def _found(tx: Tx, tenant_id: UUID, backtest_id: UUID) -> Record:
    row = await sql.find(tx, tenant_id, backtest_id)
    if row is None:
        raise BacktestNotFound()
    return row


def _started(row: Record) -> Response:
    shown = show_summary(row)
    return answer(shown, 202, location=f"/v1/backtests/{shown['id']}")
