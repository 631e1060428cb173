"""Response bodies of imports (api.md, section 4)."""

from __future__ import annotations

from typing import Any

from app import ids
from app.database.transaction import Record
from app.web.fields import rfc3339

PLAIN = ("name", "rows", "bytes", "sha256", "columns", "text_guessed", "options")


def import_of(row: Record, *, is_waiting: bool) -> dict[str, Any]:
    """An import without its progress."""
    stored = "processing" if is_waiting else "completed"
    return {
        "id": ids.show("import", row.id),
        "source_id": ids.show("source", row.source_id),
        "state": stored if row.state == "stored" else row.state,
        **{name: getattr(row, name) for name in PLAIN},
        "created_at": rfc3339(row.created_at),
        "cancelled_at": rfc3339(row.cancelled_at),
    }


def import_with_progress(row: Record, progress: Record) -> dict[str, Any]:
    """An import with how many of its rows have each verdict."""
    shown, counts = import_of(row, is_waiting=row.is_waiting), progress.counts or {}
    is_complete = shown["state"] == "completed"
    return {
        **shown,
        "rows_done": sum(counts.values()),
        "counts": counts,
        "completed_at": rfc3339(progress.processed_at or row.updated_at) if is_complete else None,
    }


def row_of(row: Record) -> dict[str, Any]:
    """One processed row of a list."""
    return {
        "row": row.number,
        "verdict": row.verdict,
        "lead_id": ids.shown("lead", row.lead_id),
        "reason": row.reason,
        "unmet": row.unmet,
        "submission_id": ids.show("submission", row.id),
    }
