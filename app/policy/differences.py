"""What is different between two policy documents, each difference with its place, both values and a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.policy.difference_words import ABSENT, Document, Path, Step, sentence
from app.policy.fault import escaped

# The members by which the objects of a list are known, so that one that moves or is added is told by its name.
NAMED_BY: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(("stages", "milestones", "actions", "personas"), ("name",)),
    **dict.fromkeys(("fit", "engagement", "rules"), ("id",)),
    "automation": ("do",),
    "levels": ("level",),
    "decay": ("to_day",),
    "caps": ("ledger", "rule", "group"),
    "benchmarks": ("from", "to", "business"),
    "to_if": ("stage",),
}
# Members whose own members are names given in the document; all others are words of the schema.
MAPS: Final = frozenset({"conditions", "reasons", "lists", "teams", "routing", "weights", "clocks", "class"})


@dataclass(frozen=True, slots=True)
class Difference:
    """`place` is a JSON pointer into the later document, or, where it has no such place, into the earlier one."""

    place: str
    old: Any
    new: Any
    text: str


def differences(earlier: Document, later: Document) -> list[Difference]:
    """Every difference of two documents; an empty list if, and only if, they are equal as JSON."""
    found = []
    for path, old, new in _compared((), earlier, later):
        place = "".join(f"/{escaped(step.key)}" for step in path)
        was, now = (None if value is ABSENT else value for value in (old, new))
        found.append(Difference(place, was, now, sentence(path, old, new, later)))
    return found


def same(old: Any, new: Any) -> bool:
    """Whether two values are equal as JSON: true is not 1, and the order of members does not matter."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(same(old[name], new[name]) for name in old)
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(same(was, now) for was, now in zip(old, new, strict=True))
    return type(old) is type(new) and bool(old == new)


def _compared(path: Path, old: Any, new: Any) -> Iterator[tuple[Path, Any, Any]]:
    if same(old, new):
        return
    if isinstance(old, Mapping) and isinstance(new, Mapping) and not _another_word(path, old, new):
        for name in dict.fromkeys((*old, *new)):
            yield from _compared((*path, Step(name, name)), old.get(name, ABSENT), new.get(name, ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _lists(path, old, new)
    else:
        yield path, old, new


def _lists(path: Path, old: list[Any], new: list[Any]) -> Iterator[tuple[Path, Any, Any]]:
    before, after = _by_name(path, old), _by_name(path, new)
    if before is not None and after is not None:
        for name in dict.fromkeys((*before, *after)):
            was = old[before[name]] if name in before else ABSENT
            now = new[after[name]] if name in after else ABSENT
            index = after[name] if name in after else before[name]
            yield from _compared((*path, Step(str(index), name)), was, now)
        if [name for name in before if name in after] != [name for name in after if name in before]:
            yield path, list(before), list(after)
    elif len(old) == len(new) and all(isinstance(one, Mapping) for one in (*old, *new)):
        for index, (was, now) in enumerate(zip(old, new, strict=True)):
            yield from _compared((*path, Step(str(index), None)), was, now)
    else:
        yield path, old, new


def _by_name(path: Path, items: list[Any]) -> dict[str, int] | None:
    """The index of each item by its name; None for a list of values or conditions, or with one name twice."""
    of_reasons = len(path) > 1 and path[-2].key == "reasons"
    members = ("code",) if of_reasons else NAMED_BY.get(path[-1].key, ()) if path else ()
    names = [_name(item, members) for item in items]
    found = {name: index for index, name in enumerate(names) if name}
    return found if len(found) == len(items) else None


def _name(item: Any, members: Sequence[str]) -> str:
    if not isinstance(item, Mapping):
        return ""
    return " to ".join(str(item[member]) for member in members if isinstance(item.get(member), str | int))


def _another_word(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether both are conditions or effects, and of different words."""
    if not path or path[-1].key in MAPS or old.keys() == new.keys():
        return False
    return len(old) == len(new) == 1 or ("field" in old and "field" in new)
