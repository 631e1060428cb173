"""A dispatcher in its own process, which tests kill: `python -m tests.webhooks.dispatcher URL LEASE`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from app.database import engine as database
from app.database.engine import make_engine
from app.events.wake import Wake
from app.settings import Settings
from app.webhooks.deliver import dispatch_forever
from app.webhooks.lane_context import Timing


async def main(url: str, lease: float) -> None:
    stop, wake = asyncio.Event(), Wake(url)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = Settings(
        env="test",
        database_url=url,
        secret_keys={"test": bytes(range(32))},
        allowed_targets="127.0.0.0/8",
        retry_schedule="0,0.2,0.2,0.2,0.2,0.2",
    )
    database.SERVER_SETTINGS.update(statement_timeout="300s", lock_timeout="300s")  # as in all tests: no short timeouts
    database.POOL_SECONDS = 300  # type: ignore[misc]
    engine = make_engine(url, 5, name=f"dispatcher {os.getpid()}")  # so that tests can tell who wrote a row
    print("running", flush=True)
    await asyncio.gather(
        wake.run(stop), dispatch_forever(engine, settings, wake, stop, Timing(lease=lease, renew=lease / 6, idle=5))
    )
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
