"""Every condition word: when it holds, and what exactly is unmet when it does not."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from app.policy.document import Policy
from app.policy.facts import Ask, Facts
from tests.rules.make import (
    ADMIN,
    AE,
    MANAGER,
    NOON,
    PIPELINE,
    SDR,
    SERVICE,
    activity,
    altered,
    bant,
    call,
    confirmation,
    person,
    unmet,
    uuid,
)

FIT = {"criterion": "fit", "have": 35, "need": 40}
ENGAGEMENT = {"criterion": "engagement", "have": 25, "need": 30}
LEAD = Facts(fit=35, engagement=25, level=2)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"fit": {"at_least": 35}}, []),
        ({"fit": {"at_least": 40}}, [FIT]),
        ({"engagement": {"at_least": 30}}, [ENGAGEMENT]),
        ({"level": {"at_least": 3}}, [{"criterion": "level", "have": 2, "need": 3}]),
        ({"all": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 30}}]}, [FIT, ENGAGEMENT]),
        ({"all": [{"fit": {"at_least": 1}}, {"engagement": {"at_least": 30}}]}, [ENGAGEMENT]),
        ({"any": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 30}}]}, [FIT]),
        ({"any": [{"engagement": {"at_least": 30}}, {"fit": {"at_least": 40}}]}, [ENGAGEMENT]),
        (
            {
                "any": [
                    {"all": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 30}}]},
                    {"fit": {"at_least": 40}},
                ]
            },
            [FIT],
        ),
        ({"any": [{"fit": {"at_least": 40}}, {"fit": {"at_least": 1}}]}, []),
        ({"not": {"fit": {"at_least": 40}}}, []),
        ({"not": {"fit": {"at_least": 1}}}, [{"criterion": "not fit", "have": True, "need": False}]),
        ({"when": {"fit": {"at_least": 40}}, "then": {"engagement": {"at_least": 30}}}, []),
        ({"when": {"fit": {"at_least": 1}}, "then": {"engagement": {"at_least": 30}}}, [ENGAGEMENT]),
        (
            {
                "at_least": {
                    "count": 2,
                    "of": [{"fit": {"at_least": 1}}, {"fit": {"at_least": 40}}, {"engagement": {"at_least": 30}}],
                }
            },
            [{"criterion": "at_least", "have": 1, "need": 2, "missing": [FIT, ENGAGEMENT]}],
        ),
        ({"at_least": {"count": 1, "of": [{"fit": {"at_least": 1}}, {"fit": {"at_least": 40}}]}}, []),
        (
            {"condition": "fresh_interest"},
            [{"criterion": "activity", "have": 0, "need": 1, "types": None, "within_days": None}],
        ),
    ],
)
def test_conditions_on_scores_and_combinations_report_what_is_unmet(condition: object, expected: list[object]) -> None:
    assert unmet(condition, LEAD) == expected


FIELDS = Facts(
    fields={
        "job_title": "Head of Sales (EMEA)",
        "employees": 120,
        "industry": " Software ",
        "email_domain": "rival.com",
        "message": "",
    },
    custom={"seats": Decimal("2.5"), "tools": ["CRM", "ERP"], "ok": True},
)


@pytest.mark.parametrize(
    ("condition", "true"),
    [
        ({"field": "job_title", "has_word": ["director", "HEAD"]}, True),
        ({"field": "job_title", "has_word": ["ead"]}, False),
        ({"field": "job_title", "has_word": ["head of sales"]}, True),
        ({"field": "job_title", "has_word": ["emea"]}, True),
        ({"field": "employees", "between": [50, 120]}, True),
        ({"field": "employees", "between": [121, 500]}, False),
        ({"field": "employees", "at_least": 120}, True),
        ({"field": "employees", "at_most": 119}, False),
        ({"field": "employees", "has_word": ["120"]}, False),
        ({"field": "industry", "in": ["software"]}, True),
        ({"field": "industry", "is": "SOFTWARE"}, True),
        ({"field": "industry", "at_least": 1}, False),
        ({"field": "country", "in": ["ro"]}, False),
        ({"field": "country", "present": True}, False),
        ({"field": "country", "present": False}, True),
        ({"field": "message", "present": True}, False),
        ({"field": "custom.seats", "between": [2, 3]}, True),
        ({"field": "custom.tools", "in": ["erp"]}, True),
        ({"field": "custom.ok", "is": True}, True),
        ({"field": "custom.ok", "in": [1]}, False),
        ({"field": "custom.ok", "at_least": 0}, False),
        ({"field": "custom.none", "is": False}, False),
    ],
)
def test_a_field_is_compared_by_one_operator_and_null_is_false(condition: dict[str, object], true: bool) -> None:
    assert (unmet(condition, FIELDS) == []) is true


def test_a_field_leaf_shows_the_value_and_the_argument() -> None:
    assert unmet({"field": "job_title", "has_word": ["vp"]}, FIELDS) == [
        {"criterion": "field.job_title", "have": "Head of Sales (EMEA)", "need": ["vp"]}
    ]
    assert unmet({"field": "employees", "between": [1, 2]}, FIELDS)[0]["need"] == [1, 2]
    assert unmet({"field": "custom.seats", "at_least": 3}, FIELDS)[0]["have"] == "2.5"


def policy_with_lists() -> Policy:
    return altered(
        PIPELINE, lambda changed: changed.update(lists={"competitors": ["Rival.com"], "free_mail": ["own.example"]})
    )


@pytest.mark.parametrize(
    ("domain", "name", "flag", "true"),
    [
        ("rival.com", "competitors", False, True),
        ("friend.com", "competitors", False, False),
        (None, "competitors", False, False),
        ("gmail.com", "free_mail", True, True),
        ("gmail.com", "free_mail", False, False),
        ("own.example", "free_mail", False, True),
        (None, "free_mail", True, False),
    ],
)
def test_a_list_has_the_policys_entries_and_free_mail_also_the_leads_flag(
    domain: str | None, name: str, flag: bool, true: bool
) -> None:
    facts = Facts(fields={"email_domain": domain, "free_mail": flag})
    assert (unmet({"field": "email_domain", "in_list": name}, facts, policy_with_lists()) == []) is true


BASE = NOON - timedelta(days=10)
SEEN = Facts(
    baseline_at=BASE,
    activities=(activity("webinar", 45), activity("demo_request", 10), activity("price_list", 2), call(1)),
)


@pytest.mark.parametrize(
    ("arguments", "have"),
    [
        ({"kind": "interest"}, None),
        ({"kind": "contact_attempt"}, None),
        ({"types": ["webinar"]}, None),
        ({"types": ["webinar"], "within_days": 45}, None),
        ({"types": ["webinar"], "within_days": 44}, 0),
        ({"types": ["demo_request"], "since": "baseline"}, 0),
        ({"types": ["price_list"], "since": "baseline"}, None),
        ({"kind": "interest", "min_count": 3}, None),
        ({"kind": "interest", "min_count": 4}, 3),
        ({"kind": "interest", "types": ["call"]}, 0),
    ],
)
def test_an_activity_counts_by_type_kind_window_and_baseline(arguments: dict[str, object], have: int | None) -> None:
    leaf = {"criterion": "activity", "need": arguments.get("min_count", 1), "have": have}
    leaf |= {"types": arguments.get("types"), "within_days": arguments.get("within_days")}
    assert unmet({"activity": arguments}, SEEN) == ([] if have is None else [leaf])


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([("a", 9), ("b", 5), ("c", 2)], None),
        ([("c", 9), ("b", 5), ("a", 2)], ("a", "b")),
        ([("a", 9), ("c", 5)], ("a", "b")),
        ([("b", 9)], (None, "a")),
        ([("a", 20), ("b", 15), ("c", 9)], ("b", "c")),
        ([("a", 20), ("b", 15), ("a", 10), ("b", 8), ("c", 1)], None),
        ([("a", 11), ("b", 5), ("c", 1)], None),
        ([("a", 12), ("b", 5), ("c", 1)], ("b", "c")),
    ],
)
def test_a_sequence_needs_its_types_in_order_within_the_span(
    seen: list[tuple[str, int]], expected: tuple[str | None, str] | None
) -> None:
    facts = Facts(activities=tuple(activity(type, days) for type, days in seen))
    leaf = [{"criterion": "sequence", "have": expected[0], "need": expected[1]}] if expected else []
    assert unmet({"sequence": {"types": ["a", "b", "c"], "within_days": 10}}, facts) == leaf


OTHER_AE = person("ae", "ae2")


@pytest.mark.parametrize(
    ("rows", "arguments", "have", "missing"),
    [
        (bant("need", "budget", "timing"), {"min": 3, "must": ["need"], "by": "actor"}, None, []),
        (bant("need"), {"min": 3, "must": ["need"], "by": "actor"}, 1, ["budget", "authority", "timing"]),
        (bant("budget", "authority", "timing"), {"min": 3, "must": ["need"]}, 3, ["need"]),
        (
            bant("need", "budget", "timing", by=SDR),
            {"min": 3, "by": "actor"},
            0,
            ["budget", "authority", "need", "timing"],
        ),
        (bant("need", "budget", "timing", by=SDR), {"min": 3, "by": ["sdr", "manager"]}, None, []),
        (bant("need", "budget", "timing", by=ADMIN), {"min": 3, "by": ["sdr", "manager"]}, None, []),
        (bant("need", by=OTHER_AE) + bant("budget", by=AE), {"min": 2, "by": ["ae"]}, None, []),
        (
            bant("need", by=OTHER_AE) + bant("budget", by=AE),
            {"min": 2, "by": "actor"},
            1,
            ["authority", "need", "timing"],
        ),
        (bant("need"), {"min": 1, "by": "people"}, None, []),
        (bant("need", days_ago=30), {"min": 1, "within_days": 30}, None, []),
        (bant("need", days_ago=30.1), {"min": 1, "within_days": 30}, 0, ["budget", "authority", "need", "timing"]),
        (
            (*bant("need", days_ago=2), confirmation("need", status="denied")),
            {"min": 1},
            0,
            ["budget", "authority", "need", "timing"],
        ),
        ((confirmation("need", status="denied", days_ago=2), *bant("need")), {"min": 1}, None, []),
        ((confirmation("need", by=SDR, status="denied"), *bant("need", days_ago=1)), {"min": 1}, None, []),
    ],
)
def test_bant_counts_the_latest_row_of_each_user(
    rows: tuple[object, ...], arguments: dict[str, object], have: int | None, missing: list[str]
) -> None:
    leaf = {"criterion": "bant", "have": have, "need": arguments["min"], "missing": missing}
    answer = unmet({"bant": arguments}, Facts(confirmations=rows), ask=Ask("confirm", AE))  # type: ignore[arg-type]
    assert answer == ([] if have is None else [leaf])


def test_bant_sent_with_the_request_counts_at_once() -> None:
    ask = Ask("confirm", AE, bant=bant("need", "budget", "timing"))
    assert unmet({"condition": "bant_by_actor"}, Facts(), ask=ask) == []
    assert unmet({"bant": {"min": 1, "by": "actor"}}, Facts(confirmations=bant("need")), ask=Ask("confirm", SERVICE))


@pytest.mark.parametrize(
    ("days", "true"), [(0, True), (90, True), (91, False), (-1, False)], ids=["today", "in 90", "in 91", "yesterday"]
)
def test_due_in_days_counts_from_today(days: int, true: bool) -> None:
    facts = Facts(confirmations=(confirmation("timing", due_on=date(2026, 6, 15) + timedelta(days=days)),))
    assert (unmet({"field": "bant.timing.due_in_days", "between": [0, 90]}, facts) == []) is true


def test_attempts_count_from_the_last_assignment_of_this_journey() -> None:
    calls = (call(9), call(5), call(1), activity("webinar", 1))
    leaf = {"criterion": "attempts", "have": 2, "need": 3}
    assert unmet({"attempts": {"at_least": 3}}, Facts(activities=calls)) == []
    assert unmet({"attempts": {"at_least": 3}}, Facts(activities=calls, opened_at=NOON - timedelta(days=6))) == [leaf]
    assert unmet({"attempts": {"at_least": 3}}, Facts(activities=calls, assigned_at=NOON - timedelta(days=5))) == [leaf]


MINE, THEIRS = uuid("sdr1"), uuid("sdr2")


@pytest.mark.parametrize(
    ("facts", "team", "who", "true"),
    [
        (Facts(owner_id=MINE), None, ["actor"], True),
        (Facts(owner_id=THEIRS), None, ["actor", "nobody"], False),
        (Facts(), None, ["actor", "nobody"], True),
        (Facts(), None, ["actor"], False),
        (Facts(team="north"), "north", ["nobody"], True),
        (Facts(team="north"), "south", ["nobody"], False),
        (Facts(), "south", ["nobody"], True),
        (Facts(owner_id=THEIRS, owner_team="north"), "north", ["team"], True),
        (Facts(owner_id=THEIRS, owner_team="north"), "south", ["team"], False),
        (Facts(), "south", ["team"], False),
    ],
)
def test_owner_is_the_actor_nobody_or_of_the_team(facts: Facts, team: str | None, who: list[str], true: bool) -> None:
    ask = Ask("accept", person("sdr", "sdr1", team))
    answer = unmet({"owner": who}, facts, ask=ask)
    assert (answer == []) is true
    if not true:
        assert answer == [{"criterion": "owner", "have": str(THEIRS) if facts.owner_id else None, "need": who[0]}]


def test_the_owners_public_id_is_shown_where_it_is_known() -> None:
    facts = Facts(owner_id=THEIRS, owner_public_id="usr_sdr2")
    assert unmet({"owner": ["actor"]}, facts, ask=Ask("accept", SDR))[0]["have"] == "usr_sdr2"


@pytest.mark.parametrize(
    ("condition", "facts", "ask", "leaf"),
    [
        ({"actor": {"roles": ["manager"]}}, Facts(), Ask("a", MANAGER), None),
        ({"actor": {"roles": ["manager"]}}, Facts(), Ask("a", ADMIN), None),
        ({"actor": {"roles": ["manager"]}}, Facts(), Ask("a", SDR), ("actor", "sdr", ["manager"])),
        ({"assignable": "ae"}, Facts(), Ask("a", SDR), None),
        ({"assignable": "ae"}, Facts(), Ask("a", SDR, owner_id=MINE, owner_role="ae"), None),
        ({"assignable": "ae"}, Facts(), Ask("a", SDR, owner_id=MINE), ("assignable", None, "ae")),
        ({"assignable": "ae"}, Facts(), Ask("a", SDR, owner_id=MINE, owner_role="sdr"), ("assignable", "sdr", "ae")),
        ({"identities": {"at_least": 1}}, Facts(identities=1), None, None),
        ({"identities": {"at_least": 1}}, Facts(), None, ("identities", 0, 1)),
        ({"from": ["mql", None]}, Facts(), None, None),
        ({"from": "mql"}, Facts(stage="sal"), None, ("from", "sal", ["mql"])),
        ({"stage": ["mql"]}, Facts(stage="mql"), None, None),
        ({"stage": ["mql"]}, Facts(stage="sal"), None, ("stage", "sal", ["mql"])),
        ({"reason": ["timing"]}, Facts(), Ask("a", SDR, reason_code="timing"), None),
        ({"reason": ["timing"]}, Facts(), Ask("a", SDR), ("reason", None, ["timing"])),
        ({"entry": "suspect"}, Facts(entry="suspect"), None, None),
        ({"entry": "suspect"}, Facts(), None, ("entry", None, ["suspect"])),
        ({"closed_for": {"at_most_days": 30}}, Facts(closed_at=NOON - timedelta(days=30)), None, None),
        (
            {"closed_for": {"at_most_days": 30}},
            Facts(closed_at=NOON - timedelta(days=30, seconds=1)),
            None,
            ("closed_for", 31, 30),
        ),
        ({"closed_for": {"at_most_days": 30}}, Facts(), None, ("closed_for", None, 30)),
        ({"newest_journey": True}, Facts(), None, None),
        ({"newest_journey": True}, Facts(newest_journey=False), None, ("newest_journey", False, True)),
        ({"closing_reason": "permanent"}, Facts(closing_reason="spam"), None, None),
        (
            {"closing_reason": "permanent"},
            Facts(closing_reason="no_budget"),
            None,
            ("closing_reason", "no_budget", "permanent"),
        ),
        (
            {"not": {"closing_reason": "permanent"}},
            Facts(closing_reason="spam"),
            None,
            ("not closing_reason", True, False),
        ),
        ({"opportunity_class": {"not_in": ["won"]}}, Facts(), None, None),
        (
            {"opportunity_class": {"not_in": ["won"]}},
            Facts(opportunity_class="won"),
            None,
            ("opportunity_class", "won", {"not_in": ["won"]}),
        ),
        ({"opportunity_class": {"in": ["won"]}}, Facts(), None, ("opportunity_class", None, {"in": ["won"]})),
        ({"wake_at": "reached"}, Facts(wake_at=NOON), None, None),
        ({"wake_at": "reached"}, Facts(), None, ("wake_at", None, "reached")),
        ({"contactable": True}, Facts(contactable=True), None, None),
        ({"contactable": True}, Facts(), None, ("contactable", False, True)),
    ],
)
def test_conditions_on_people_and_the_journey(
    condition: object, facts: Facts, ask: Ask | None, leaf: tuple[str, object, object] | None
) -> None:
    expected = [] if leaf is None else [dict(zip(("criterion", "have", "need"), leaf, strict=True))]
    assert unmet(condition, facts, ask=ask) == expected
