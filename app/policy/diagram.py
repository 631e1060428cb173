"""The stages and actions of a policy as a diagram: what is drawn, and its text for Mermaid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from app.policy.actions import TARGETS, Action, Stage
from app.policy.condition_words import in_words
from app.policy.document import Policy

START: Final = None
# What the targets that are no stage mean.
MEANS: Final = {
    "held": "the stage held when closed",
    "any_open": "any open stage, as the request says",
    "later": "a later stage, as the request says",
    "same": "no change of the stage",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A stage as it is drawn; its name is None for the beginning of a journey."""

    name: str | None
    kind: Literal["start", "open", "parked", "closed"]


@dataclass(frozen=True, slots=True)
class Arrow:
    """An action as it is drawn. `choice` says which of several targets a move takes; None for a fixed target."""

    action: str
    who: str
    sources: tuple[str | None, ...]
    targets: tuple[str, ...]
    choice: str | None
    guard: str | None


@dataclass(frozen=True, slots=True)
class Chart:
    """The stages in the order in which they are drawn, and the actions in the order of the document."""

    title: str
    places: tuple[Place, ...]
    arrows: tuple[Arrow, ...]


def charts(policy: Policy) -> tuple[Chart, Chart]:
    """The journey of a lead, and that of an opportunity."""
    automatic = {item.do for item in policy.automation}
    places = (Place(START, "start"), *(Place(one.name, _kind(one)) for one in _in_order(policy)))
    arrows = tuple(_arrow(policy, action, automatic) for action in policy.actions)
    return Chart(policy.title, places, arrows), _opportunity(policy)


def _kind(stage: Stage) -> Literal["open", "parked", "closed"]:
    return stage.kind if stage.kind in ("open", "parked") else "closed"


def _in_order(policy: Policy) -> list[Stage]:
    """Open stages and the conversion's by their order, then the parked ones, then the others that close a journey."""
    shown = [stage for stage in policy.stages if stage.kind in ("open", "parked", "closed")]
    rank = {"open": 0, "parked": 1, "closed": 2}
    return sorted(shown, key=lambda one: (one.order is None, one.order if one.order is not None else rank[one.kind]))


def _arrow(policy: Policy, action: Action, automatic: set[str]) -> Arrow:
    opened = [stage.name for stage in _in_order(policy) if stage.kind == "open"]
    sources = tuple(opened) if action.sources == "open" else action.sources
    if fast := policy.conversion.fast_track if action.converts else None:
        sources = (*sources, *(stage for stage in fast.sources if stage not in sources))
    targets = [action.to, *(branch.stage for branch in action.to_if)]
    if action.to == "held":
        targets = [name for name in opened if any(leads_to(policy, name, closed) for closed in sources)]
    elif action.to == "any_open":
        targets = opened
    elif action.to == "same":
        targets = [name for name in sources if name is not None]
    choice = MEANS.get(action.to) or _branches(action)
    return Arrow(action.name, _who(action, automatic), sources, tuple(dict.fromkeys(targets)), choice, _guard(action))


def leads_to(policy: Policy, stage: str, closed: str | None) -> bool:
    """Whether an action takes a journey from this open stage to the closed one."""
    return any(action.to == closed for action in policy.edges[stage])


def _branches(action: Action) -> str | None:
    """Which of the targets of `to_if` and `to` a move takes; None without `to_if`."""
    branches = [f"{branch.stage} if {in_words(_plain(branch.condition))}" for branch in action.to_if]
    return f"{'; '.join(branches)}; else {action.to}" if branches else None


def _guard(action: Action) -> str | None:
    return None if action.guard is None else in_words(_plain(action.guard))


def _plain(condition: object) -> object:
    return condition.model_dump(mode="json", by_alias=True, exclude_unset=True)  # type: ignore[attr-defined]


def _who(action: Action, automatic: set[str]) -> str:
    machines = ["automatic" if one == "policy" and action.name in automatic else one for one in action.by.machines]
    return ", ".join((*action.by.people, *machines))


def _opportunity(policy: Policy) -> Chart:
    stages = policy.opportunity.stages
    places = tuple(Place(one.name, "closed" if one.is_closed else "open") for one in stages)
    place_of = policy.opportunity.place_of
    arrows = []
    for action in policy.opportunity.actions:
        sources = tuple(one for one in action.sources if one in place_of)
        targets: Sequence[str] = (action.to,)
        if action.to == "later":
            first = min((place_of[one] for one in sources if one is not None), default=0)
            targets = [one.name for one in stages[first + 1 :] if not one.is_closed]
        elif action.to == "held":
            closing = [one for one in policy.opportunity.actions if one.to in sources]
            targets = [one.name for one in stages if any(one.name in way.sources for way in closing)]
        arrows.append(
            Arrow(action.name, _who(action, set()), sources, tuple(targets), MEANS.get(action.to), _guard(action))
        )
    return Chart("The opportunity", places, tuple(arrows))


def mermaid(policy: Policy) -> str:
    """The diagram as text for Mermaid; each action is named with who may take it."""
    chart, opportunity = charts(policy)
    lines = ["stateDiagram-v2", "    direction LR"]
    lines += [f'    state "{place.name}" as {place.name}_' for place in chart.places if place.name is not None]
    lines += _edges(policy.actions, chart.arrows, "")
    lines += ["    state opportunity_ {"]
    lines += [f'        state "{place.name}" as opportunity_{place.name}_' for place in opportunity.places]
    lines += [f"    {line}" for line in _edges(policy.opportunity.actions, opportunity.arrows, "opportunity_")]
    return "\n".join([*lines, "    }", ""])


def _edges(actions: Sequence[Action], arrows: Sequence[Arrow], prefix: str) -> Iterator[str]:
    """One line for each source and target; a target that is no stage is drawn as a state that says what it means."""
    words = dict.fromkeys(action.to for action in actions if action.to in TARGETS - {"same"})
    yield from (f'    state "{MEANS[word]}" as {prefix}{word}' for word in words)
    for action, arrow in zip(actions, arrows, strict=True):
        for source in ("any_open",) if action.to == "any_open" else arrow.sources:
            if source in words:
                yield f"    {prefix}{source} --> {prefix}{action.to}: {arrow.action} · {arrow.who}"
                continue
            here = "[*]" if source is None else f"{prefix}{source}_"
            targets = (action.to,) if action.to in words else (source,) if action.to == "same" else arrow.targets
            for to in targets:
                there = f"{prefix}{to}" if to in words else f"{prefix}{to}_"
                yield f"    {here} --> {there}: {arrow.action} · {arrow.who}"
