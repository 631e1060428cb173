"""Fetches the records that notifications name: claim, get without a transaction, store what each attempt gave.

A record is got through the same checks of addresses as a webhook is sent, and with the same waits between attempts. An
attempt that ends with its process is made again after the lease.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog

from app.clock import ReadClock
from app.database.faults import is_away
from app.database.transaction import Database, Record
from app.database.turn import Turn
from app.errors import SecretKeysMissing
from app.keyring import KeyRing
from app.sources.document import Fetch
from app.sources.ready import ready_source
from app.sources.secrets import open_secrets
from app.sources.verify import secret_values
from app.submissions import across, sql
from app.submissions.fetched import failed_item, map_record, settle_fetched
from app.webhooks.egress import Egress, Fetched
from app.webhooks.retry import Outcome, RetryAt, next_attempt

log = structlog.get_logger("baton.fetch")

LEASE: Final = timedelta(seconds=120)  # longer than an attempt may take
MAX_BYTES: Final = 1024 * 1024
USER_AGENT: Final = "Baton-Fetch/1"


@dataclass(frozen=True, slots=True)
class FetchContext:
    """What all fetches of a process share."""

    engine: Database
    egress: Egress
    ring: KeyRing
    schedule: Sequence[float]


async def fetch_due(context: FetchContext, turn: Turn, clock: ReadClock) -> int:
    """Fetches up to twenty records that are due, of all tenants in turn; returns how many."""
    async with context.engine.begin() as tx:
        rows = await across.claim_fetches(tx, turn, now := clock(), now + LEASE)
    answers = await asyncio.gather(*(_get(context, row) for row in rows))
    for row, answer in zip(rows, answers, strict=True):
        try:
            await _store(context, row, answer, clock)
        except Exception as error:  # one record that cannot be stored must not stop the others
            if is_away(error):
                raise
            log.warning("fetched_record_not_stored", error=type(error).__name__)
    return len(rows)


async def _get(context: FetchContext, row: Record) -> Fetched:
    source = ready_source(row)
    fetch = source.document.fetch if source.document is not None else None
    url = row.mapped.get("fetch_url")
    if fetch is None or not url:
        return Fetched(Outcome(None, "no_fetch_in_document"))
    try:
        headers = _headers(context, row, fetch)
    except SecretKeysMissing:
        return Fetched(Outcome(None, SecretKeysMissing.code))
    if headers is None:
        return Fetched(Outcome(None, "secret_missing"))
    return await context.egress.get(url, headers, MAX_BYTES)


def _headers(context: FetchContext, row: Record, fetch: Fetch) -> dict[str, str] | None:
    """The headers of the request; None while the secret that it needs is not set."""
    headers = {"user-agent": USER_AGENT, "accept": "application/json", "accept-encoding": "identity", **fetch.headers}
    if fetch.auth is not None:
        values = secret_values(open_secrets(context.ring, row), fetch.auth)
        if not values:
            return None
        headers[fetch.header] = fetch.prefix + values[0]
    return headers


async def _store(context: FetchContext, row: Record, answer: Fetched, clock: ReadClock) -> None:
    source, outcome = ready_source(row), answer.outcome
    if outcome.delivered and source.document is not None:
        item = await map_record(source, row, answer.headers, answer.body)
        await settle_fetched(context.engine, source, row, item, clock)
        return
    why = _why(outcome)
    jitter = secrets.randbelow(1_000) / 1_000
    match next_attempt(outcome, row.fetch_tries, clock(), jitter, context.schedule):
        case RetryAt(at):
            async with context.engine.begin() as tx:
                place = row.submission_id, row.place, row.fetch_tries
                await sql.fetch_later(tx, row.tenant_id, *place, at, why)
        case _:
            await settle_fetched(context.engine, source, row, failed_item(row, why), clock)


def _why(outcome: Outcome) -> dict[str, Any]:
    have = f"HTTP {outcome.code}" if outcome.code is not None else outcome.error
    return {"criterion": "fetch", "have": have, "need": "an answer with status 2xx and the record"}
