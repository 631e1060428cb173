"""The results of the rules: Move, Emit, Stay, or Refused with the reason.

The effects of a `Move` are resolved, so that the code that writes it evaluates no stages, roles or conditions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from app.policy.facts import Actor, Confirmation, Entry
from app.policy.view import Unmet
from app.routing.route import OwnerChange


@dataclass(frozen=True, slots=True)
class Move:
    """A journey enters `to_stage`; every field after `entries` is an effect to be applied unchanged.

    `evidence` is JSON; `entries` are those of the score, if the guard reads the score.
    `owner`: keep, nobody, or the id of the new owner; `pool`: the role whose pool the lead is assigned to.
    `route`: the route by which it came into that pool, and whose rules choose who gets it.
    `set_baseline` is the new baseline, None keeps the old one. `wake_at` is stored as given, None included.
    `milestones` are (name, skipped) in funnel order; `voids` the names to void. `bant` are the rows to store.
    `voids_clocks` and `voids_routes`: the clocks whose runs, and the routes whose choices, are void as well.
    `assigned`: contact attempts count from `occurred_at` on; a claim from a pool does not restart the count.
    `corrects`: the move is a correction, after which the policy waits for something new.
    `pins` pins the journey to this policy unless it is pinned already, `unpins` lets it follow the active policy.
    `convert`: the move is a conversion, or one must follow in the same transaction.
    `emits` are the events named by its effects, in addition to those of every move.
    `starts_clocks` and `stops_clocks` are names of clocks; `all` stops every clock. `resumes_clocks` are started where
    they do not run.
    """

    from_stage: str | None
    to_stage: str
    action: str
    actor: Actor
    occurred_at: datetime
    reason_code: str | None = None
    note: str | None = None
    correction_of: str | None = None
    evidence: Mapping[str, object] = field(default_factory=dict)
    entries: tuple[Entry, ...] | None = None
    owner: OwnerChange = "keep"
    pool: str | None = None
    route: str | None = None
    assigned: bool = False
    set_baseline: datetime | None = None
    count_recycle: bool = False
    wake_at: datetime | None = None
    milestones: tuple[tuple[str, bool], ...] = ()
    voids: tuple[str, ...] = ()
    voids_clocks: tuple[str, ...] = ()
    voids_routes: tuple[str, ...] = ()
    opens: bool = False
    closes: bool = False
    reopens: bool = False
    corrects: bool = False
    pins: bool = False
    unpins: bool = False
    convert: bool = False
    bant: tuple[Confirmation, ...] = ()
    emits: tuple[str, ...] = ()
    starts_clocks: tuple[str, ...] = ()
    stops_clocks: tuple[str, ...] = ()
    resumes_clocks: tuple[str, ...] = ()

    def assigned_at(self, before: datetime | None) -> datetime | None:
        """Since when who has the lead after the move has it, in a pool or as the owner; None where nobody has it."""
        if self.assigned:
            return self.occurred_at
        return None if self.owner == "nobody" and self.pool is None else before


@dataclass(frozen=True, slots=True)
class Emit:
    """Events without a move and without a transition row. `clears_wake`: the journey's wake_at must be set to null."""

    action: str
    emits: tuple[str, ...]
    occurred_at: datetime
    clears_wake: bool = False


@dataclass(frozen=True, slots=True)
class OpportunityMove:
    """An opportunity enters `to_stage`. The journey it came from reaches `milestones`, and did not reach `voids`."""

    from_stage: str
    to_stage: str
    to_class: str
    action: str
    actor: Actor
    occurred_at: datetime
    reason_code: str | None = None
    note: str | None = None
    milestones: tuple[str, ...] = ()
    voids: tuple[str, ...] = ()
    closes: bool = False
    bant: tuple[Confirmation, ...] = ()


@dataclass(frozen=True, slots=True)
class Stay:
    """The action is allowed and makes no move (`to: same`)."""


@dataclass(frozen=True, slots=True)
class UnknownAction:
    """422: no such action; None: neither an action nor a stage was named."""

    code: ClassVar[str] = "unknown_action"
    action: str | None


@dataclass(frozen=True, slots=True)
class AlreadyInStage:
    """409: the target is the current stage."""

    code: ClassVar[str] = "already_in_stage"
    stage: str
    allowed_actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BackwardMove:
    """409: the target has a lower order than the current stage."""

    code: ClassVar[str] = "backward_move"
    stage: str
    to: str
    allowed_actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TransitionNotAllowed:
    """409: no edge from this stage. `use`: the endpoint to call, `conversion` or `conversion/revert`, if any.

    `to`: the stage that was asked for, where the action has an edge from here, which leads to `leads_to`.
    """

    code: ClassVar[str] = "transition_not_allowed"
    stage: str | None
    action: str | None
    allowed_actions: tuple[str, ...]
    use: str | None = None
    to: str | None = None
    leads_to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HumanRequired:
    """403: a machine requested an action that only people may do."""

    code: ClassVar[str] = "human_required"
    action: str


@dataclass(frozen=True, slots=True)
class RoleNotAllowed:
    """403: the actor's role may not do this. `roles` are those that may."""

    code: ClassVar[str] = "role_not_allowed"
    action: str
    role: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReasonRequired:
    """422: `reason_code` is missing. `reasons` are the active codes."""

    code: ClassVar[str] = "reason_required"
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class InputRequired:
    """422: the named input is missing."""

    code: ClassVar[str] = "input_required"
    field: str


@dataclass(frozen=True, slots=True)
class UnknownReason:
    """422: the reason is not an active one of the action's list."""

    code: ClassVar[str] = "unknown_reason"
    reason_code: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OutOfOrder:
    """422: the time that `field` gives is before `earliest` or after `latest`, where these are not None.

    `occurred_at` is neither before the previous transition nor in the future, `wake_at` not in the past.
    """

    code: ClassVar[str] = "out_of_order"
    earliest: datetime | None
    latest: datetime | None
    field: str = "occurred_at"


@dataclass(frozen=True, slots=True)
class CriteriaUnmet:
    """422: the guard does not hold. `unmet` are the leaves of schema.md, section 2."""

    code: ClassVar[str] = "criteria_unmet"
    unmet: tuple[Unmet, ...]


Refusal = (
    UnknownAction
    | AlreadyInStage
    | BackwardMove
    | TransitionNotAllowed
    | HumanRequired
    | RoleNotAllowed
    | ReasonRequired
    | InputRequired
    | UnknownReason
    | OutOfOrder
    | CriteriaUnmet
)


@dataclass(frozen=True, slots=True)
class Refused:
    """The move is refused; `why.code` is the error code of the API."""

    why: Refusal


@dataclass(frozen=True, slots=True)
class Eligible:
    """One action as the current stage and actor have it. `unmet` is the guard's, for any `code`; `needs` the inputs."""

    action: str
    to: str | None
    allowed: bool
    code: str | None
    unmet: tuple[Unmet, ...]
    needs: tuple[str, ...]


Decision = Move | Stay | Refused
