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

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from starlette.exceptions import HTTPException

TYPE_ROOT = "https://baton.dev/problems/"


class Problem(HTTPException):
    """What went wrong, for a machine (`code`: the class's name) and for a person (`detail`); members by keyword."""

    status: ClassVar[int] = 500
    code: ClassVar[str]
    retry_after: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"\B[A-Z]", r"_\g<0>", cls.__name__).lower()

    def __init__(self, detail: str | None = None, **members: Any) -> None:
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else None
        super().__init__(self.status, detail or self.title(), headers)
        self.members = members

    @classmethod
    def title(cls) -> str:
        return cls.__doc__ or cls.code

    def document(self) -> dict[str, Any]:
        """The members of the problem+json body."""
        return {
            "type": TYPE_ROOT + self.code.replace("_", "-"),
            "title": self.title(),
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "errors": [],
            **self.members,
        }


def catalogue(root: type[Problem] = Problem) -> Iterator[type[Problem]]:
    """Every problem class below `root`, depth first."""
    for child in root.__subclasses__():
        yield child
        yield from catalogue(child)


class Conflict(Problem):
    """The request conflicts with the present state."""

    status = 409


class TransitionNotAllowed(Conflict):
    """The policy has no such edge from the lead's stage."""


class AlreadyInStage(Conflict):
    """The lead is in that stage already."""


class BackwardMove(Conflict):
    """The target stands before the lead's stage; only a correction goes back."""


class LeadAlreadyConverted(Conflict):
    """The lead's journey has a live conversion."""


class AmbiguousMatch(Conflict):
    """Several records match, or none for certain: say which (`use`) or that it is new (`create`)."""


class AlreadyExists(Conflict):
    """A live record holds that key already."""


class IdentityTaken(Conflict):
    """Another lead owns that identity."""


class LeadMerged(Conflict):
    """The lead was merged into another; write to that one."""


class InUse(Conflict):
    """Something still refers to it."""


class StateConflict(Conflict):
    """It is not in a state in which this can be done."""


class IdempotencyInProgress(Conflict):
    """The first request with this key is still at work."""

    retry_after = 1


class VersionConflict(Problem):
    """If-Match names a version that is not the current one."""

    status = 412


class Invalid(Problem):
    """The content cannot be accepted as it is."""

    status = 422


class RequestInvalid(Invalid):
    """A member of the request is not valid; `errors` names it."""

    @classmethod
    def of(cls, field: str, code: str, detail: str) -> RequestInvalid:
        return cls(f"{field}: {detail}", errors=[{"field": field, "code": code, "detail": detail}])


class CursorInvalid(Invalid):
    """The cursor is malformed or was made with other filters."""

    @classmethod
    def of(cls, field: str, detail: str) -> CursorInvalid:
        """The problem of the cursor in that field."""
        return cls(detail, errors=[{"field": field, "code": cls.code, "detail": detail}])


class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key was used with another request."""


class IdentityRequired(Invalid):
    """Nothing in the request says who this is: an e-mail, a phone, a handle or an external id is needed."""


class UnknownAction(Invalid):
    """The policy has no action of that name."""


class ReasonRequired(Invalid):
    """The action needs a reason_code."""


class InputRequired(Invalid):
    """The action needs an input that is missing."""


class UnknownReason(Invalid):
    """The reason_code is not in the action's list."""


class OutOfOrder(Invalid):
    """occurred_at lies before the journey's last transition, or in the future."""


class CriteriaUnmet(Invalid):
    """The policy's criteria are not met; `unmet` says which, with have and need."""


class ClassNotAllowed(Invalid):
    """The policy does not open an opportunity in that class from the lead's stage."""


class ContactNotInAccount(Invalid):
    """The contact belongs to another account; `relink: true` moves it."""


class TargetUnavailable(Invalid):
    """The record to use is archived or erased."""


class OwnerInvalid(Invalid):
    """The owner must be an active user of a fitting role."""


class PolicyHasFaults(Invalid):
    """The policy document has faults; `errors` names each place."""


class MappingHasFaults(Invalid):
    """The source's mapping document has faults; `errors` names each place."""


class TargetRefused(Invalid):
    """The URL may not be called; https and a public host are needed unless the operator allows it."""


class NotFound(Problem):
    """There is no such thing."""

    status = 404


class LeadNotFound(NotFound):
    """There is no such lead."""


class SourceNotFound(NotFound):
    """There is no such source."""


class PresetNotFound(NotFound):
    """There is no such preset."""


class SubmissionNotFound(NotFound):
    """There is no such submission."""


class ConversionNotFound(NotFound):
    """The lead has no conversion."""


class AccountNotFound(NotFound):
    """There is no such account."""


class ContactNotFound(NotFound):
    """There is no such contact."""


class OpportunityNotFound(NotFound):
    """There is no such opportunity."""


class PolicyNotFound(NotFound):
    """There is no such policy."""


class SubscriptionNotFound(NotFound):
    """There is no such subscription."""


class EventNotFound(NotFound):
    """There is no such event."""


class UserNotFound(NotFound):
    """There is no such user."""


class KeyNotFound(NotFound):
    """There is no such key."""


class TenantNotFound(NotFound):
    """There is no such tenant."""


class Gone(Problem):
    """It was there and is not any more."""

    status = 410


class CursorExpired(Gone):
    """The cursor points before the retention."""


class Erased(Gone):
    """The person was erased."""


class BadRequest(Problem):
    """The request is malformed."""

    status = 400


class MalformedJson(BadRequest):
    """The body is not JSON that Baton reads."""


class MalformedHeader(BadRequest):
    """A header has a value that cannot be."""


class IdempotencyKeyRequired(BadRequest):
    """A request that converts needs an Idempotency-Key, so that it can be sent again safely."""


class Unauthorized(Problem):
    """Who asks is not known."""

    status = 401


class KeyUnknown(Unauthorized):
    """The API key is missing, unknown, expired or revoked."""


class SignatureInvalid(Unauthorized):
    """The source is unknown or the signature is wrong."""


class Forbidden(Problem):
    """The caller may not do this."""

    status = 403


class ScopeMissing(Forbidden):
    """The key lacks a scope that this request needs."""


class ActorUnknown(Forbidden):
    """Baton-Actor names no active user of this tenant."""


class HumanRequired(Forbidden):
    """Only a person may do this: name one in Baton-Actor."""


class RoleNotAllowed(Forbidden):
    """The actor's role may not do this."""


class MethodNotAllowed(Problem):
    """This path does not know the method."""

    status = 405


class BodyTooLarge(Problem):
    """The body is larger than this route takes."""

    status = 413


class RequestTimeout(Problem):
    """The body did not arrive in time."""

    status = 408


class UnsupportedMediaType(Problem):
    """The body's Content-Type is not one this route reads."""

    status = 415


class TooManyRequests(Problem):
    """Too many at once."""

    status = 429
    retry_after = 1


class HeadersTooLarge(Problem):
    """The request's headers are too large."""

    status = 431


class Unavailable(Problem):
    """Baton cannot do this just now; send the request again."""

    status = 503
    retry_after = 1


class Overloaded(Unavailable):
    """Too many requests are in flight."""


class DatabaseUnavailable(Unavailable):
    """The database did not answer in time."""


class SourceDisabled(Unavailable):
    """The source is switched off; nothing was stored."""

    retry_after = 60


class InternalError(Problem):
    """A fault of ours; nothing was changed."""

    status = 500
