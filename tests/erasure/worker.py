"""A worker in its own process that does the steps of erasures: `python -m tests.erasure.worker URL`; tests kill it."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from app.database import engine as database
from app.database.engine import make_engine
from app.erasure import steps
from app.erasure.across import SETTLED
from app.keyring import KeyRing


async def main(url: str) -> None:
    database.SERVER_SETTINGS.update(statement_timeout="300s", lock_timeout="300s")  # as in all tests: no short timeouts
    steps.PAGE = 2  # type: ignore[misc]
    engine = make_engine(url, 2, "erasing")
    engine.keyring = KeyRing({"test": bytes(range(32))})
    while await steps.run_steps(engine, datetime.now(UTC) + SETTLED):
        print("page", flush=True)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
