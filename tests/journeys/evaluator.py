"""A worker that evaluates due leads in small batches as of the given instant, for a test that kills it."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

from app.database.engine import make_engine
from app.journeys import refresh


async def main(url: str, now: str) -> None:
    refresh.BATCH = 2  # type: ignore[misc]
    engine = make_engine(url)
    while await refresh.refresh_due(engine, lambda: datetime.fromisoformat(now)):
        print("evaluated", flush=True)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
