"""Every problem that Baton answers with, as one tree (RFC 9457, api.md section 2). docs/errors.md is made from it.

Problem
+ BadRequest 400: MalformedJson, MalformedHeader, IdempotencyKeyRequired
+ Unauthorized 401: KeyUnknown, SignatureInvalid
+ Forbidden 403: ScopeMissing, ActorUnknown, HumanRequired, RoleNotAllowed
+ NotFound 404: LeadNotFound, …; MethodNotAllowed 405
+ Conflict 409: TransitionNotAllowed, AlreadyInStage, BackwardMove, LeadAlreadyConverted, AmbiguousMatch, AlreadyExists,
  IdentityTaken, IdempotencyInProgress, LeadMerged, InUse
+ Gone 410: CursorExpired, Erased
+ VersionConflict 412 · BodyTooLarge 413 · UnsupportedMediaType 415
+ Invalid 422: RequestInvalid, CursorInvalid, IdempotencyKeyReused, CriteriaUnmet, ReasonRequired, …
+ TooManyRequests 429 · HeadersTooLarge 431
+ Unavailable 503: Overloaded, DatabaseUnavailable, SourceDisabled

Rules return what is unmet, verbs raise problems, endpoints do neither. Another tenant's row is a 404.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from starlette.exceptions import HTTPException

TYPE_ROOT = "https://baton.dev/problems/"


class Problem(HTTPException):
    """What went wrong, for a machine (`code`) and for a person (`detail`); further members by keyword."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "problem"
    retry_after: ClassVar[int | None] = None

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else None
        super().__init__(status_code=self.status, detail=detail or self.title(), headers=headers)
        self.members = members

    @classmethod
    def title(cls) -> str:
        return (cls.__doc__ or cls.code).strip().splitlines()[0]

    def document(self) -> dict[str, Any]:
        """The members of the problem+json body, without empty ones."""
        return problem_document(self.status, self.code, self.title(), self.detail, self.members)


def problem_document(
    status: int, code: str, title: str, detail: str, members: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    body = {"type": TYPE_ROOT + code.replace("_", "-"), "title": title, "status": status, "detail": detail, "code": code}
    return {**body, "errors": [], **(members or {})}


class BadRequest(Problem):
    """The request is malformed."""

    status = 400
    code = "bad_request"


class MalformedJson(BadRequest):
    """The body is not JSON that Baton reads."""

    code = "malformed_json"


class MalformedHeader(BadRequest):
    """A header has a value that cannot be."""

    code = "malformed_header"


class IdempotencyKeyRequired(BadRequest):
    """A request that converts needs an Idempotency-Key, so that it can be sent again safely."""

    code = "idempotency_key_required"


class Unauthorized(Problem):
    """Who asks is not known."""

    status = 401
    code = "unauthorized"


class KeyUnknown(Unauthorized):
    """The API key is missing, unknown, expired or revoked."""

    code = "key_unknown"


class SignatureInvalid(Unauthorized):
    """The source is unknown or the signature is wrong."""

    code = "signature_invalid"


class Forbidden(Problem):
    """The caller may not do this."""

    status = 403
    code = "forbidden"


class ScopeMissing(Forbidden):
    """The key lacks a scope that this request needs."""

    code = "scope_missing"


class ActorUnknown(Forbidden):
    """Baton-Actor names no active user of this tenant."""

    code = "actor_unknown"


class HumanRequired(Forbidden):
    """Only a person may do this: name one in Baton-Actor."""

    code = "human_required"


class RoleNotAllowed(Forbidden):
    """The actor's role may not do this."""

    code = "role_not_allowed"


class NotFound(Problem):
    """There is no such thing."""

    status = 404
    code = "not_found"


class LeadNotFound(NotFound):
    """There is no such lead."""

    code = "lead_not_found"


class SourceNotFound(NotFound):
    """There is no such source."""

    code = "source_not_found"


class PresetNotFound(NotFound):
    """There is no such preset."""

    code = "preset_not_found"


class SubmissionNotFound(NotFound):
    """There is no such submission."""

    code = "submission_not_found"


class ConversionNotFound(NotFound):
    """The lead has no conversion."""

    code = "conversion_not_found"


class AccountNotFound(NotFound):
    """There is no such account."""

    code = "account_not_found"


class ContactNotFound(NotFound):
    """There is no such contact."""

    code = "contact_not_found"


class OpportunityNotFound(NotFound):
    """There is no such opportunity."""

    code = "opportunity_not_found"


class PolicyNotFound(NotFound):
    """There is no such policy."""

    code = "policy_not_found"


class SubscriptionNotFound(NotFound):
    """There is no such subscription."""

    code = "subscription_not_found"


class EventNotFound(NotFound):
    """There is no such event."""

    code = "event_not_found"


class UserNotFound(NotFound):
    """There is no such user."""

    code = "user_not_found"


class KeyNotFound(NotFound):
    """There is no such key."""

    code = "key_not_found"


class TenantNotFound(NotFound):
    """There is no such tenant."""

    code = "tenant_not_found"


class MethodNotAllowed(Problem):
    """This path does not know the method."""

    status = 405
    code = "method_not_allowed"


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


class Gone(Problem):
    """It was there and is not any more."""

    status = 410
    code = "gone"


class CursorExpired(Gone):
    """The cursor points before the retention."""

    code = "cursor_expired"


class Erased(Gone):
    """The person was erased."""

    code = "erased"


class VersionConflict(Problem):
    """If-Match names a version that is not the current one."""

    status = 412
    code = "version_conflict"


class BodyTooLarge(Problem):
    """The body is larger than this route takes."""

    status = 413
    code = "body_too_large"


class RequestTimeout(Problem):
    """The body did not arrive in time."""

    status = 408
    code = "request_timeout"


class UnsupportedMediaType(Problem):
    """The body's Content-Type is not one this route reads."""

    status = 415
    code = "unsupported_media_type"


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


class TooManyRequests(Problem):
    """Too many at once."""

    status = 429
    code = "too_many_requests"
    retry_after = 1


class HeadersTooLarge(Problem):
    """The request's headers are too large."""

    status = 431
    code = "headers_too_large"


class Unavailable(Problem):
    """Baton cannot do this just now; send the request again."""

    status = 503
    code = "unavailable"
    retry_after = 1


class Overloaded(Unavailable):
    """Too many requests are in flight."""

    code = "overloaded"


class DatabaseUnavailable(Unavailable):
    """The database did not answer in time."""

    code = "database_unavailable"


class SourceDisabled(Unavailable):
    """The source is switched off; nothing was stored."""

    code = "source_disabled"
    retry_after = 60


class InternalError(Problem):
    """A fault of ours; nothing was changed."""

    status = 500
    code = "internal_error"


def catalogue(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Every problem class below `root`, depth first."""
    for child in root.__subclasses__():
        yield child
        yield from catalogue(child)
