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
            detail = f"The policy has no action {action!r}." if action else nothing
            return errors.UnknownAction.in_field("action", detail, action=action)
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
            found = _field("reason_code", "required", f"is required, one of: {', '.join(reasons)}")
            return errors.ReasonRequired(_sentence(found), errors=[found], reasons=reasons)
        case InputRequired(field):
            found = _field(field, "required", "is required")
            return errors.InputRequired(_sentence(found), errors=[found], field=field)
        case UnknownReason(code, reasons):
            found = _field("reason_code", "unknown", f"{code!r} is not one of: {', '.join(reasons)}")
            return errors.UnknownReason(_sentence(found), errors=[found], reasons=reasons)
        case OutOfOrder(earliest, latest, field):
            what = f"must be between {rfc3339(earliest)} and {rfc3339(latest)}"
            if earliest is None or latest is None:
                limit = f"later than {rfc3339(latest)}" if earliest is None else f"earlier than {rfc3339(earliest)}"
                what = f"must not be {limit}"
            found = _field(field, "out_of_order", what)
            limits = {"earliest": rfc3339(earliest), "latest": rfc3339(latest)}
            return errors.OutOfOrder(_sentence(found), errors=[found], **limits)
        case CriteriaUnmet(unmet):
            listed = "; ".join(_describe(one) for one in unmet)
            return errors.CriteriaUnmet(f"Not met: {listed}.", unmet=list(unmet))


def _field(field: str, code: str, detail: str) -> dict[str, str]:
    return {"field": field, "code": code, "detail": detail}


def _sentence(found: dict[str, str]) -> str:
    """The detail of the problem: that of its field, which does not name the field once more."""
    return f"{found['field']} {found['detail']}."


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
