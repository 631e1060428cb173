"""Let requests to the same process go on while many leads are evaluated."""

from __future__ import annotations

import asyncio
from typing import Final

TURNS: Final = 8  # about as many as an accepted form fill takes from its first byte to its answer


async def give_way() -> None:
    """Gives up the event loop for some turns. Each step of a request takes one: with a single turn, an evaluation would
    come between any two steps."""
    for _ in range(TURNS):
        await asyncio.sleep(0)
