"""What sales did with the MQLs of a window: accepted, recycled, disqualified, returned, given up or left untouched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from app.database.transaction import Record
from app.policy.actions import Action
from app.policy.document import Policy
from app.reports.feedback_sql import FEEDBACK, RULE
from app.reports.funnel import milestones_of
from app.reports.metric import rounded
from app.reports.parameters import FeedbackParameters, Parameters
from app.reports.report import Metric, Report, Settings


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    assert isinstance(asked, FeedbackParameters)
    first, *others = milestones_of(policy)
    parked = [stage.name for stage in policy.stages if stage.kind == "parked"]
    closed = [stage.name for stage in policy.stages if stage.kind == "closed" and not stage.of_conversion]
    given_up = [*(f"to:{name}" for name in parked), *(f"at:{name}" for name in closed)]
    return [
        *(Metric("accepted", first, name, is_rate=False) for name in others[:1]),
        *_by_reason("recycled", first, "to", parked, _reasons(policy, _into(policy, parked))),
        *_by_reason("disqualified", first, "at", closed, _reasons(policy, _into(policy, closed))),
        *_by_reason(
            "returned", first, "by", [one.name for one in _returns(policy)], _reasons(policy, _returns(policy))
        ),
        Metric("given_up", first, value=" ".join(given_up)),
        Metric("untouched", first, hours=asked.hours),
    ]


def _into(policy: Policy, stages: Sequence[str]) -> list[Action]:
    return [action for action in policy.actions if action.to in stages]


def _returns(policy: Policy) -> list[Action]:
    """The actions by which a journey that sales had taken goes back to an earlier open stage, corrections not."""
    return [action for action in policy.actions if any(_leads_back(policy, start, action) for start in action.sources)]


def _leads_back(policy: Policy, start: str | None, action: Action) -> bool:
    before, after = policy.stage_of.get(start), policy.stage_of.get(action.to)
    if before is None or after is None or not before.kind == after.kind == "open":
        return False
    return (after.order or 0) < (before.order or 0)


def _reasons(policy: Policy, actions: Iterable[Action]) -> list[str]:
    found = [reason.code for one in actions if one.reasons for reason in policy.reasons.get(one.reasons, ())]
    return list(dict.fromkeys(found))


def _by_reason(name: str, first: str, word: str, places: Sequence[str], reasons: Sequence[str]) -> Iterator[Metric]:
    """A metric of all, and one of each reason; the value lists what they count (`tokens` in feedback_sql.py)."""
    if places:
        yield Metric(name, first, value=" ".join(f"{word}:{place}" for place in places))
    for reason in reasons:
        yield Metric(f"{name}.{reason}", first, value=" ".join(f"{word}:{place}:{reason}" for place in places))


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    """Attempts before giving up: the mean, and how many journeys had so many."""
    if metric.name == "untouched":
        return {"horizon_days": None, "hours": metric.hours}
    if metric.name != "given_up":
        return {}
    attempts: list[int] = list(row.attempts or ()) if row else []
    return {
        "attempts_mean": rounded(Fraction(sum(attempts), len(attempts))) if attempts else None,
        "attempts": [
            {"attempts": count, "journeys": journeys} for count, journeys in sorted(Counter(attempts).items())
        ],
    }


REPORT: Final = Report(
    "feedback",
    "What sales did with the MQLs of the window: accepted, recycled and disqualified by reason, returned by the AE,"
    " given up after how many attempts, and untouched.",
    FEEDBACK,
    metrics,
    FeedbackParameters,
    {"attempts": "array_agg(attempts) FILTER (WHERE counted AND metric = 'given_up')"},
    show,
    groups={"rule": RULE},
    columns=("hours", "attempts_mean", "attempts"),
)
