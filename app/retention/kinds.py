"""The kinds of data that are kept for a time only. A kind is a row of this table: its period, and two statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sqlalchemy import TextClause, text

from app.retention import sql


@dataclass(frozen=True, slots=True)
class Kind:
    """`name`: of the counts; `period`: the member of the settings with its days.

    `count` and `remove` take tenant_id and before; `remove` also now and most, and returns a row for each removed.
    `prepare` comes before `remove` in the same transaction, where there is one, and has the same values.
    """

    name: str
    period: str
    count: TextClause
    remove: TextClause
    prepare: TextClause | None = None


def _kind(name: str, period: str, rows: str, remove: str, prepare: str | None = None) -> Kind:
    counting = text(f"SELECT count(*) {rows}")
    return Kind(name, period, counting, text(remove), None if prepare is None else text(prepare))


KINDS: Final = (
    _kind("raw", "raw_days", sql.RAW, sql.REMOVE_RAW),
    _kind("quarantined", "quarantined_days", sql.QUARANTINED, sql.REMOVE_QUARANTINED),
    _kind("spam", "spam_days", sql.SPAM, sql.REMOVE_SPAM),
    _kind("attempts", "attempts_days", sql.ATTEMPTS, sql.REMOVE_ATTEMPTS),
    _kind("audit", "audit_days", sql.AUDIT, sql.REMOVE_AUDIT, sql.MOVE_BEGINNING),
)
