"""Tests wait for a condition, never for a fixed time. The time-out only ends a test that would never finish."""

import asyncio
from collections.abc import Awaitable, Callable

TIMEOUT_SECONDS = 300.0  # seconds; long, because the machine may be very busy


async def until(holds: Callable[[], bool | Awaitable[bool]], what: str = "the condition") -> None:
    """Poll `holds` until it is true; AssertionError after TIMEOUT_SECONDS."""
    end = asyncio.get_running_loop().time() + TIMEOUT_SECONDS
    while True:
        found = holds()
        if await found if isinstance(found, Awaitable) else found:
            return
        assert asyncio.get_running_loop().time() < end, f"not within {TIMEOUT_SECONDS:.0f} s: {what}"
        await asyncio.sleep(0.01)
