"""Leads: who they are, what they did, and the runs they made through the funnel."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Index, Integer

from app.database.tables.columns import document, instant, lists, of_tenant, own_id, stamps, table, uuid, version, words

leads = table(
    "leads",
    own_id(),
    version(),
    words("kind", null=False, server_default="person"),
    words("stage"),
    instant("stage_entered_at"),
    document("fields"),
    document("raw"),
    document("custom"),
    document("flags"),  # what normalising found out: email_status, free_mail, role_mailbox, blocked_reinquiry …
    document("consents"),  # the latest state of each purpose; the log is `consents`
    document("first_touch", null=True),
    document("last_touch", null=True),
    uuid("source_id"),
    uuid("owner_id"),
    words("team"),
    Column("fit", Integer, nullable=False, server_default="0"),
    Column("engagement", Integer, nullable=False, server_default="0"),
    Column("level", Integer, nullable=False, server_default="0"),
    words("temperature", null=False, server_default="cold"),
    instant("below_threshold_since"),
    instant("evaluate_at"),
    uuid("account_id"),
    uuid("contact_id"),
    uuid("opportunity_id"),
    uuid("merged_into"),
    instant("erased_at"),
    *stamps(),
    of_tenant("users", "owner_id"),
    Index("leads_evaluate_at_idx", "evaluate_at", postgresql_where="evaluate_at IS NOT NULL"),
    Index("leads_stage_idx", "tenant_id", "stage", "stage_entered_at", "id"),
    Index("leads_owner_id_idx", "tenant_id", "owner_id", "id", postgresql_where="owner_id IS NOT NULL"),
    *lists("leads", "created_at", "updated_at", "stage_entered_at"),
)

identities = table(
    "identities",
    words("kind", null=False, primary_key=True),
    words("namespace", null=False, primary_key=True, server_default=""),
    words("value", null=False, primary_key=True),
    uuid("lead_id", null=False),
    Column("primary", Boolean, nullable=False, server_default="false"),
    instant("added_at", null=False),
    of_tenant("leads", "lead_id"),
    Index("identities_lead_id_idx", "tenant_id", "lead_id"),
)

# A switchboard's number or a mailbox like office@ is shared by several people: it helps to find a lead, and never
# arbitrates who is the same person, so it stands beside `identities` and not in it (docs/decisions/0002).
shared_identities = table(
    "shared_identities",
    words("kind", null=False, primary_key=True),
    words("value", null=False, primary_key=True),
    uuid("lead_id", null=False, primary_key=True),
    Column("primary", Boolean, nullable=False, server_default="false"),
    instant("added_at", null=False),
    of_tenant("leads", "lead_id"),
    Index("shared_identities_lead_id_idx", "tenant_id", "lead_id"),
)

lead_changes = table(
    "lead_changes",
    uuid("lead_id", null=False, primary_key=True),
    Column("version", Integer, primary_key=True),
    instant("recorded_at", null=False),
    document("actor"),
    document("before"),
    of_tenant("leads", "lead_id"),
)

consents = table(
    "consents",
    own_id(),
    uuid("lead_id", null=False),
    words("purpose", null=False),
    words("state", null=False),
    words("text"),
    words("channel"),
    uuid("source_id"),
    uuid("submission_id"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    of_tenant("leads", "lead_id"),
    Index("consents_lead_id_idx", "tenant_id", "lead_id", "purpose", "recorded_at"),
)

touches = table(
    "touches",
    own_id(),
    uuid("lead_id", null=False),
    uuid("source_id"),
    uuid("submission_id"),
    document("attribution"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    of_tenant("leads", "lead_id"),
    Index("touches_lead_id_idx", "tenant_id", "lead_id", "recorded_at"),
)

bant = table(
    "bant",
    own_id(),
    uuid("lead_id", null=False),
    words("criterion", null=False),
    words("status", null=False),
    words("value"),
    words("evidence"),
    Column("due_on", Date),
    document("amount", null=True),
    uuid("user_id", null=False),
    words("role", null=False),
    instant("recorded_at", null=False),
    of_tenant("leads", "lead_id"),
    CheckConstraint("criterion IN ('budget', 'authority', 'need', 'timing')", name="criterion"),
    CheckConstraint("status IN ('unknown', 'confirmed', 'denied')", name="status"),
    Index("bant_lead_id_idx", "tenant_id", "lead_id", "recorded_at"),
)

activities = table(
    "activities",
    own_id(),
    uuid("lead_id", null=False),
    words("activity_key", null=False),
    words("type", null=False),
    words("kind", null=False),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    document("properties"),
    document("actor", null=True),
    uuid("source_id"),
    of_tenant("leads", "lead_id"),
    CheckConstraint("kind IN ('interest', 'contact_attempt')", name="kind"),
    Index("activities_activity_key_key", "tenant_id", "lead_id", "activity_key", unique=True),
    Index("activities_occurred_at_idx", "tenant_id", "lead_id", "occurred_at"),
)

journeys = table(
    "journeys",
    own_id(),
    uuid("lead_id", null=False),
    Column("number", Integer, nullable=False),
    words("stage", null=False),
    Column("seq", Integer, nullable=False),
    uuid("policy_id"),  # pinned from the first milestone on; null follows the active version
    words("business", null=False, server_default="new"),
    instant("baseline_at"),
    instant("assigned_at"),
    uuid("previous_owner_id"),
    instant("wake_at"),
    Column("recycles", Integer, nullable=False, server_default="0"),
    instant("opened_at", null=False),
    instant("closed_at"),
    words("closing_reason"),
    instant("stage_entered_at", null=False),
    of_tenant("leads", "lead_id"),
    Index("journeys_open_key", "tenant_id", "lead_id", unique=True, postgresql_where="closed_at IS NULL"),
    Index("journeys_number_key", "tenant_id", "lead_id", "number", unique=True),
)

transitions = table(
    "transitions",
    uuid("journey_id", null=False, primary_key=True),
    Column("seq", Integer, primary_key=True),
    uuid("id", null=False),
    uuid("lead_id", null=False),
    words("from_stage"),
    words("to_stage", null=False),
    words("action", null=False),
    words("reason_code"),
    words("note"),
    document("actor"),
    document("on_behalf_of", null=True),
    uuid("correction_of"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    uuid("policy_id", null=False),
    Column("policy_version", Integer, nullable=False),
    document("evidence"),
    of_tenant("journeys", "journey_id"),
    CheckConstraint("seq >= 1", name="seq"),
    Index("transitions_id_key", "tenant_id", "id", unique=True),
    Index("transitions_lead_id_idx", "tenant_id", "lead_id", "recorded_at"),
)

milestones = table(
    "milestones",
    own_id(),
    uuid("journey_id", null=False),
    uuid("lead_id", null=False),
    words("name", null=False),
    words("proof", null=False),
    instant("reached_at", null=False),
    instant("recorded_at", null=False),
    Column("skipped", Boolean, nullable=False, server_default="false"),
    instant("voided_at"),
    of_tenant("journeys", "journey_id"),
    Index("milestones_name_key", "tenant_id", "journey_id", "name", unique=True, postgresql_where="voided_at IS NULL"),
    Index("milestones_reached_at_idx", "tenant_id", "name", "reached_at"),
)
