"""The `data` of events about subscriptions and their deliveries (catalogue.py has all types)."""

from pydantic import Field

from app.web.fields import EventId, Instant, LeadId, ResponseBody, SubscriptionId


class SubscriptionDisabled(ResponseBody):
    """A subscription was disabled. It keeps its position, so no event is lost. Not sent to that subscription."""

    subscription_id: SubscriptionId
    reason: str


class SubscriptionFailing(ResponseBody):
    """A receiver is down: told after 1, 24 and 72 `hours`. Only probes are sent. Not sent to that subscription."""

    subscription_id: SubscriptionId
    failing_since: Instant
    hours: int


class SubscriptionRecovered(ResponseBody):
    """A receiver that `subscription.failing` told of is back. Not sent to that subscription."""

    subscription_id: SubscriptionId
    failing_since: Instant


class SubscriptionGap(ResponseBody):
    """A subscription was resumed later, or its next events are kept no more: those of these positions were not sent.

    Not sent to that subscription.
    """

    subscription_id: SubscriptionId
    from_position: str
    to_position: str


class DeliveryDead(ResponseBody):
    """A delivery was given up after its last attempt; the feed has it at `position`. Not sent to that subscription.

    With the `last_error` `expired` it waited until its event was kept no more.
    """

    subscription_id: SubscriptionId
    event_id: EventId
    event_type: str
    position: str
    lead_id: LeadId | None
    attempts: int
    last_code: int | None
    last_error: str | None
    blocks: bool = Field(
        default=False, description="Later events of its lead wait until it is retried with success or discarded."
    )


class SubscriptionPing(ResponseBody):
    """Sent on request to test a receiver; not in the log and not retried."""
