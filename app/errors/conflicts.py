"""What conflicts with the present state."""

from __future__ import annotations

from app.errors.problem import Problem


class Conflict(Problem):
    """The request conflicts with the present state."""

    status = 409
    code = "conflict"


class TransitionNotAllowed(Conflict):
    """The policy has no such edge from the lead's stage."""

    code = "transition_not_allowed"


class AlreadyInStage(Conflict):
    """The lead is in that stage already."""

    code = "already_in_stage"


class BackwardMove(Conflict):
    """The target stands before the lead's stage; only a correction goes back."""

    code = "backward_move"


class LeadAlreadyConverted(Conflict):
    """The lead's journey has a live conversion."""

    code = "lead_already_converted"


class AmbiguousMatch(Conflict):
    """Several records match, or none for certain: say which (`use`) or that it is new (`create`)."""

    code = "ambiguous_match"


class AlreadyExists(Conflict):
    """A live record holds that key already."""

    code = "already_exists"


class IdentityTaken(Conflict):
    """Another lead owns that identity."""

    code = "identity_taken"


class LeadMerged(Conflict):
    """The lead was merged into another; write to that one."""

    code = "lead_merged"


class InUse(Conflict):
    """Something still refers to it."""

    code = "in_use"


class StateConflict(Conflict):
    """It is not in a state in which this can be done."""

    code = "state_conflict"


class IdempotencyInProgress(Conflict):
    """The first request with this key is still at work."""

    code = "idempotency_in_progress"
    retry_after = 1


class VersionConflict(Problem):
    """If-Match names a version that is not the current one."""

    status = 412
    code = "version_conflict"
