"""How many uploads of lists store rows, or convert spreadsheets, at the same time. The others wait."""

from __future__ import annotations

import asyncio
from typing import Final

# Connections of the pool that uploads use together, so that some are left for form fills however many lists arrive.
STORING: Final = 2
CONVERTING: Final = 4  # processes, each with memory of its own


class Uploads:
    """The turns of the uploads of this process, in the order in which they ask for one."""

    def __init__(self) -> None:
        self.storing, self.converting = asyncio.Semaphore(STORING), asyncio.Semaphore(CONVERTING)
