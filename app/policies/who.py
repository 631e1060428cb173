"""Who may do what with a policy: authors write, propose and activate it; people of both sides approve it."""

from __future__ import annotations

from typing import Final

from app.errors import HumanRequired, RoleNotAllowed
from app.policy.facts import Actor
from app.policy.words import may

AUTHORS: Final = ("marketing", "manager")
SIDES: Final = {"marketing": ("marketing",), "sales": ("sdr", "ae", "manager")}
APPROVERS: Final = tuple(role for roles in SIDES.values() for role in roles)


def check_author(actor: Actor, action: str) -> None:
    """Raises RoleNotAllowed for a user who is neither of marketing nor a manager or admin; a key may do what it has the
    scope for."""
    if actor.kind == "human" and not may(actor.role, AUTHORS):
        raise _refused(actor, action, (*AUTHORS, "admin"))


def side_of(actor: Actor) -> str:
    """The side for which this person approves. Raises HumanRequired for a key, RoleNotAllowed for a role of no side."""
    if actor.kind != "human":
        raise HumanRequired(
            "Only a person may approve: send the id of a user in the Baton-Actor header.", action="approve"
        )
    for side, roles in SIDES.items():
        if actor.role in roles:
            return side
    raise _refused(actor, "approve", APPROVERS)


def _refused(actor: Actor, action: str, roles: tuple[str, ...]) -> RoleNotAllowed:
    detail = f"The role {actor.role} may not {action} a policy; allowed roles: {', '.join(roles)}."
    return RoleNotAllowed(detail, action=action, role=actor.role, roles=roles)
