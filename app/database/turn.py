"""Whose turn it is: work that waits for several tenants is claimed from each of them in turn (docs/decisions/0034)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from app.database.transaction import Records

FIRST: Final = UUID(int=0)


@dataclass(slots=True)
class Turn:
    """The tenant that was served last. The next batch begins with the tenant after it, in the order of their ids."""

    after: UUID = FIRST

    def took(self, rows: Records) -> Records:
        """Notes the tenant of the last row by `served`, the order in which rows are given out; returns the rows."""
        if rows:
            self.after = max(rows, key=lambda row: row.served).tenant_id
        return rows
