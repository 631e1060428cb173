"""From the rules' refusals to problems: one place, every kind."""

from __future__ import annotations

from app import errors
from app.errors import Problem
from app.lifecycle.answer import (
    AlreadyInStage,
    BackwardMove,
    CriteriaUnmet,
    HumanRequired,
    InputRequired,
    OutOfOrder,
    ReasonRequired,
    RoleNotAllowed,
    TransitionNotAllowed,
    UnknownAction,
    UnknownReason,
    Why,
)
from app.policy.view import Unmet
from app.web.fields import z

EVERY = (
    errors.UnknownAction,
    errors.AlreadyInStage,
    errors.BackwardMove,
    errors.TransitionNotAllowed,
    errors.HumanRequired,
    errors.RoleNotAllowed,
    errors.ReasonRequired,
    errors.InputRequired,
    errors.UnknownReason,
    errors.OutOfOrder,
    errors.CriteriaUnmet,
)


def problem(why: Why) -> Problem:
    """The problem that tells a refusal, with the members its code defines (api.md, section 3)."""
    match why:
        case UnknownAction(action):
            nothing = "Name an action, or in `to` the stage it leads to."
            return errors.UnknownAction(f"The policy has no action {action!r}." if action else nothing, action=action)
        case AlreadyInStage(stage, allowed):
            return errors.AlreadyInStage(f"It is in {stage} already.", stage=stage, allowed_actions=allowed)
        case BackwardMove(stage, to, allowed):
            detail = f"{to} stands before {stage}; only a correction goes back."
            return errors.BackwardMove(detail, stage=stage, to=to, allowed_actions=allowed)
        case TransitionNotAllowed(stage, action, allowed, use):
            detail = f"There is no {action or 'move'} from {stage or 'nowhere'}." + _use(use)
            return errors.TransitionNotAllowed(detail, stage=stage, action=action, allowed_actions=allowed, use=use)
        case HumanRequired(action):
            return errors.HumanRequired(f"Only a person may {action}: name one in Baton-Actor.", action=action)
        case RoleNotAllowed(action, role, roles):
            detail = f"The role {role} may not {action}; these may: {', '.join(roles)}."
            return errors.RoleNotAllowed(detail, action=action, role=role, roles=roles)
        case _:
            return _about_input(why)


def _about_input(why: ReasonRequired | InputRequired | UnknownReason | OutOfOrder | CriteriaUnmet) -> Problem:
    match why:
        case ReasonRequired(reasons):
            detail = f"Give a reason_code: {', '.join(reasons)}."
            return errors.ReasonRequired(detail, errors=_field("reason_code", "required", detail), reasons=reasons)
        case InputRequired(field):
            detail = f"{field} is required."
            return errors.InputRequired(detail, errors=_field(field, "required", detail), field=field)
        case UnknownReason(code, reasons):
            detail = f"{code} is not one of {', '.join(reasons)}."
            return errors.UnknownReason(detail, errors=_field("reason_code", "unknown", detail), reasons=reasons)
        case OutOfOrder(earliest, latest):
            detail = f"occurred_at must lie between {z(earliest) or 'the beginning'} and {z(latest)}."
            found = _field("occurred_at", "out_of_order", detail)
            return errors.OutOfOrder(detail, errors=found, earliest=z(earliest), latest=z(latest))
        case CriteriaUnmet(unmet):
            said = "; ".join(_said(one) for one in unmet)
            return errors.CriteriaUnmet(f"Not met: {said}.", unmet=list(unmet))


def _field(field: str, code: str, detail: str) -> list[dict[str, str]]:
    return [{"field": field, "code": code, "detail": detail}]


def _use(use: str | None) -> str:
    return f" Use the {use} endpoint." if use else ""


def _said(unmet: Unmet) -> str:
    return f"{unmet['criterion']} {unmet.get('have')}/{unmet.get('need')}"
