"""Problems that only conversions have."""

from __future__ import annotations

from app.problem import Conflict


class ConversionReverted(Conflict):
    """The conversion of the lead's journey was taken back already; `reverted_at` says when."""
