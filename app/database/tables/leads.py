"""Leads: identities, activities, consents, BANT, journeys, transitions and milestones."""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Date, Index, Integer, SmallInteger, Text

from app.database.tables.columns import (
    filter_indexes,
    id_column,
    instant,
    jsonb,
    list_indexes,
    member_indexes,
    string,
    tenant_foreign_key,
    tenant_table,
    timestamps,
    uuid,
    version,
)

leads = tenant_table(
    "leads",
    id_column(),
    version(),
    string("kind", null=False, server_default="person"),
    string("stage"),
    instant("stage_entered_at"),
    jsonb("fields"),
    jsonb("raw"),
    jsonb("custom"),
    jsonb("flags"),  # set by normalization: email_status, phone_status, free_mail, role_mailbox, blocked_reinquiry …
    jsonb("consents"),  # the latest state of each purpose; the log is `consents`
    jsonb("first_touch", null=True),
    jsonb("last_touch", null=True),
    string("channel"),  # by which the lead came first
    uuid("source_id"),
    uuid("owner_id"),
    string("team"),
    Column("fit", Integer, nullable=False, server_default="0"),
    Column("engagement", Integer, nullable=False, server_default="0"),
    Column("level", Integer, nullable=False, server_default="0"),
    string("temperature", null=False, server_default="cold"),
    instant("below_threshold_since"),
    Column("threshold_met", Boolean, nullable=False, server_default="true"),
    instant("evaluate_at"),
    string("sla_state"),  # of the last evaluation
    uuid("account_id"),
    uuid("contact_id"),
    uuid("opportunity_id"),
    uuid("merged_into"),
    instant("erased_at"),
    string("words"),  # written by triggers, from which `lead_words` is made; null for merged and erased leads
    *timestamps(),
    tenant_foreign_key("users", "owner_id"),
    Index("leads_contact_id_idx", "tenant_id", "contact_id", postgresql_where="contact_id IS NOT NULL"),
    Index("leads_evaluate_at_idx", "evaluate_at", postgresql_where="evaluate_at IS NOT NULL"),
    Index("leads_due_idx", "tenant_id", "evaluate_at", postgresql_where="evaluate_at IS NOT NULL"),
    *list_indexes("leads", "created_at", "updated_at", "stage_entered_at"),
    *filter_indexes("leads", stage="", owner_id="owner_id IS NOT NULL", account_id="account_id IS NOT NULL"),
    *filter_indexes("leads", source_id="source_id IS NOT NULL", channel="channel IS NOT NULL"),
    *filter_indexes("leads", temperature="temperature <> 'cold'", sla_state="sla_state <> 'met'"),
    *member_indexes("leads", "campaign", "first_touch", "last_touch"),
)

# Written by triggers on `leads` (docs/decisions/0033). Rank: 1 company, 2 name, 3 e-mail address or domain.
lead_words = tenant_table(
    "lead_words",
    Column("word", Text(collation="C"), primary_key=True),
    uuid("lead_id", null=False, primary_key=True),
    Column("rank", SmallInteger, primary_key=True, autoincrement=False),
)

identities = tenant_table(
    "identities",
    string("kind", null=False, primary_key=True),
    string("namespace", null=False, primary_key=True, server_default=""),
    string("value", null=False, primary_key=True),
    uuid("lead_id", null=False),
    Column("primary", Boolean, nullable=False, server_default="false"),
    instant("added_at", null=False),
    tenant_foreign_key("leads", "lead_id"),
    Index("identities_lead_id_idx", "tenant_id", "lead_id"),
)

# A switchboard's number or a mailbox like office@ is shared by several people: it helps to find a lead, but never
# decides that two leads are the same person, so it is kept apart from `identities` (docs/decisions/0002).
shared_identities = tenant_table(
    "shared_identities",
    string("kind", null=False, primary_key=True),
    string("value", null=False, primary_key=True),
    uuid("lead_id", null=False, primary_key=True),
    Column("primary", Boolean, nullable=False, server_default="false"),
    instant("added_at", null=False),
    tenant_foreign_key("leads", "lead_id"),
    Index("shared_identities_lead_id_idx", "tenant_id", "lead_id"),
)

lead_changes = tenant_table(
    "lead_changes",
    uuid("lead_id", null=False, primary_key=True),
    Column("version", Integer, primary_key=True),
    instant("recorded_at", null=False),
    jsonb("actor"),
    jsonb("before"),
    jsonb("origins", null=True),  # which arrival set which fields; null where none did, and before it was kept
    tenant_foreign_key("leads", "lead_id"),
)

