"""What a policy says, in words: actions, conditions, points and clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from app.policy.condition_words import in_words
from app.policy.diagram import Arrow, charts
from app.policy.document import Policy


@dataclass(frozen=True, slots=True)
class Line:
    """A name and what is said of it.

    `requires` is the condition of an action, None where it has none; `rule_id` that of a scoring rule.
    """

    name: str
    text: str
    requires: str | None = None
    rule_id: str | None = None


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: tuple[Line, ...]


def summary(policy: Policy) -> tuple[Section, ...]:
    """The sections in the order in which they are read."""
    return tuple(_sections(policy))


def _sections(policy: Policy) -> Iterator[Section]:
    for chart in charts(policy):
        stages = ", ".join(place.name for place in chart.places if place.name)
        yield Section(f"{chart.title}: {stages}", tuple(_action(arrow) for arrow in chart.arrows))
    document = policy.model_dump(mode="json", by_alias=True, exclude_unset=True)
    conditions = document["conditions"].items()
    yield Section("Conditions", tuple(Line(name, in_words(condition)) for name, condition in conditions))
    for ledger in ("fit", "engagement"):
        rules = document["scoring"][ledger]
        lines = tuple(Line(f"{one['points']:+d} {one['id']}", _counted(one), rule_id=one["id"]) for one in rules)
        yield Section(f"Points for {ledger}", lines)
    clocks = policy.clocks.items()
    yield Section(
        "Clocks", tuple(Line(name, f"{clock.minutes} minutes, met by {clock.met_by}") for name, clock in clocks)
    )


def _action(arrow: Arrow) -> Line:
    sources = ", ".join(source or "the beginning" for source in arrow.sources)
    text = f"{sources} → {arrow.choice or ', '.join(arrow.targets)}. By {arrow.who}."
    return Line(arrow.action, text, arrow.guard)


def _counted(rule: dict[str, Any]) -> str:
    return in_words(rule["if"]) if "if" in rule else f"each activity {rule['type']}"
