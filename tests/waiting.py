"""How tests wait: until something holds, never for a time. The bound only ends a test that would hang for ever."""

import asyncio
from collections.abc import Awaitable, Callable

PATIENCE = 300.0  # seconds; the machine of a test may be very busy


async def until(holds: Callable[[], bool | Awaitable[bool]], what: str = "the condition") -> None:
    """Return once `holds` does; AssertionError after PATIENCE."""
    end = asyncio.get_running_loop().time() + PATIENCE
    while True:
        found = holds()
        if await found if isinstance(found, Awaitable) else found:
            return
        assert asyncio.get_running_loop().time() < end, f"not within {PATIENCE:.0f} s: {what}"
        await asyncio.sleep(0.01)
