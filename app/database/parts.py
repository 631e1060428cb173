"""Parts of a statement that writes rows of several tables: features add theirs to the one that writes leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol


class Part(NamedTuple):
    """A CTE that writes the rows of the JSON parameter `name`. It may use the parameter `tenant_id`.

    `contested`: unique keys that another transaction may have taken meanwhile; then the transaction is run again.
    """

    name: str
    sql: str
    contested: frozenset[str] = frozenset()


Rows = Mapping[Part, Sequence[Mapping[str, Any]]]


class Unwritten(Protocol):
    """What a transaction has decided, and writes with its last statement."""

    async def write(self, more: Rows) -> None:
        """Writes it, and further rows, in one statement."""
