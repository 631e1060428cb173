"""The plan of the demo: the same for a seed, legal, in order, and about nobody."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from app.commands.demo.forms import SOURCES, form_fill, signed
from app.commands.demo.plan import DAYS, Story, stories
from app.ids import new_id
from app.policy.document import Policy
from app.policy.shipped import shipped
from app.sources.mapping import map_request
from app.sources.preset import make_document
from app.sources.request import RawRequest
from app.sources.verify import verify

END = datetime(2026, 8, 17, 12, tzinfo=UTC)
PLAN = stories(1, 1500, END)


def test_a_seed_always_makes_the_same_half_year_and_another_seed_another() -> None:
    assert stories(1, 1500, END) == PLAN
    assert stories(2, 1500, END) != PLAN


def test_nobody_real_is_in_it() -> None:
    assert all(story.person.email.endswith(".example") for story in PLAN)
    assert all(story.person.email.isascii() for story in PLAN)
    assert len({story.person.email for story in PLAN}) == len({story.key for story in PLAN}) == len(PLAN)


@pytest.mark.parametrize("story", PLAN[::40], ids=lambda story: story.key)
def test_a_story_runs_forward_in_time_and_ends_before_now(story: Story) -> None:
    interest = [one.at for one in story.activities if one.kind == "interest"]
    attempts = [one.at for one in story.activities if one.kind == "contact_attempt"]
    steps = [step.at for step in story.steps]
    assert END - timedelta(days=DAYS, seconds=1) <= story.at <= END
    for instants in (interest, steps, attempts):
        assert instants == sorted(instants)
        assert all(story.at <= at < END for at in instants)
    assert not steps or not interest or max(interest) <= steps[0]


def test_every_step_is_one_that_the_policy_has() -> None:
    policy: Policy = shipped("waterfall")
    names = {action.name for action in policy.actions} | {action.name for action in policy.opportunity.actions}
    taken = Counter(step.body.get("action", "convert") for story in PLAN for step in story.steps)
    assert set(taken) <= names
    assert min(taken[name] for name in ("qualify", "accept", "confirm", "convert", "recycle", "disqualify", "win")) > 0
    reasons = {reason.code for reasons in policy.reasons.values() for reason in reasons}
    reasons |= {reason.code for reasons in policy.opportunity.reasons.values() for reason in reasons}
    assert {step.body["reason_code"] for story in PLAN for step in story.steps if "reason_code" in step.body} <= reasons


def test_the_funnel_narrows_as_a_real_one_does() -> None:
    counts = Counter(step.body.get("action", "convert") for story in PLAN for step in story.steps)
    assert len(PLAN) > counts["accept"] > counts["confirm"] > counts["convert"] > counts["win"] > 0
    assert 0.03 < counts["accept"] / len(PLAN) < 0.2


@pytest.mark.parametrize("story", PLAN[::150], ids=lambda story: f"{story.key} {story.source}")
def test_a_form_is_signed_as_its_provider_signs_and_means_what_the_story_says(story: Story) -> None:
    made = SOURCES[story.source]
    document = make_document(made["preset"], made["overrides"])
    body = form_fill(story)
    request = RawRequest("POST", signed(story, body, "s"), "", body, END)
    assert verify(document, {"signing": "s"}, request, END)
    assert not verify(document, {"signing": "another"}, request, END)
    (item,) = map_request(document, request, new_id())
    assert item.person is not None
    company = story.person.company
    assert item.submission_key == story.key
    assert item.occurred_at == story.at
    assert item.person.fields["email"] == story.person.email
    assert (item.person.fields["employees"], item.person.fields["industry"]) == (company.employees, company.industry)
    assert item.person.fields["job_title"] == story.person.job_title
