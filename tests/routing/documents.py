"""Policies with routes for tests: a shipped one, with another route to SDRs and with teams."""

from __future__ import annotations

import json
from typing import Any

from app.policy.document import Policy
from app.policy.shipped import shipped


def routed_document(route: dict[str, Any], teams: dict[str, Any] | None = None, base: str = "waterfall") -> Any:
    document = shipped(base).model_dump(mode="json", by_alias=True, exclude_unset=True)
    document["routing"]["sdr"] = {"role": "sdr", "method": "pool", **route}
    document["teams"] = teams or {}
    return document


def routed(route: dict[str, Any], teams: dict[str, Any] | None = None, base: str = "waterfall") -> Policy:
    """The policy, not checked."""
    return Policy.model_validate_json(json.dumps(routed_document(route, teams, base)))
