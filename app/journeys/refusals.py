"""Map every kind of refusal of the rules to its problem."""

from __future__ import annotations

from typing import Final, Literal

from app import errors
from app.lifecycle.answer import (
    AlreadyInStage,
    BackwardMove,
    CriteriaUnmet,
    HumanRequired,
    InputRequired,
    OutOfOrder,
    ReasonRequired,
    Refusal,
    RoleNotAllowed,
    TransitionNotAllowed,
    UnknownAction,
    UnknownReason,
)
from app.policy.view import Unmet
from app.problem import Problem
from app.web.fields import rfc3339

REFUSALS = (
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
# What may move each of them back.
BACK: Final = {
    "lead": "only a correction may move a lead back",
    "opportunity": "an opportunity only moves forward; a closed one is reopened",
}


def problem(why: Refusal, of: Literal["lead", "opportunity"] = "lead") -> Problem:
    """The problem for a refusal to move a lead, or `of` what else, with the members of its code (api.md, section 3)."""
    match why:
        case UnknownAction(action):
            nothing = "Give `action`, or the target stage in `to`."
            return errors.UnknownAction(f"The policy has no action {action!r}." if action else nothing, action=action)
        case AlreadyInStage(stage, allowed):
            return errors.AlreadyInStage(f"The {of} is already in stage {stage}.", stage=stage, allowed_actions=allowed)
        case BackwardMove(stage, to, allowed):
            detail = f"{to} comes before {stage}; {BACK[of]}."
            return errors.BackwardMove(detail, stage=stage, to=to, allowed_actions=allowed)
        case TransitionNotAllowed(stage, action, allowed, use):
            detail = _elsewhere(why) if why.leads_to else _no_transition(of, stage, action) + _use(use)
            return errors.TransitionNotAllowed(detail, stage=stage, action=action, allowed_actions=allowed, use=use)
        case HumanRequired(action):
            return errors.HumanRequired(
                f"Only a person may {action}: send the id of a user in the Baton-Actor header.", action=action
            )
        case RoleNotAllowed(action, role, roles):
            detail = f"The role {role} may not {action}; allowed roles: {', '.join(roles)}."
            return errors.RoleNotAllowed(detail, action=action, role=role, roles=roles)
        case _:
            return _about_input(why)


def _about_input(why: ReasonRequired | InputRequired | UnknownReason | OutOfOrder | CriteriaUnmet) -> Problem:
    match why:
        case ReasonRequired(reasons):
            detail = f"reason_code is required, one of: {', '.join(reasons)}."
            return errors.ReasonRequired(detail, errors=_field("reason_code", "required", detail), reasons=reasons)
        case InputRequired(field):
            detail = f"{field} is required."
            return errors.InputRequired(detail, errors=_field(field, "required", detail), field=field)
        case UnknownReason(code, reasons):
            detail = f"reason_code {code!r} is not one of: {', '.join(reasons)}."
            return errors.UnknownReason(detail, errors=_field("reason_code", "unknown", detail), reasons=reasons)
        case OutOfOrder(earliest, latest, field):
            detail = f"{field} must be between {rfc3339(earliest)} and {rfc3339(latest)}."
            if earliest is None or latest is None:
                limit = f"later than {rfc3339(latest)}" if earliest is None else f"earlier than {rfc3339(earliest)}"
                detail = f"{field} must not be {limit}."
            found = _field(field, "out_of_order", detail)
            return errors.OutOfOrder(detail, errors=found, earliest=rfc3339(earliest), latest=rfc3339(latest))
        case CriteriaUnmet(unmet):
            listed = "; ".join(_describe(one) for one in unmet)
            return errors.CriteriaUnmet(f"Not met: {listed}.", unmet=list(unmet))


def _field(field: str, code: str, detail: str) -> list[dict[str, str]]:
    return [{"field": field, "code": code, "detail": detail}]


def _no_transition(of: str, stage: str | None, action: str | None) -> str:
    named = f"transition {action}" if action else "such transition"
    if stage is None:
        return f"The {of} has no stage, so no {named} is open."
    return f"The policy has no {named} {'' if of == 'lead' else f'of an {of} '}from stage {stage}."


def _elsewhere(why: TransitionNotAllowed) -> str:
    return f"{why.action} leads from stage {why.stage} to {' or '.join(why.leads_to)}, not to {why.to}."


def _use(use: str | None) -> str:
    return f" Use the {use} endpoint." if use else ""


def _describe(unmet: Unmet) -> str:
    missing = [one for one in unmet.get("missing") or () if isinstance(one, str)]  # type: ignore[attr-defined]
    without = f", without {', '.join(missing)}" if missing else ""
    return f"{unmet['criterion']} (have {unmet.get('have')}, need {unmet.get('need')}{without}){_late(unmet)}"


def _late(unmet: Unmet) -> str:
    """Why the lead was taken from who asks (app/transitions/late.py)."""
    match unmet.get("reason"):
        case "not_accepted_in_time":
            return f", because the lead was not accepted by {unmet['accept_by']}"
        case "clock_breached":
            return f", because the clock {unmet['clock']} ran out at {unmet['due_at']}"
        case _:
            return ""
