"""Table definitions: one module per aggregate, no methods, no relationships."""

from app.database.tables.administration import activations, audit, idempotency_keys, keys, policies, tenants, users
from app.database.tables.columns import metadata
from app.database.tables.delivery import (
    attempts,
    delivery_retries,
    event_log,
    events,
    lanes,
    pending,
    sequencer,
    subscriptions,
)
from app.database.tables.duplicates import duplicates, lead_merges, match_keys
from app.database.tables.intake import sources, submission_items, submissions
from app.database.tables.leads import (
    activities,
    bant,
    consents,
    identities,
    journeys,
    lead_changes,
    lead_words,
    leads,
    milestones,
    shared_identities,
    touches,
    transitions,
)
from app.database.tables.pipeline import accounts, contacts, conversions, opportunities, opportunity_transitions

__all__ = [
    "accounts",
    "activations",
    "activities",
    "attempts",
    "audit",
    "bant",
    "consents",
    "contacts",
    "conversions",
    "delivery_retries",
    "duplicates",
    "event_log",
    "events",
    "idempotency_keys",
    "identities",
    "journeys",
    "keys",
    "lanes",
    "lead_changes",
    "lead_merges",
    "lead_words",
    "leads",
    "match_keys",
    "metadata",
    "milestones",
    "opportunities",
    "opportunity_transitions",
    "pending",
    "policies",
    "sequencer",
    "shared_identities",
    "sources",
    "submission_items",
    "submissions",
    "subscriptions",
    "tenants",
    "touches",
    "transitions",
    "users",
]
