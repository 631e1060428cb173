"""Content that cannot be accepted as it is, and what a policy does not yet allow."""

from __future__ import annotations

from app.errors.problem import Problem


class Invalid(Problem):
    """The content cannot be accepted as it is."""

    status = 422
    code = "invalid"


class RequestInvalid(Invalid):
    """A member of the request is not valid; `errors` names it."""

    code = "request_invalid"

    @classmethod
    def of(cls, field: str, code: str, detail: str) -> RequestInvalid:
        return cls(f"{field}: {detail}", errors=[{"field": field, "code": code, "detail": detail}])


class CursorInvalid(Invalid):
    """The cursor is malformed or was made with other filters."""

    code = "cursor_invalid"

    @classmethod
    def of(cls, field: str, detail: str) -> CursorInvalid:
        """The problem of the cursor in that field."""
        return cls(detail, errors=[{"field": field, "code": cls.code, "detail": detail}])


class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key was used with another request."""

    code = "idempotency_key_reused"


class IdentityRequired(Invalid):
    """Nothing in the request says who this is: an e-mail, a phone, a handle or an external id is needed."""

    code = "identity_required"


class UnknownAction(Invalid):
    """The policy has no action of that name."""

    code = "unknown_action"


class ReasonRequired(Invalid):
    """The action needs a reason_code."""

    code = "reason_required"


class InputRequired(Invalid):
    """The action needs an input that is missing."""

    code = "input_required"


class UnknownReason(Invalid):
    """The reason_code is not in the action's list."""

    code = "unknown_reason"


class OutOfOrder(Invalid):
    """occurred_at lies before the journey's last transition, or in the future."""

    code = "out_of_order"


class CriteriaUnmet(Invalid):
    """The policy's criteria are not met; `unmet` says which, with have and need."""

    code = "criteria_unmet"


class ClassNotAllowed(Invalid):
    """The policy does not open an opportunity in that class from the lead's stage."""

    code = "class_not_allowed"


class ContactNotInAccount(Invalid):
    """The contact belongs to another account; `relink: true` moves it."""

    code = "contact_not_in_account"


class TargetUnavailable(Invalid):
    """The record to use is archived or erased."""

    code = "target_unavailable"


class OwnerInvalid(Invalid):
    """The owner must be an active user of a fitting role."""

    code = "owner_invalid"


class PolicyHasFaults(Invalid):
    """The policy document has faults; `errors` names each place."""

    code = "policy_has_faults"


class MappingHasFaults(Invalid):
    """The source's mapping document has faults; `errors` names each place."""

    code = "mapping_has_faults"


class TargetRefused(Invalid):
    """The URL may not be called; https and a public host are needed unless the operator allows it."""

    code = "target_refused"
