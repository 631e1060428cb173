"""Every problem the API returns, as one class tree (RFC 9457, api.md section 2). docs/errors.md is generated from it.

A class's docstring is the `title` of its problem. Rules return what is unmet, verbs raise problems, endpoints do
neither. Another tenant's row is a 404.
"""

from __future__ import annotations

from typing import Self

from app.problem import Conflict, Forbidden, Gone, Invalid, Problem, Unauthorized, Unavailable


class TransitionNotAllowed(Conflict):
    """The policy has no transition for this action from the present stage."""


class CasesMissing(Conflict):
    """Too few journeys have ended to train a model; `missing` says how many of each kind it still needs."""


class AlreadyInStage(Conflict):
    """The lead or opportunity is already in that stage."""


class BackwardMove(Conflict):
    """The target stage comes before the present one."""


class LeadAlreadyConverted(Conflict):
    """The lead's journey is already converted."""


class RevertBlocked(Conflict):
    """A strict revert takes back all or nothing, and some records or fields would be left in place."""


class AmbiguousMatch(Conflict):
    """Several records match, or one matches uncertainly: choose a record (`use`) or ask for a new one (`create`)."""


class AlreadyExists(Conflict):
    """Another record already has this unique value."""


class IdentityTaken(Conflict):
    """Another lead already has this identity."""


class LeadMerged(Conflict):
    """The lead was merged into another one; send the change to that lead."""


class LeadNotMerged(Conflict):
    """The lead was not merged into another one, so there is nothing to undo."""


class InUse(Conflict):
    """The resource is in use and cannot be changed in this way."""


class LogDiverged(Conflict):
    """The event log was restored from a backup and continues differently from the one the cursor is of."""


class BacktestLimitReached(Conflict):
    """As many back-tests and shadow runs as are allowed at a time have not ended yet: wait for one, or cancel it."""


class StateConflict(Conflict):
    """The resource is in a state that does not allow this."""


class ApprovalsMissing(Conflict):
    """The policy lacks the approval of a side; `missing` names the sides."""


class AlreadyApproved(Conflict):
    """This side, or this person, has approved the policy already."""


class MappingRequired(Conflict):
    """Journeys stand in stages that the policy lacks: say in `mapping` to which of its stages they move."""


class PositionExpired(Conflict):
    """The events at this position are kept no more; `first_position` is the first one that is."""


class IdempotencyInProgress(Conflict):
    """The first request with this Idempotency-Key has not finished yet."""

    retry_after = 1


class VersionConflict(Problem):
    """If-Match names a version that is not the current one."""

    status = 412


class RequestInvalid(Invalid):
    """A member of the request is not valid; `errors` names it."""

    @classmethod
    def of(cls, field: str, code: str, detail: str) -> RequestInvalid:
        return cls(f"{field}: {detail}", errors=[{"field": field, "code": code, "detail": detail}])


class CursorInvalid(Invalid):
    """The cursor is malformed, or from a list with other filters."""

    @classmethod
    def of(cls, field: str, detail: str) -> CursorInvalid:
        """The problem for a cursor that was sent in this field."""
        return cls(detail, errors=[{"field": field, "code": cls.code, "detail": detail}])


class IdempotencyKeyReused(Invalid):
    """The Idempotency-Key was used with another request."""


class IdentityRequired(Invalid):
    """The request identifies nobody: an e-mail, phone, handle, external id or company with domain is required."""


class UnknownAction(Invalid):
    """The policy has no action of that name."""


class ReasonRequired(Invalid):
    """The action needs a reason_code."""


class InputRequired(Invalid):
    """The action needs an input that is missing."""


class UnknownReason(Invalid):
    """The reason_code is not in the action's list."""


class OutOfOrder(Invalid):
    """occurred_at is before the journey's last transition, or in the future."""


class CriteriaUnmet(Invalid):
    """The policy's criteria are not met; `unmet` lists them with have and need."""


class ClassNotAllowed(Invalid):
    """The policy does not open an opportunity in that class from the lead's stage."""


class ContactNotInAccount(Invalid):
    """The contact belongs to another account; `relink: true` moves it."""


class TargetUnavailable(Invalid):
    """The record named by the request is archived or erased."""


class ManagerCycle(Invalid):
    """Nobody can be the manager of somebody to whom they report; `managers` is the way up from the manager named."""


class OwnerInvalid(Invalid):
    """The owner must be an active sdr, ae or manager."""


class PolicyHasFaults(Invalid):
    """The policy document is invalid; `errors` lists what is wrong and where."""


class UnknownTeam(Invalid):
    """The policy names a team that no active user belongs to; `errors` says where."""


class MappingHasFaults(Invalid):
    """The source's mapping document is invalid; `errors` lists what is wrong and where."""


class MappingTooCostly(Invalid):
    """The source's mapping takes too many steps, or makes too large a value; `errors` names the expression."""


class ListInvalid(Invalid):
    """The list cannot be read; `errors` says where."""

    @classmethod
    def at(cls, row: int, code: str, detail: str) -> ListInvalid:
        """The problem for a row, counted as a spreadsheet program counts: the row of names is usually row 1."""
        place = f"row {row}"
        return cls(f"{place}: {detail}", errors=[{"field": place, "code": code, "detail": detail}])