consents = tenant_table(
    "consents",
    id_column(),
    uuid("lead_id", null=False),
    string("purpose", null=False),
    string("state", null=False),
    string("text"),
    string("channel"),
    uuid("source_id"),
    uuid("submission_id"),
    Column("bought", Boolean, nullable=False, server_default="false"),  # from a list, bought or not
    string("text_version"),
    string("client_address"),  # of the person
    jsonb("actor", null=True),  # null: recorded by an earlier release
    uuid("confirmation_id"),  # the row of `consent_requests`, also after it is swept
    uuid("withdrawal_link_id"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    tenant_foreign_key("leads", "lead_id"),
    Index("consents_lead_id_idx", "tenant_id", "lead_id", "purpose", "recorded_at"),
    Index("consents_purpose_idx", "tenant_id", "purpose"),
)

# What a person is asked to confirm by a link (docs/decisions/0045).
consent_requests = tenant_table(
    "consent_requests",
    id_column(),
    uuid("lead_id", null=False),
    string("secret_sha256", null=False),
    jsonb("texts"),  # the text that the person saw, by purpose
    jsonb("text_versions"),
    uuid("source_id"),
    uuid("submission_id"),
    instant("requested_at", null=False),
    instant("expires_at", null=False),
    instant("confirmed_at"),
    tenant_foreign_key("leads", "lead_id"),
    Index("consent_requests_lead_id_idx", "tenant_id", "lead_id"),
    Index("consent_requests_open_idx", "expires_at", postgresql_where="confirmed_at IS NULL"),
)

# Links by which a person withdraws consents, however often; they stay those of the lead that they were made for, also
# when it is merged.
withdrawal_links = tenant_table(
    "withdrawal_links",
    id_column(),
    uuid("lead_id", null=False),
    string("secret_sha256", null=False),
    jsonb("purposes"),
    instant("created_at", null=False),
    tenant_foreign_key("leads", "lead_id"),
    Index("withdrawal_links_lead_id_idx", "tenant_id", "lead_id"),
)

# Consents that people have withdrawn who were no leads then; of the address only a hash (docs/decisions/0053).
withdrawals = tenant_table(
    "withdrawals",
    string("address_sha256", null=False, primary_key=True),
    string("purpose", null=False, primary_key=True),
    string("state", null=False),
    string("text"),
    string("channel"),
    uuid("source_id"),
    uuid("submission_id"),
    string("text_version"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
)

touches = tenant_table(
    "touches",
    id_column(),
    uuid("lead_id", null=False),
    uuid("source_id"),
    uuid("submission_id"),
    jsonb("attribution"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    tenant_foreign_key("leads", "lead_id"),
    Index("touches_lead_id_idx", "tenant_id", "lead_id", "recorded_at"),
)

bant = tenant_table(
    "bant",
    id_column(),
    uuid("lead_id", null=False),
    string("criterion", null=False),
    string("status", null=False),
    string("value"),
    string("evidence"),
    Column("due_on", Date),
    jsonb("amount", null=True),
    uuid("user_id", null=False),
    string("role", null=False),
    instant("recorded_at", null=False),
    tenant_foreign_key("leads", "lead_id"),
    CheckConstraint("criterion IN ('budget', 'authority', 'need', 'timing')", name="criterion"),
    CheckConstraint("status IN ('unknown', 'confirmed', 'denied')", name="status"),
    Index("bant_lead_id_idx", "tenant_id", "lead_id", "recorded_at"),
)

activities = tenant_table(
    "activities",
    id_column(),
    uuid("lead_id", null=False),
    string("activity_key", null=False),
    string("type", null=False),
    string("kind", null=False),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    jsonb("properties"),
    jsonb("actor", null=True),
    uuid("source_id"),
    tenant_foreign_key("leads", "lead_id"),
    CheckConstraint("kind IN ('interest', 'contact_attempt')", name="kind"),
    Index("activities_activity_key_key", "tenant_id", "lead_id", "activity_key", unique=True),
    Index("activities_occurred_at_idx", "tenant_id", "lead_id", "occurred_at"),
)

journeys = tenant_table(
    "journeys",
    id_column(),
    uuid("lead_id", null=False),
    Column("number", Integer, nullable=False),
    string("stage", null=False),
    Column("seq", Integer, nullable=False),
    uuid("policy_id"),  # set at the first milestone; null means the active version
    string("business", null=False, server_default="new"),
    instant("baseline_at"),
    instant("corrected_at"),
    instant("assigned_at"),
    uuid("previous_owner_id"),
    instant("wake_at"),
    Column("recycles", Integer, nullable=False, server_default="0"),
    instant("opened_at", null=False),
    instant("closed_at"),
    string("closing_reason"),
    instant("stage_entered_at", null=False),
    instant("stalled_at"),
    jsonb("offer", null=True),  # until when a partner has to accept the lead
    jsonb("lapsed", null=True),  # the users and partners from whom the lead was taken, since they let it lie
    tenant_foreign_key("leads", "lead_id"),
    Index("journeys_open_key", "tenant_id", "lead_id", unique=True, postgresql_where="closed_at IS NULL"),
    Index("journeys_number_key", "tenant_id", "lead_id", "number", unique=True),
    Index("journeys_opened_at_idx", "tenant_id", "opened_at"),
    postgresql_with={"fillfactor": 80},  # room on the page for the moves of a journey, none of which writes an index
)

# One row for each run of a clock of the policy, kept for reports: from the start, in business time by `calendar`.
clock_runs = tenant_table(
    "clock_runs",
    id_column(),
    uuid("lead_id", null=False),
    uuid("journey_id", null=False),
    string("clock", null=False),
    Column("minutes", Integer, nullable=False),
    jsonb("calendar"),
    uuid("owner_id"),  # when it ended
    uuid("started_owner_id"),
    uuid("breached_owner_id"),
    instant("started_at", null=False),
    instant("due_at", null=False),
    instant("recorded_at", null=False),
    instant("met_at"),
    instant("met_recorded_at"),
    instant("stopped_at"),
    instant("stopped_recorded_at"),
    instant("breached_at"),
    Column("business_minutes", Integer),
    string("team"),  # of the owner, else that of the lead, as `owner_id`
    instant("changed_at"),  # when this state of the run was recorded
    jsonb("past", empty="[]"),  # the states before, each with `until`; what old code changed is not in it
    instant("voided_at"),  # when a correction took back what the run was about
    tenant_foreign_key("leads", "lead_id"),
    tenant_foreign_key("journeys", "journey_id"),
    tenant_foreign_key("users", "owner_id"),
    Index("clock_runs_journey_id_idx", "tenant_id", "journey_id", "started_at"),
    Index("clock_runs_lead_id_idx", "tenant_id", "lead_id"),
    Index("clock_runs_started_at_idx", "tenant_id", "started_at"),
)

transitions = tenant_table(
    "transitions",
    uuid("journey_id", null=False, primary_key=True),
    Column("seq", Integer, primary_key=True),
    uuid("id", null=False),
    uuid("lead_id", null=False),
    string("from_stage"),
    string("to_stage", null=False),
    string("action", null=False),
    string("reason_code"),
    string("note"),
    jsonb("actor"),
    jsonb("on_behalf_of", null=True),
    uuid("correction_of"),
    instant("occurred_at", null=False),
    instant("recorded_at", null=False),
    uuid("policy_id", null=False),
    Column("policy_version", Integer, nullable=False),
    jsonb("evidence"),
    tenant_foreign_key("journeys", "journey_id"),
    CheckConstraint("seq >= 1", name="seq"),
    Index("transitions_lead_id_idx", "tenant_id", "lead_id", "recorded_at"),
    Index("transitions_occurred_at_idx", "tenant_id", "occurred_at"),
)

# Where each round robin stands: the position of the user who was chosen last (app/routing/ring.py).
rings = tenant_table(
    "rings",
    Column("name", Text, primary_key=True),
    Column("place", Integer),
    uuid("user_id"),
)

# What routes chose, and why (docs/routing.md).
assignments = tenant_table(
    "assignments",
    id_column(),
    uuid("journey_id", null=False),
    instant("recorded_at", null=False),
    jsonb("document"),
    instant("voided_at"),  # when a correction took it back
    tenant_foreign_key("journeys", "journey_id"),
    Index("assignments_journey_id_idx", "tenant_id", "journey_id", "recorded_at"),
)

milestones = tenant_table(
    "milestones",
    id_column(),
    uuid("journey_id", null=False),
    uuid("lead_id", null=False),
    string("name", null=False),
    string("proof", null=False),
    instant("reached_at", null=False),
    instant("recorded_at", null=False),
    Column("skipped", Boolean, nullable=False, server_default="false"),
    instant("voided_at"),
    tenant_foreign_key("journeys", "journey_id"),
    Index("milestones_name_key", "tenant_id", "journey_id", "name", unique=True, postgresql_where="voided_at IS NULL"),
    Index(
        "milestones_journey_id_idx",
        *("tenant_id", "journey_id"),
        postgresql_include=["name", "reached_at", "recorded_at", "voided_at", "skipped"],
    ),
    Index("milestones_lead_id_idx", "tenant_id", "lead_id"),
    Index("milestones_reached_at_idx", "tenant_id", "name", "reached_at"),
)
