"""What adds the lead to each event, where a request asks for it (`include=lead`)."""

from __future__ import annotations

from typing import Final

from fastapi import Request

from app.events.feed import IncludeLeads
from app.web.auth import Caller

LEADS_READ: Final = frozenset({"leads:read"})


def included_in(request: Request, caller: Caller, asked: str | None) -> IncludeLeads | None:
    """None if it was not asked for. Raises ScopeMissing where the caller may not read leads."""
    if asked is None:
        return None
    caller.require(LEADS_READ)
    found: IncludeLeads = request.app.state.include_leads
    return found
