"""The fold of a transition log, re-inquiry of a known lead, and assignment by routes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from app.lifecycle.milestones import Step, fold_log
from app.lifecycle.reinquiry import reinquiry
from app.policy.facts import Ask, Facts
from app.routing.route import Assignment, assign
from tests.rules.make import ADMIN, AE, MANAGER, NOON, PIPELINE, POLICY_ACTOR, SDR, WATERFALL, uuid

LOG = (
    Step(PIPELINE, 1, None, "inquiry", "capture"),
    Step(PIPELINE, 2, "inquiry", "mql", "qualify"),
    Step(PIPELINE, 3, "mql", "srl", "hand_over"),
    Step(PIPELINE, 4, "srl", "converted", "convert", "unqualified"),
)


def test_a_log_folds_to_its_stage_and_its_milestones() -> None:
    folded = fold_log(LOG)
    assert (folded.stage, folded.seq, folded.faults) == ("converted", 4, ())
    assert folded.milestones == {"mql": False, "sal": True, "srl": False}
    assert fold_log(()).stage is None


def test_a_correction_voids_and_the_milestone_may_be_reached_again() -> None:
    back = (*LOG[:3], Step(PIPELINE, 4, "srl", "mql", "correct"))
    assert fold_log(back).milestones == {"mql": False}
    again = fold_log((*back, Step(PIPELINE, 5, "mql", "sal", "accept")))
    assert again.milestones == {"mql": False, "sal": False}


def test_the_class_of_a_conversion_sets_its_milestone() -> None:
    early = (*LOG[:2], Step(PIPELINE, 3, "mql", "converted", "convert", "unqualified"))
    assert fold_log(early).milestones == {"mql": False, "srl": False}


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ((LOG[0], LOG[2]), "seq 3 follows 1"),
        ((LOG[1],), "seq 2 follows 0"),
        ((LOG[0], replace(LOG[1], from_stage="suspect")), "seq 2 leaves suspect, but the journey was in inquiry"),
        ((replace(LOG[0], to_stage="limbo"),), "seq 1 enters limbo, which is not a stage of its policy"),
        ((*LOG[:2], replace(LOG[2], policy=WATERFALL)), "seq 3 enters srl, which is not a stage of its policy"),
    ],
)
def test_an_inconsistency_in_a_log_is_a_fault(steps: tuple[Step, ...], fault: str) -> None:
    assert fault in fold_log(steps).faults


YESTERDAY = NOON - timedelta(days=1)
LONG_AGO = NOON - timedelta(days=91)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(), "new_journey"),
        (Facts(stage="inquiry"), "same_journey"),
        (Facts(stage="sql"), "same_journey"),
        (Facts(stage="recycled"), "same_journey"),
        (Facts(stage="disqualified", closing_reason="no_budget", closed_at=YESTERDAY), "new_journey"),
        (Facts(stage="disqualified", closing_reason="spam", closed_at=LONG_AGO), "blocked"),
        (Facts(stage="converted", opportunity_class="qualified", closed_at=YESTERDAY), "activity"),
        (Facts(stage="converted", opportunity_class="unqualified", closed_at=LONG_AGO), "new_journey"),
        (Facts(stage="converted", opportunity_class="lost", closed_at=YESTERDAY), "new_journey"),
        (Facts(stage="converted", opportunity_class="won", closed_at=YESTERDAY), "new_journey"),
    ],
)
def test_a_reinquiry_depends_on_the_stage_and_how_the_journey_closed(facts: Facts, expected: str) -> None:
    assert reinquiry(PIPELINE, facts, NOON) == expected


@pytest.mark.parametrize(
    ("to", "facts", "ask", "expected"),
    [
        ("sdr", Facts(), Ask("qualify", POLICY_ACTOR), Assignment("nobody", "sdr", "sdr")),
        (
            "sdr",
            Facts(owner_id=uuid("m"), owner_role="manager"),
            Ask("q", POLICY_ACTOR),
            Assignment("nobody", "sdr", "sdr"),
        ),
        ("sdr", Facts(owner_id=uuid("s"), owner_role="sdr"), Ask("q", POLICY_ACTOR), Assignment("keep")),
        ("ae", Facts(owner_id=uuid("s"), owner_role="sdr"), Ask("h", SDR), Assignment("nobody", "ae", "ae")),
        ("ae", Facts(), Ask("h", SDR, owner_id=AE.user_id, owner_role="ae"), Assignment(uuid("ae1"))),
        ("actor", Facts(), Ask("accept", SDR), Assignment(uuid("sdr1"))),
        ("actor", Facts(), Ask("accept", POLICY_ACTOR), Assignment("keep")),
        ("previous", Facts(previous_owner_id=uuid("s")), Ask("return", AE), Assignment(uuid("s"))),
        ("previous", Facts(), Ask("return", AE), Assignment("nobody", "sdr")),
        ("previous", Facts(owner_id=uuid("a"), owner_role="ae"), Ask("return", AE), Assignment("nobody", "sdr")),
        ("previous", Facts(owner_id=uuid("s"), owner_role="sdr"), Ask("return", AE), Assignment("keep")),
        ("previous", Facts(), Ask("return", AE, owner_id=uuid("s")), Assignment("nobody", "sdr")),
        ("actor", Facts(), Ask("accept", MANAGER), Assignment(MANAGER.user_id or "nobody")),
        ("actor", Facts(), Ask("accept", ADMIN), Assignment("keep")),
        ("nobody", Facts(owner_id=uuid("s")), Ask("recycle", SDR), Assignment("nobody")),
    ],
)
def test_a_lead_is_assigned_to_a_pool_or_to_the_owner_the_request_names(
    to: str, facts: Facts, ask: Ask, expected: Assignment
) -> None:
    assert assign(PIPELINE, to, facts, ask) == expected
