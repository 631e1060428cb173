"""The routes of a policy document: who gets a lead (schema.md, section 1)."""

from __future__ import annotations

from typing import Literal

from app.policy.view import Part
from app.policy.words import Name, Role


class Route(Part):
    role: Role
    method: Literal["pool"]
    team: Name | None = None