class TargetRefused(Invalid):
    """Nothing may be sent to this URL: it needs TLS, a public host and an allowed port, or the operator's leave."""


class NotFound(Problem):
    """There is no such resource."""

    status = 404

    @classmethod
    def of(cls, field: str, detail: str) -> Self:
        """The problem for an id that was sent in this field."""
        return cls(f"{field}: {detail}.", errors=[{"field": field, "code": cls.code, "detail": detail}])


class LeadNotFound(NotFound):
    """There is no such lead."""


class SourceNotFound(NotFound):
    """There is no such source."""


class PresetNotFound(NotFound):
    """There is no such preset."""


class SubmissionNotFound(NotFound):
    """There is no such submission."""


class ImportNotFound(NotFound):
    """There is no such import."""


class ConversionNotFound(NotFound):
    """The lead has no conversion."""


class ErasureNotFound(NotFound):
    """The person of this lead was not erased."""


class ConfirmationNotFound(NotFound):
    """There is no such link; open it as it stands in the e-mail."""


class AccountNotFound(NotFound):
    """There is no such account."""


class DuplicateNotFound(NotFound):
    """There is no such possible duplicate."""


class ContactNotFound(NotFound):
    """There is no such contact."""


class OpportunityNotFound(NotFound):
    """There is no such opportunity."""


class ModelNotFound(NotFound):
    """There is no model of this version."""


class BacktestNotFound(NotFound):
    """No back-test or shadow run with this id."""


class PolicyNotFound(NotFound):
    """There is no such policy."""


class SubscriptionNotFound(NotFound):
    """There is no such subscription."""


class DeliveryNotFound(NotFound):
    """No delivery at this position waits or is dead."""


class ReplayNotFound(NotFound):
    """The subscription has no such replay."""


class EventNotFound(NotFound):
    """There is no such event."""


class UserNotFound(NotFound):
    """There is no such user."""


class KeyNotFound(NotFound):
    """There is no such key."""


class TenantNotFound(NotFound):
    """There is no such tenant."""


class CursorExpired(Gone):
    """The cursor points to events that are no longer retained."""


class ConfirmationExpired(Gone):
    """This link is too old, or what it confirms was withdrawn since; sign up again to get another one."""


class RequestRemoved(Gone):
    """The request of this submission was removed when its time of retention was over."""


class Erased(Gone):
    """The person's data was erased."""


class BadRequest(Problem):
    """The request is malformed."""

    status = 400


class MalformedJson(BadRequest):
    """The body is not valid JSON, repeats a member, or is nested too deeply."""


class MalformedHeader(BadRequest):
    """A header has a malformed value."""


class IdempotencyKeyRequired(BadRequest):
    """A request that converts a lead needs an Idempotency-Key, so that it can be retried safely."""


class KeyUnknown(Unauthorized):
    """The API key is missing, unknown, expired or revoked."""


class LoginLinkInvalid(Unauthorized):
    """The login link was used before, has expired, or is incomplete."""


class SessionEnded(Unauthorized):
    """Nobody is logged in to the console here: the session has ended, or its key is revoked."""


class SignatureInvalid(Unauthorized):
    """The source is unknown or the signature is wrong."""


class FormTokenInvalid(Forbidden):
    """The form is not of this session: open the page again, then send the form."""


class ScopeMissing(Forbidden):
    """The key lacks a scope that this request needs."""


class ActorUnknown(Forbidden):
    """Baton-Actor does not name an active user of this tenant."""


class HumanRequired(Forbidden):
    """Only a user may do this: name one in Baton-Actor."""


class RoleNotAllowed(Forbidden):
    """The actor's role may not do this."""


class MethodNotAllowed(Problem):
    """The path does not support this method."""

    status = 405


class BodyTooLarge(Problem):
    """The body is larger than this route accepts."""

    status = 413


class RequestTimeout(Problem):
    """The body did not arrive in time."""

    status = 408


class NotAcceptable(Problem):
    """The Accept header names no media type that this route answers with."""

    status = 406


class UnsupportedMediaType(Problem):
    """This route does not accept the body's Content-Type."""

    status = 415


class TooManyRequests(Problem):
    """Too many requests at once."""

    status = 429
    retry_after = 1


class TooManyLogins(Problem):
    """Too many attempts to log in to the console from this address: wait a minute."""

    status = 429
    retry_after = 60


class RateLimited(Problem):
    """A limit of the tenant, or of the source, is reached; `Retry-After` says when to send the request again."""

    status = 429


class HeadersTooLarge(Problem):
    """The request's headers are too large."""

    status = 431


class Overloaded(Unavailable):
    """Too many requests are in flight."""


class DatabaseUnavailable(Unavailable):
    """The database did not answer in time."""


class SourceDisabled(Unavailable):
    """The source is disabled; nothing was stored."""

    retry_after = 60


class SecretKeysMissing(Unavailable):
    """What this request needs is encrypted with a key that this process does not have; nothing was changed."""

    retry_after = 60


class InternalError(Problem):
    """An internal error; nothing was changed."""

    status = 500
