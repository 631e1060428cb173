"""The check of the ways through a policy: every stage is reached, and from every one the journey can be closed."""

from __future__ import annotations

from collections.abc import Iterator

from app.policy.actions import Action
from app.policy.document import Policy
from app.policy.fault import Fault


def ways(policy: Policy) -> Iterator[Fault]:
    """Faults of stages without a way in or out. Only fixed targets count, not `held` and `any_open`."""
    steps = [(stage, to) for stage in policy.edges for action in policy.edges[stage] for to in _targets(policy, action)]
    reached = _connected({None}, steps)
    closing = _connected(
        {stage.name for stage in policy.stages if stage.kind == "closed"}, [(to, at) for at, to in steps]
    )
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


def _connected(start: set[str | None] | set[str], steps: list[tuple[str | None, str | None]]) -> set[str | None]:
    """What can be reached from the start, itself included."""
    found: set[str | None] = set(start)
    waiting = list(found)
    while waiting:
        here = waiting.pop()
        new = {to for at, to in steps if at == here} - found
        found |= new
        waiting.extend(new)
    return found
