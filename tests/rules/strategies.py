"""Hypothesis strategies for facts and asks, valid or not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from app.policy.facts import CRITERIA, Activity, Actor, Ask, Confirmation, Facts
from tests.rules.make import IMPORT, NOON, PERSONA, SERVICE, person, uuid
from tests.rules.oracle import PEOPLE, STAGES, WORDS

TYPES = (
    "webinar",
    "case_study",
    "price_list",
    "demo_request",
    "unsubscribe",
    "trial_start",
    "meeting",
    "call",
    "other",
)
MANY_STAGES = st.sampled_from([*STAGES["pipeline"], "nonsense", ""])
REASONS = ("timing", "unreachable", "spam", "other", "mistake", "nonsense", "", " ")
USERS = st.sampled_from([None, *(uuid(f"{role}{number}") for role in PEOPLE for number in (1, 2))])

# Whole seconds, and the exact boundaries of the decay windows, which random seconds would rarely hit.
recent = st.one_of(
    st.integers(-300, 100 * 86400).map(lambda seconds: NOON - timedelta(seconds=seconds)),
    st.sampled_from([0, 30, 60, 90]).map(lambda days: NOON - timedelta(days=days)),
)
any_time = st.one_of(
    recent,
    st.datetimes(max_value=datetime(9900, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
activities = st.builds(
    lambda id, type, at: Activity(id, type, "contact_attempt" if type == "call" else "interest", at, at),
    st.uuids(version=4),
    st.sampled_from(TYPES),
    recent,
)
actors = st.one_of(
    st.builds(lambda role, number: person(role, f"{role}{number}"), st.sampled_from(PEOPLE), st.integers(1, 2)),
    st.sampled_from([SERVICE, IMPORT, Actor(None, "policy", "policy"), Actor("usr_x", "human", "nobody")]),
)
confirmations = st.builds(
    Confirmation,
    st.sampled_from(CRITERIA),
    st.sampled_from(["unknown", "confirmed", "denied"]),
    st.sampled_from([uuid(f"{role}1") for role in PEOPLE]),
    st.sampled_from(PEOPLE),
    recent,
    due_on=st.one_of(st.none(), st.integers(-10, 200).map(lambda days: date(2026, 6, 15) + timedelta(days=days))),
)
fields = st.fixed_dictionaries(
    {},
    optional={
        "job_title": st.one_of(st.sampled_from(["Director", "vp sales", "clerk", ""]), st.none(), st.integers()),
        "employees": st.one_of(st.integers(0, 1000), st.none(), st.text(max_size=3), st.booleans(), st.floats()),
        "seniority": st.sampled_from(["director", "manager", "Individual", None]),
        "rank": st.sampled_from(["head", "manager", None]),
        "industry": st.sampled_from(["software", "Software ", "mining", None]),
        "email_domain": st.sampled_from(["gmail.com", "nordsoft.ro", None]),
        "free_mail": st.booleans(),
        "requirements": st.sampled_from(["", "many", None]),
    },
)
persona = st.just(PERSONA)


def facts_of(instants: st.SearchStrategy[datetime] = recent) -> st.SearchStrategy[Facts]:
    maybe = st.one_of(st.none(), instants)
    return st.builds(
        Facts,
        fields=st.one_of(fields, persona),
        identities=st.integers(0, 2),
        contactable=st.booleans(),
        entry=st.sampled_from([None, "suspect"]),
        stage=MANY_STAGES,
        seq=st.integers(0, 9),
        baseline_at=maybe,
        opened_at=maybe,
        closed_at=maybe,
        closing_reason=st.sampled_from([None, *REASONS]),
        held_stage=MANY_STAGES,
        last_occurred_at=maybe,
        newest_journey=st.booleans(),
        milestones=st.frozensets(st.sampled_from(["mql", "sal", "srl", "sql", "won"])),
        assigned_at=maybe,
        previous_owner_id=USERS,
        activities=st.lists(activities, max_size=6).map(tuple),
        confirmations=st.lists(confirmations, max_size=5).map(tuple),
        owner_id=USERS,
        owner_role=st.sampled_from([None, "sdr", "ae"]),
        opportunity_class=st.sampled_from([None, "unqualified", "qualified", "won", "lost"]),
        wake_at=maybe,
    )


asks = st.builds(
    Ask,
    action=st.sampled_from([None, *WORDS, "nonsense", ""]),
    actor=actors,
    to=st.one_of(st.none(), MANY_STAGES),
    occurred_at=st.one_of(st.none(), any_time),
    reason_code=st.sampled_from([None, *REASONS]),
    note=st.sampled_from([None, "", "why"]),
    wake_at=st.one_of(st.none(), any_time),
    owner_id=USERS,
    owner_role=st.sampled_from([None, "sdr", "ae"]),
    override_reason=st.sampled_from([None, " ", "trade fair"]),
    bant=st.lists(confirmations, max_size=4).map(tuple),
    convert=st.sampled_from([None, True, False]),
    correction_of=st.sampled_from([None, "trn_1"]),
    source=st.sampled_from([None, "src_1"]),
    endpoint=st.sampled_from(["transition", "conversion", "revert"]),
)
