"""Faults of ours, for the log."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

from app.database import sqlstate


def anonymous(error: BaseException) -> dict[str, Any]:
    """An error for the log: its type and where it happened, without its text, which may quote somebody's data."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "error": type(error).__name__,
        "sqlstate": sqlstate(error) or None,
        "where": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }
