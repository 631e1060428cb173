"""Response models of policies."""

from __future__ import annotations

from typing import Any

from app import ids
from app.database.transaction import Record
from app.web.fields import ResponseBody, rfc3339


class PolicySummary(ResponseBody):
    id: str
    number: int
    name: str
    state: str


class PolicyOut(PolicySummary):
    origin: str
    sha256: str
    effective_from: str | None
    created_at: str
    document: dict[str, Any]


class PolicyPage(ResponseBody):
    data: list[PolicySummary]
    next: str | None


def show_summary(row: Record) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in ("number", "name", "state", "origin", "sha256")}
    instants = {"effective_from": rfc3339(row.effective_from), "created_at": rfc3339(row.created_at)}
    return {"id": ids.show("policy", row.id), **plain, **instants}


def show_policy(row: Record) -> dict[str, Any]:
    return {**show_summary(row), "document": row.document}
