"""Waits until a report of now is the last word on its instant.

What a request writes is dated when its transaction begins (app/web/transacted.py), and seen once it is committed. So
where a report of the last moment is read while such a transaction is open, the same report as of that instant would be
another one later.
"""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from typing import Final

from app.database.transaction import Tx
from app.reports.across import open_transactions

RECENT: Final = timedelta(seconds=1)
LONGEST_WAIT: Final = 1.0
POLL_SECONDS: Final = 0.005


async def settle(tx: Tx, as_of: datetime, now: datetime) -> None:
    """Waits for the transactions that are open now, a second at most, where `as_of` is of the last second."""
    if now - as_of > RECENT:
        return
    until, still_open = time.monotonic() + LONGEST_WAIT, await open_transactions(tx)
    while still_open and time.monotonic() < until:
        await asyncio.sleep(POLL_SECONDS)
        still_open &= await open_transactions(tx)
