"""The sentence about one difference between two policy documents, for people of marketing and sales."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from app.policy.condition_words import in_words, is_condition

MAX_TEXT = 400
MAX_LISTED = 8
Document = Mapping[str, Any]


class Absent(Enum):
    """What stands at a place that one of the documents does not have."""

    ABSENT = "not given"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a path: its key in the JSON pointer, and the name of what is there; None for a bare index."""

    key: str
    name: str | None


Path = tuple[Step, ...]

# What the members of these are called, by their place.
NOUNS: Final[Mapping[tuple[str, ...], str]] = {
    ("stages",): "Stage {}",
    ("milestones",): "Milestone {}",
    ("conditions",): "Condition '{}'",
    ("actions",): "Action {}",
    ("automation",): "Automatic action {}",
    ("scoring", "fit"): "Fit rule {}",
    ("scoring", "engagement"): "Engagement rule {}",
    ("scoring", "personas"): "Persona {}",
    ("scoring", "levels"): "Level {}",
    ("scoring", "decay"): "Decay up to day {}",
    ("scoring", "caps"): "Cap of {}",
    ("scoring", "temperature"): "Temperature {}",
    ("lists",): "List '{}'",
    ("teams",): "Team {}",
    ("routing",): "Route {}",
    ("clocks",): "Clock {}",
    ("conversion", "class"): "Class of a conversion from {}",
    ("opportunity", "stages"): "Opportunity stage {}",
    ("opportunity", "actions"): "Opportunity action {}",
    ("benchmarks",): "Benchmark {}",
}
WORDS: Final = {"from": "stages it leaves", "to": "target", "by": "who may", "if": "condition", "class": "class"}
JOINING: Final = frozenset({"all", "any", "of"})
SCORES: Final = frozenset({"fit", "engagement", "level", "likelihood"})


def sentence(path: Path, old: Any, new: Any, later: Document) -> str:
    """The difference in words; `old` or `new` is ABSENT where something is new or gone."""
    thing, rest = _thing(path)
    text = _special(path, thing, rest, old, new, later) or _plain(thing, rest, old, new)
    return text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 1]}…"


def _thing(path: Path) -> tuple[str, list[str]]:
    """What the difference is of, and the words of its place within that."""
    keys = tuple(step.key for step in path)
    if "reasons" in keys[:2] and len(path) > (at := keys.index("reasons")) + 1:
        of = "an opportunity's " * at + keys[at + 1]
        one = len(path) > at + 2 and path[at + 2].name
        return (f"Reason '{one}' of {of}" if one else f"Reasons of {of}"), _words(path[at + (3 if one else 2) :])
    for size in (1, 2):
        if keys[:size] in NOUNS and len(path) > size and path[size].name is not None:
            return NOUNS[keys[:size]].format(path[size].name), _words(path[size + 1 :])
    words = _words(path)
    return (" ".join(words).capitalize() or "The document"), []


def _words(path: Path) -> list[str]:
    """The names of the steps; what only joins conditions is left out."""
    names = [step.name for step in path if step.name is not None and step.key not in JOINING]
    return [WORDS.get(name, name.replace("_", " ")) for name in names]


def _special(path: Path, thing: str, rest: list[str], old: Any, new: Any, later: Document) -> str | None:
    """The sentence of the differences that are asked for most; None for another one."""
    keys = [step.key for step in path]
    both = old is not ABSENT and new is not ABSENT
    if keys[:1] == ["scoring"] and rest == ["points"] and both and "caps" not in keys:
        return f"Points for {path[2].name} {old} → {new}"
    if thing.startswith("Reason '") and rest == ["active"]:
        return f"{thing}: {'no longer active' if new is False else 'active again'}"
    if thing.startswith("Reason '") and rest == ["permanent"]:
        return f"{thing}: {'now permanent' if new is True else 'no longer permanent'}"
    if both and len(keys) > 2 and keys[-1] == "at_least" and keys[-2] in SCORES:
        where = threshold_of(path, later)
        return f"{where or thing + ','} threshold for {keys[-2]} {old} → {new}"
    return None


def threshold_of(path: Path, document: Document) -> str | None:
    """`MQL`, or what the first milestone is called, where the path is in the rule that leads to it."""
    try:
        first = document["milestones"][0]
        automatic = {item["do"] for item in document["automation"]}
        action = next(one for one in document["actions"] if one["to"] == first["stage"] and one["name"] in automatic)
    except (LookupError, TypeError, StopIteration):
        return None  # it has no automatic threshold
    of_guard = ["actions", action["name"], "guard"]
    places = [of_guard, *(["conditions", name] for name in _named(action.get("guard")))]
    named = [step.name if step.name is not None else step.key for step in path]
    return str(first["name"]).upper().replace("_", " ") if any(named[: len(one)] == one for one in places) else None


def _named(condition: Any) -> Iterator[str]:
    """The names of the conditions that a condition uses."""
    waiting = [condition]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if isinstance(name := node.get("condition"), str):
                yield name
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)


def _plain(thing: str, rest: list[str], old: Any, new: Any) -> str:
    subject = ", ".join((thing, " ".join(rest))) if rest else thing
    if old is ABSENT:
        a_thing = isinstance(new, Mapping) and not rest
        return f"{thing} is new{_of(new)}" if a_thing else f"{subject} is new: {_value(new)}"
    if new is ABSENT:
        return f"{subject} is gone" if isinstance(old, Mapping) else f"{subject} is gone, was {_value(old)}"
    if isinstance(old, list) and isinstance(new, list) and len(old) + len(new) > MAX_LISTED:
        return f"{subject}: {_members(old, new)}"
    return f"{subject}: {_value(old)} → {_value(new)}"


def _of(new: Mapping[str, Any]) -> str:
    """What a thing that is new says first of itself: its points, or what it is if it is a condition."""
    if "points" in new:
        return f", {new['points']} points"
    return f": {in_words(new)}" if is_condition(new) else ""


def _members(old: list[Any], new: list[Any]) -> str:
    parts = []
    for word, here, there in (("added", new, old), ("removed", old, new)):
        if listed := [_value(one) for one in here if one not in there]:
            more = ", …" if len(listed) > MAX_LISTED else ""
            parts.append(f"{len(listed)} {word} ({', '.join(listed[:MAX_LISTED])}{more})")
    return ", ".join(parts) or f"another order: {', '.join(_value(one) for one in new[:50])}"


def _value(value: Any) -> str:
    if isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
        return "; ".join(in_words(one) for one in value)
    return in_words(value)
