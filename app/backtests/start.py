"""Asks for a back-test or a shadow run: what is compared is stored with it, and the worker does the rest."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app import ids
from app.backtests import sql
from app.backtests.schemas import BacktestIn
from app.database.transaction import Record, Tx
from app.errors import BacktestLimitReached, PolicyNotFound, RequestInvalid
from app.policies import sql as policies_sql

MAX_UNFINISHED: Final = 3
KEPT: Final = 20  # finished ones
DEFAULT_DAYS: Final = 180
MAX_DAYS: Final = 1_830  # five years


async def start_backtest(tx: Tx, tenant_id: UUID, policy_id: UUID, body: BacktestIn, now: datetime) -> Record:
    """Queues a back-test. Raises PolicyNotFound, RequestInvalid for a window that is none, BacktestLimitReached."""
    until = body.to or now
    since = body.from_ or until - timedelta(days=DEFAULT_DAYS)
    if until > now:
        raise RequestInvalid.of("to", "in_the_future", "a back-test needs history: give an instant that has passed")
    if since >= until:
        raise RequestInvalid.of("from", "not_before_to", "must be before `to`")
    if until - since > timedelta(days=MAX_DAYS):
        raise RequestInvalid.of("from", "window_too_long", f"at most {MAX_DAYS:,} days before `to`")
    return await _start(tx, tenant_id, policy_id, "backtest", since, until, now)


async def start_shadow(tx: Tx, tenant_id: UUID, policy_id: UUID, now: datetime) -> Record:
    """Queues a shadow run from now on. Raises PolicyNotFound, BacktestLimitReached."""
    return await _start(tx, tenant_id, policy_id, "shadow", now, None, now)


async def _start(
    tx: Tx, tenant_id: UUID, policy_id: UUID, kind: str, since: datetime, until: datetime | None, now: datetime
) -> Record:
    candidate = await policies_sql.policy(tx, tenant_id, policy_id)
    if candidate is None:
        raise PolicyNotFound()
    if await sql.count_unfinished(tx, tenant_id) >= MAX_UNFINISHED:
        raise BacktestLimitReached(limit=MAX_UNFINISHED)
    await sql.drop_old(tx, tenant_id, KEPT)
    baseline = await policies_sql.active_policy(tx, tenant_id)
    values = {
        "id": ids.new_id(),
        "kind": kind,
        "policy_id": candidate.id,
        "baseline_id": baseline.id,
        "documents": {"baseline": baseline.document, "candidate": candidate.document},
        "sha256": candidate.sha256,
        "from_at": since,
        "to_at": until,
        "log_position": await sql.log_head(tx, tenant_id),
        "created_at": now,
        "updated_at": now,
    }
    return await sql.insert_backtest(tx, tenant_id, values)
