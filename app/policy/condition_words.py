"""A condition of a policy document as words that people of marketing and sales read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

COMPARISONS: Final = {
    "at_least": "at least",
    "at_most": "at most",
    "is": "is",
    "in": "is one of",
    "in_list": "is on the list",
    "has_word": "has one of the words",
}


def in_words(condition: Any) -> str:
    """The condition as a phrase; another value as people write it."""
    if not is_condition(condition):
        return shown(condition)
    if "field" in condition:
        return _field(condition)
    if "when" in condition:
        return f"if {_inner(condition['when'])}, then {_inner(condition['then'])}"
    word, argument = next(iter(condition.items()))
    try:
        return PHRASES[word](argument)
    except (AttributeError, LookupError, TypeError):
        return shown(condition)  # not the argument that the word has


def is_condition(value: Any) -> bool:
    """Whether the value has the form of a condition."""
    if not isinstance(value, Mapping) or not value:
        return False
    return "field" in value or {"when", "then"} <= set(value) or (len(value) == 1 and next(iter(value)) in PHRASES)


def shown(value: Any) -> str:
    """A value of a document as people write it."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(in_words(one) for one in value) or "none"
        case Mapping():
            members = sorted(value.items(), key=lambda member: member[0] == "if")  # what it depends on comes last
            return ", ".join(f"{str(name).replace('_', ' ')} {in_words(one)}" for name, one in members) or "none"
        case _:
            return str(value) or "empty"


def _inner(condition: Any) -> str:
    """The condition as part of a longer phrase: in brackets where it is of several parts."""
    words = set(condition) if isinstance(condition, Mapping) else set()
    several = "when" in words or any(len(condition[word]) > 1 for word in words & {"all", "any"})
    return f"({in_words(condition)})" if several else in_words(condition)


def _joined(word: str) -> Callable[[Sequence[Any]], str]:
    return lambda members: f" {word} ".join(_inner(member) for member in members)


def _field(condition: Mapping[str, Any]) -> str:
    name = str(condition["field"])
    for operator, argument in condition.items():
        if operator == "present" and argument is not None:
            return f"{name} is {'given' if argument else 'missing'}"
        if operator == "between" and isinstance(argument, Sequence) and len(argument) == 2:
            return f"{name} is between {argument[0]} and {argument[1]}"
        if operator in COMPARISONS and argument is not None:
            return f"{name} {COMPARISONS[operator]} {shown(argument)}"
    return shown(condition)


def _activity(wanted: Mapping[str, Any]) -> str:
    kinds = {"interest": "a sign of interest", "contact_attempt": "a contact attempt"}
    what = " or ".join(wanted.get("types") or ()) or kinds[wanted["kind"]]
    count = wanted.get("min_count", 1)
    text = what if count == 1 else f"{count} times {what}"
    text += f" within {wanted['within_days']} days" if wanted.get("within_days") else ""
    return text + (" since the last recycling" if wanted.get("since") else "")


def _bant(wanted: Mapping[str, Any]) -> str:
    text = f"BANT {wanted['min']} of 4"
    text += f" with {shown(wanted['must'])}" if wanted.get("must") else ""
    text += f" by {shown(wanted['by'])}" if wanted.get("by", "any") != "any" else ""
    return text + (f" within {wanted['within_days']} days" if wanted.get("within_days") else "")


def _classes(wanted: Mapping[str, Any]) -> str:
    return f"opportunity is {'in' if wanted.get('in') else 'not in'} {shown(wanted.get('in') or wanted['not_in'])}"


PHRASES: Final[Mapping[str, Callable[[Any], str]]] = {
    "all": _joined("and"),
    "any": _joined("or"),
    "not": lambda member: f"not ({in_words(member)})",
    "at_least": lambda of: f"{of['count']} of: {'; '.join(in_words(member) for member in of['of'])}",
    "condition": lambda name: f"the condition '{name}'",
    **{
        word: (lambda name: lambda wanted: f"{name} at least {wanted['at_least']}")(word)
        for word in ("fit", "engagement", "level", "likelihood", "identities")
    },
    "attempts": lambda wanted: f"at least {wanted['at_least']} contact attempts",
    "activity": _activity,
    "sequence": lambda wanted: f"{', then '.join(wanted['types'])} within {wanted['within_days']} days",
    "bant": _bant,
    "owner": lambda who: f"the owner is {' or '.join(who)}",
    "actor": lambda wanted: f"asked by {' or '.join(wanted['roles'])}",
    "assignable": lambda route: f"somebody for '{route}' is named or routed",
    "from": lambda values: f"coming from {shown(values)}",
    "stage": lambda values: f"the stage is {shown(values)}",
    "reason": lambda values: f"the reason is {shown(values)}",
    "entry": lambda values: f"the entry is {shown(values)}",
    "closed_for": lambda wanted: f"closed for at most {wanted['at_most_days']} days",
    "newest_journey": lambda value: "no newer journey" if value else "a newer journey",
    "closing_reason": lambda _: "the closing reason is permanent",
    "opportunity_class": _classes,
    "wake_at": lambda _: "the wake-up date is reached",
    "consent": lambda wanted: f"the consent for {wanted['purpose']} is {shown(wanted['state'])}",
    "contactable": lambda value: "contactable" if value else "not contactable",
    "persona": lambda names: f"matches the persona {' or '.join(names)}",
    "exception": lambda value: "counts by an exception" if value else "has no exception",
}
