"""A process that keeps summaries until nothing is left, which a test kills: the database, and the instant."""

from __future__ import annotations

import asyncio
import sys
from datetime import datetime

from app.database import engine as database
from app.database.engine import make_engine
from app.reports.summaries import summarize_due


async def main(url: str, now: datetime) -> None:
    database.SERVER_SETTINGS.update(statement_timeout="300s", lock_timeout="300s")  # as in all tests: no short timeouts
    engine = make_engine(url, 2)
    while await summarize_due(engine, now):
        pass
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], datetime.fromisoformat(sys.argv[2])))
