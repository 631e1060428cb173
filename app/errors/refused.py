"""Refused before anything is looked at: malformed, unknown, forbidden, too large, too much, not now."""

from __future__ import annotations

from app.errors.problem import Problem


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


class MethodNotAllowed(Problem):
    """This path does not know the method."""

    status = 405
    code = "method_not_allowed"


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
