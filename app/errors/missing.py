"""What is not there, or not any more."""

from __future__ import annotations

from app.errors.problem import Problem


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
