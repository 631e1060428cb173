"""Whether a user is absent at an instant, by the absences that the user's record has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime


def is_absent(absences: Iterable[Mapping[str, str | None]], now: datetime) -> bool:
    """An absence without an end lasts until it is removed."""
    return any(
        datetime.fromisoformat(one["starts_at"] or "") <= now
        and (one["ends_at"] is None or now < datetime.fromisoformat(one["ends_at"]))
        for one in absences
    )
