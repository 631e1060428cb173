"""Response models of the differences between two policies."""

from __future__ import annotations

from typing import Any

from app.database.transaction import Record
from app.policies.schemas import PolicySummary, show_summary
from app.policy.differences import differences
from app.web.fields import ResponseBody


class PolicyChange(ResponseBody):
    """One difference: `place` is a JSON pointer into the policy asked for, or, of what is gone, into the other one."""

    place: str
    old: Any
    new: Any
    text: str


class PolicyDiff(ResponseBody):
    policy: PolicySummary
    against: PolicySummary
    changes: list[PolicyChange]


def show_diff(row: Record, against: Record) -> dict[str, Any]:
    changes = [
        {"place": one.place, "old": one.old, "new": one.new, "text": one.text}
        for one in differences(against.document, row.document)
    ]
    return {"policy": show_summary(row), "against": show_summary(against), "changes": changes}
