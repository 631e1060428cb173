"""Stored shapes: one module an aggregate, no methods, no relationships."""

from app.tables.administration import activations, audit, idempotency_keys, keys, policies, tenants, users
from app.tables.columns import metadata
from app.tables.delivery import (
    attempts,
    delivery_retries,
    event_log,
    events,
    lanes,
    pending,
    sequencer,
    subscriptions,
)
from app.tables.intake import sources, submission_items, submissions
from app.tables.leads import (
    activities,
    bant,
    consents,
    identities,
    journeys,
    lead_changes,
    leads,
    milestones,
    shared_identities,
    touches,
    transitions,
)
from app.tables.pipeline import accounts, contacts, conversions, opportunities, opportunity_transitions

__all__ = [
    "accounts", "activations", "activities", "attempts", "audit", "bant", "consents", "contacts", "conversions",
    "delivery_retries", "event_log", "events", "idempotency_keys", "identities", "journeys", "keys", "lanes",
    "lead_changes", "leads", "metadata", "milestones", "opportunities", "opportunity_transitions", "pending",
    "policies", "sequencer", "shared_identities", "sources", "submission_items", "submissions", "subscriptions",
    "tenants", "touches", "transitions", "users",
]  # fmt: skip
