"""Where personal data of leads stands: every table, and of it every column that can hold text, JSON or bytes.

Erasure and its test follow this list (docs/erasure.md). A test compares it with the migrated schema, so that a new
table or column has to be entered here before it can be merged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

# Which rows are about a person: those with the lead's id in `lead_id` (or in another column, given beside the table),
# or those found through the rows of another table.
Rows = Literal[
    "lead", "leads of a pair", "journey", "opportunity", "made from the lead", "event", "item", "import", "address"
]
How = Literal[
    "row deleted",
    "emptied",  # NULL, '', {} or []
    "reduced",  # to the members that reports count (app/erasure/reduced.py)
    "tombstone",  # a fixed word, or the members of an event that name nobody
    "new key",  # a technical value of the row itself
    "item removed",  # of a list that also has other people
]


@dataclass(frozen=True, slots=True)
class Table:
    """What an erasure does with the rows of a person. `kept`: names of columns that stay, all for the reason `why`.

    `rows` is None for a table that has no rows about leads: nothing in it is personal data of a lead.
    """

    rows: Rows | None
    why: str
    kept: str = ""
    erased: Mapping[str, How] = field(default_factory=dict)

    @property
    def columns(self) -> frozenset[str]:
        return frozenset(self.kept.split()) | self.erased.keys()


def _nothing(why: str, kept: str) -> Table:
    return Table(None, why, kept)


def _deleted(rows: Rows, columns: str) -> Table:
    return Table(rows, "whole rows are deleted", erased=dict.fromkeys(columns.split(), "row deleted"))


def _emptied(columns: str) -> dict[str, How]:
    return dict.fromkeys(columns.split(), "emptied")


CODES: Final = "words of Baton, of the policy or of staff, which name no lead"
SET_BY_STAFF: Final = "set by the staff of the tenant, about no lead"

TABLES: Final[Mapping[str, Table]] = {
    # The person
    "leads": Table(
        "lead",
        CODES,
        "kind stage team temperature channel sla_state",
        {
            "fields": "reduced",
            "first_touch": "reduced",
            "last_touch": "reduced",
            "flags": "reduced",
            **_emptied("raw custom consents words"),
        },
    ),
    "lead_words": _deleted("lead", "word"),
    "identities": _deleted("lead", "kind namespace value"),
    "shared_identities": _deleted("lead", "kind value"),
    "match_keys": _deleted("lead", "key"),
    "lead_changes": Table(
        "lead", "the user or key that changed the lead", "actor", {"before": "reduced", "origins": "emptied"}
    ),
    "touches": _deleted("lead", "attribution"),
    "consents": _deleted("lead", "purpose state text channel text_version client_address actor"),
    "consent_requests": Table(
        "lead",
        "the hash of a random value: who opens the link is told of the erasure",
        "secret_sha256",
        {"texts": "emptied", "text_versions": "emptied"},
    ),
    "withdrawal_links": Table(
        "lead", "the hash of a random value: who opens the link is told of the erasure", "secret_sha256 purposes"
    ),
    "withdrawals": _deleted("address", "address_sha256 purpose state text channel text_version"),
    "bant": Table(
        "lead", CODES, "criterion status role", {"value": "emptied", "evidence": "emptied", "amount": "emptied"}
    ),
    "activities": Table(
        "lead",
        f"{CODES}; the user or key that recorded the activity",
        "type kind actor",
        {"activity_key": "new key", "properties": "emptied"},
    ),
    "likeness_checks": Table("lead", "ids only"),
    "duplicates": Table("leads of a pair", "codes of reasons; the user who decided", "state reasons decided_by"),
    "lead_merges": Table(
        "leads of a pair",
        "ids; the user who merged",
        "actor submission_items",
        {"identities": "emptied", "filled": "emptied"},
    ),
    # The history, which reports count
    "journeys": Table("lead", f"{CODES}; ids of users", "stage business closing_reason offer lapsed"),
    "transitions": Table(
        "lead",
        f"{CODES}; who took the action",
        "from_stage to_stage action reason_code actor on_behalf_of",
        {"note": "emptied", "evidence": "reduced"},
    ),
    "milestones": Table("lead", CODES, "name proof"),
    "assignments": Table("journey", "rules, and ids of users and accounts", "", {"document": "reduced"}),
    "clock_runs": Table("lead", "calendars and teams of staff, also in `past`", "clock calendar team past"),
    "backtest_journeys": Table("lead", "ids and instants only"),
    # The pipeline
    "contacts": Table(
        "made from the lead",
        "as of the lead: where, and in which language",
        "country language",
        _emptied(
            "email email_key phone first_name last_name full_name job_title role seniority website custom external_id"
            " consents"
        ),
    ),
    "accounts": Table(
        "made from the lead",
        "firmographics; an account is erased only if it is that of a person",
        "industry country language",
        {
            "name": "tombstone",
            **_emptied("name_key domain website phone custom external_id"),
        },
    ),
    "opportunities": Table(
        "made from the lead",
        CODES,
        "stage class amount currency business closing_reason forecast_category",
        {"name": "tombstone", "custom": "emptied", "external_id": "emptied"},
    ),
    "opportunity_transitions": Table(
        "opportunity",
        f"{CODES}; who took the action; of the evidence only `business` and `amount` are written",
        "from_stage to_stage class action reason_code actor on_behalf_of evidence",
        {"note": "emptied"},
    ),
    "opportunity_states": Table("opportunity", CODES, "stage class forecast_category amount currency business"),
    "snapshot_rows": Table("opportunity", CODES, "stage forecast_category amount currency"),
    "conversions": Table("lead", "ids, and names of fields; who converted", "actor answer", {"replaced": "emptied"}),
    # What came in
    "submissions": Table(
        "item",
        f"{CODES}; what a person of the staff has said of it; how many rows have each verdict",
        "method state suspicion bot_check review verdicts",
        {
            "body": "emptied",  # of a list: `item removed`
            "query": "emptied",
            "headers": "emptied",
            "client_address": "emptied",
            "sha256": "emptied",
            "listed": "item removed",
        },
    ),
    "submission_items": Table("item", CODES, "verdict reason", {"submission_key": "new key", "mapped": "emptied"}),
    "imports": _nothing(
        "names of files and columns; the rows of the list, of which its file of errors is made, stand in `submissions`",
        "name state sha256 columns delimiter options",
    ),
    # What goes out
    "events": Table("event", CODES, "type lead_computed", {"data": "tombstone"}),
    "event_log": Table("event", CODES, "type"),
    "kept_scores": Table("lead", CODES, "temperature"),
    "attempts": Table("event", CODES, "error_kind trigger", {"response_head": "emptied"}),
    "delivery_retries": Table("event", CODES, "state last_error request"),
    "idempotency_keys": _deleted("lead", "key fingerprint headers body"),
    # Of the erasure itself
    "erasures": Table(
        "lead",
        "a code, and the number of a request; neither takes free text",
        "reason request_id",
        {"sought": "emptied", "after": "emptied"},
    ),
    "suppression_salts": _nothing("a random value, encrypted", "salt"),
    "suppressions": _nothing("HMAC-SHA256 of erased identities, under the salt of the tenant", "hash"),
    # Of the tenant, and of no lead
    "tenants": _nothing(SET_BY_STAFF, "name secret_salt calendar retention retention_run retention_latest"),
    "users": _nothing("the staff of the tenant", "name email role team time_zone working_hours external_id absences"),
    "user_changes": _nothing("the staff of the tenant", "before"),
    "keys": _nothing(SET_BY_STAFF, "name secret_sha256 prefix scopes"),
    "console_sessions": _nothing("sessions of the staff", "token_sha256 kind"),
    "policies": _nothing(SET_BY_STAFF, "name state origin document sha256 mapping activation_refused"),
    "approvals": _nothing("the staff of the tenant", "side role sha256"),
    "activations": _nothing("ids and instants only", ""),
    "models": _nothing("weights of words of the policy, learned from many leads", "state document sha256"),
    "audit": _nothing("ids of leads, and what the staff did; no value of a lead", "actor act subject detail hash"),
    "audit_heads": _nothing("hashes of the audit log", "hash begins_hash"),
    "report_settings": _nothing(SET_BY_STAFF, "name actor document"),
    "campaign_costs": _nothing(SET_BY_STAFF, "campaign amount currency actor"),
    "backtests": _nothing(SET_BY_STAFF, "kind state documents sha256 fault"),
    "sources": _nothing(SET_BY_STAFF, "key name preset overrides secrets defaults"),
    "subscriptions": _nothing(
        SET_BY_STAFF,
        "url types filter condition mode headers secrets ed25519_keys credentials format limits state state_reason"
        " include on_dead",
    ),
    "replays": _nothing("ids and positions", "types lead_ids only rate ahead state state_reason"),
    "consumers": _nothing(SET_BY_STAFF, "name types"),
    "journey_summaries": _nothing("milestones of journeys, without their leads", "business names instants skips"),
    "journey_origins": _nothing(
        "without their leads; source, medium and campaign stay with a lead that is erased",
        "business first_source first_medium first_campaign last_source last_medium last_campaign currency reached",
    ),
    "milestone_times": _nothing("as journey_summaries", "name business names instants skips"),
    "stage_times": _nothing("times of journeys in stages, without their leads", "stage"),
    "milestone_counts": _nothing("how many journeys reached a milestone", "name to business"),
    "milestone_months": _nothing("as milestone_counts", "name to business"),
    **{
        table: _nothing(
            "how many journeys came from where; source, medium and campaign stay with a lead that is erased",
            "member cell key reached currency",
        )
        for table in ("origin_counts", "origin_months")
    },
    "summary_cursors": _nothing("positions and instants", ""),
    "lanes": _nothing("positions, and how receivers do", "breaker passed"),
    "pending": _nothing("numbers only", ""),
    "sequencer": _nothing("numbers only", ""),
    "rings": _nothing("positions of the staff", "name"),
    "snapshots": _nothing("instants of snapshots", "week"),
    "reporting_lines": _nothing("the staff of the tenant", ""),
    "calendars": _nothing(SET_BY_STAFF, "calendar"),
    "quotas": _nothing(SET_BY_STAFF, "period amount currency actor"),
    "rates": _nothing(SET_BY_STAFF, "currency rates actor"),
    "judgements": _nothing("what the staff expects to sell", "period judgement actor"),
    "alembic_version": _nothing("the version of the schema", "version_num"),
}
