"""Asks the service that a source names whether a person has sent a form, before the form is processed.

The sender was answered long before. A submission is claimed, checked without a transaction, and then released for
processing with the outcome. It is asked at most once, since a token is good for one question: where the answer was lost
because the process died, and where none comes in time, the submission is taken as `unverified`.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import structlog

from app.database.faults import as_problem, run_with_retries
from app.database.transaction import Database, Record, Tx
from app.errors import SecretKeysMissing
from app.events.wake import first_of, within
from app.keyring import KeyRing
from app.sources import sql as sources_sql
from app.sources.bot_check import HEADERS, BotCheckState, check_request, read_answer
from app.sources.ready import ready_source
from app.sources.secrets import open_secrets
from app.submissions import across, sql
from app.submissions.entries import request_of

log = structlog.get_logger("baton.check")

POLL_SECONDS: Final = 1.0
CHECK_SECONDS: Final = 3.0
LEASE: Final = timedelta(seconds=30)  # longer than a check takes


class Answer(Protocol):
    """What came of a POST; `code` is None without a response, `head` the beginning of its body."""

    @property
    def code(self) -> int | None: ...
    @property
    def head(self) -> str: ...


class Egress(Protocol):
    """The HTTP client of webhooks, which refuses addresses that may not be called."""

    async def post(self, url: str, headers: dict[str, str], body: bytes, total: float | None = None) -> Answer: ...


async def check_forever(state: Any, stop: asyncio.Event) -> None:
    """Checks waiting submissions until `stop` is set: on every wake-up, and at least once a second."""
    while not stop.is_set():
        seen = state.wake.generation("checks")
        try:
            checked = await check_batch(state.engine, state.keyring, state.egress, state.clock.now())
        except Exception as error:  # neither an unavailable database nor a bug may end the loop
            log.warning("check_failed", error=type(error).__name__, unavailable=as_problem(error) is not None)
            await within(POLL_SECONDS, stop.wait())
            continue
        if checked:
            state.wake.set("submissions")
        else:
            await first_of(state.wake.wait("checks", seen, POLL_SECONDS), stop.wait())


async def check_batch(
    engine: Database, ring: KeyRing, egress: Egress, now: datetime, seconds: float = CHECK_SECONDS
) -> int:
    """Checks up to fifty submissions, of all tenants in turn, at the same time; how many."""

    async def claim() -> list[tuple[Record, Record]]:
        async with engine.begin() as tx:
            rows = await across.claim_unchecked(tx, now, now + LEASE)
            return [(row, source) for row in rows for source in await _source(tx, row)]

    claimed = await run_with_retries(claim)
    found = await asyncio.gather(*(_check(ring, egress, row, source, seconds) for row, source in claimed))

    async def release() -> None:
        async with engine.begin() as tx:
            for (row, _), outcome in zip(claimed, found, strict=True):
                await sql.set_bot_check(tx, row.tenant_id, row.id, outcome)

    if claimed:
        await run_with_retries(release)
    return len(claimed)


async def _source(tx: Tx, row: Record) -> list[Record]:
    return list(await sources_sql.sources_by_id(tx, row.tenant_id, [row.source_id]))


async def _check(ring: KeyRing, egress: Egress, row: Record, source: Record, seconds: float) -> BotCheckState:
    document = ready_source(source).document
    if row.asked or document is None or document.bot_check is None:
        return "unverified"
    try:
        wanted = check_request(document, open_secrets(ring, source), request_of(row))
    except SecretKeysMissing:
        return "unverified"
    if not isinstance(wanted, bytes):
        return wanted
    answer = await egress.post(document.bot_check.url, HEADERS, wanted, seconds)
    return read_answer(answer.code, answer.head)
