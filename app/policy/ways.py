"""The check of the ways through a policy: every stage is reached, and from every one the journey can be closed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.policy.actions import Action
from app.policy.document import Policy
from app.policy.fault import Fault

Step = tuple[str | None, str | None]


def ways(policy: Policy) -> Iterator[Fault]:
    """Faults of stages without a way in or out. Only fixed targets count, not `held` and `any_open`."""
    steps = [(stage, to) for stage in policy.edges for action in policy.edges[stage] for to in _targets(policy, action)]
    reached = _connected([None], steps)
    closed = [stage.name for stage in policy.stages if stage.kind == "closed"]
    closing = _connected(closed, [(to, stage) for stage, to in steps])
    for index, stage in enumerate(policy.stages):
        place, kind = f"/stages/{index}", stage.kind
        if stage.name not in reached and kind not in ("merged", "erased"):
            detail = f"no action leads to `{stage.name}`: give one this stage as `to`, or remove the stage"
            yield Fault(place, "unreachable_stage", detail)
        if stage.name not in closing and kind in ("open", "parked"):
            detail = f"no way leads from `{stage.name}` to a closed stage: name it in `from` of an action that goes on"
            yield Fault(place, "no_way_out", detail)


def _targets(policy: Policy, action: Action) -> Iterator[str]:
    targets = (action.to, *(branch.stage for branch in action.to_if))
    return (to for to in targets if to in policy.stage_of)


def _connected(start: Iterable[str | None], steps: Iterable[Step]) -> set[str | None]:
    """What can be reached from the start, itself included."""
    following: dict[str | None, set[str | None]] = {}
    for here, to in steps:
        following.setdefault(here, set()).add(to)
    found = set(start)
    waiting = list(found)
    while waiting:
        new = following.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found
