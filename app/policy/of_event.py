"""Conditions about an event, which stand outside of a policy: what subscriptions are filtered by.

They have the words whose value the event has, or its lead as of the event. Nothing that a policy defines can be named:
an event of the past would be judged anew with each version of the policy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Final, get_args

from pydantic import TypeAdapter

from app.matching.normalize import CANONICAL
from app.policy.check_conditions import MAX_DEPTH, MAX_NODES, depth_and_count
from app.policy.check_fields import field_faults
from app.policy.codes import NAMES
from app.policy.conditions import AllOf, AnyOf, AtLeast, Condition, Not, When, walk
from app.policy.document import Policy
from app.policy.fault import Fault
from app.policy.field_word import SHIPPED_LISTS, FieldIs
from app.policy.holding import Way
from app.policy.never_true import LEDGERS, Judge, most_points
from app.policy.person_words import ConsentIs, HasException
from app.policy.read import parsed
from app.policy.together import HasSeveral, SubjectOf, subject_of
from app.policy.view import ConditionBase
from app.policy.words import (
    ActorIs,
    Contactable,
    Engagement,
    Fit,
    FromStage,
    Identities,
    IntoStage,
    Level,
    ReasonIs,
)

OF_EVENT: Final = "data."  # what the name of a field begins with that is a member of `data`
OF_LEAD: Final = "data.lead."
AROUND: Final = AllOf | AnyOf | Not | AtLeast | When
ABOUT_LEAD: Final = Fit | Engagement | Level | ConsentIs | Contactable | HasException | Identities
ABOUT_STEP: Final = FromStage | IntoStage | ReasonIs | ActorIs
# Fields that `data.lead` does not have, and what to write instead.
INSTEAD: Final = {
    "source": "compare `data.lead.source_id` with the id of a source, or `channel`",
    "business": "compare `data.business` of the events that have it",
    "bant.timing.due_in_days": "compare `bant.timing.value` or `bant.timing.status`",
}
MEMBERS: Final = {FromStage: "from", ReasonIs: "reason_code", ActorIs: "actor.role"}
# Members of `data.lead` that attributes of the catalogue have unchanged, by the names of these.
SAME: Final = {
    **{f"{OF_LEAD}{name}": name for name in ("kind", "channel", "email_status", "phone_status")},
    **{f"{OF_LEAD}fields.{name}": name for name in CANONICAL if name not in ("role", "seniority")},
}
OF_CUSTOM: Final = f"{OF_LEAD}custom."
TO: Final = f"{OF_EVENT}to"
HERE: Final = AROUND | ABOUT_LEAD | ABOUT_STEP | FieldIs
ELSEWHERE: Final = {one.word() for one in ConditionBase.__subclasses__()} - {one.word() for one in get_args(HERE)}
INSIDE: Final = {"all", "any", "not", "at_least", "of", "when", "then"}  # members that have conditions inside
_CONDITION: Final[TypeAdapter[ConditionBase]] = TypeAdapter(Condition)


def read_condition(data: object) -> ConditionBase | list[Fault]:
    """The condition of parsed JSON, or its faults. Of a word that cannot stand here nothing else is told."""
    what = "a condition is an object with one word, such as `all` or `field`"
    found = parsed(_CONDITION, data, what, codes=NAMES, not_here=ELSEWHERE)
    if not isinstance(found, list):
        return found
    foreign = {f"{place}/{word}": _not_here(place, word) for place, word in _foreign_words(data)}
    others = [one for one in found if not any(f"{one.place}/".startswith(f"{place}/") for place in foreign)]
    return [*foreign.values(), *others]


def _foreign_words(data: object) -> Iterator[tuple[str, str]]:
    """The places, with the word there, of what looks like a condition that cannot stand here, whatever its form."""
    waiting = [("", data)]
    while waiting:
        place, node = waiting.pop()
        if isinstance(node, list):
            waiting.extend((f"{place}/{number}", one) for number, one in enumerate(node))
        elif isinstance(node, dict):
            yield from ((place, word) for word in node.keys() & ELSEWHERE)
            waiting.extend((f"{place}/{word}", node[word]) for word in node.keys() & INSIDE)


def _not_here(place: str, word: str) -> Fault:
    detail = f"events do not have what `{word}` asks for: compare a `field` of the lead or of `data`"
    return Fault(place, "not_here", detail)


def condition_of(stored: bytes) -> ConditionBase:
    """A stored condition, which was read and checked when it was saved."""
    return _CONDITION.validate_json(stored)


def member_of(node: ConditionBase) -> str | None:
    """The member of `data` that the condition reads, as `source.name`; None where it reads none by a name."""
    if isinstance(node, FieldIs):
        return node.field.removeprefix(OF_EVENT) if node.field.startswith(OF_EVENT) else None
    return MEMBERS.get(type(node))


@dataclass(frozen=True, slots=True)
class Selected:
    """What is known of the events that types select. `enters`: whether they have `data.to`; None where some do.

    `has_several`: whether a field may have several values at once.
    """

    has_several: HasSeveral
    enters: bool | None

    def subject_in(self, way: Way) -> SubjectOf:
        """What words are about, by one name for all spellings of a member: `{"from": …}` is about `data.from`.

        `stage` is the stage that an event says is entered, and that of its lead where it says none. The two may differ:
        of several steps at once all events show the lead after the last one.
        """
        enters = self.enters or any(one.true and _needs(one.word, TO) for one in way)
        stage = TO if enters else f"{OF_LEAD}stage" if self.enters is False else IntoStage.word()

        def subject(word: ConditionBase) -> str:
            if isinstance(word, FieldIs):
                name = SAME.get(word.field, word.field)
                custom = name.removeprefix(OF_CUSTOM)
                return name if custom == name or "." in custom else f"custom.{custom}"
            member = MEMBERS.get(type(word))
            return stage if isinstance(word, IntoStage) else f"{OF_EVENT}{member}" if member else subject_of(word)

        return subject


def _needs(word: ConditionBase, field: str) -> bool:
    return isinstance(word, FieldIs) and word.field == field and word.present is not False


def reads_lead(root: ConditionBase) -> bool:
    """Whether the condition is about the lead of the event, too."""
    return any(_is_about_lead(node) for _, node, _ in walk(root))


def _is_about_lead(node: ConditionBase) -> bool:
    if isinstance(node, FieldIs):
        return node.field.startswith(OF_LEAD) or not node.field.startswith(OF_EVENT)
    return isinstance(node, ABOUT_LEAD | IntoStage)


def condition_faults(
    policy: Policy, root: ConditionBase, wanted: Mapping[str, Sequence[object]], selected: Selected
) -> Iterator[Fault]:
    """What is wrong with the condition: its size, its words, fields and values, and whether it can hold.

    Names of members of `data`, and stages, are not checked here. `policy`: the active one, by which it is warned of
    scores that no lead reaches. `wanted`: the values of members that the filter lets through.
    """
    depth, nodes = depth_and_count(policy, root, {})
    if depth > MAX_DEPTH:
        yield Fault("", "too_deep", f"conditions are nested {depth} levels deep, at most {MAX_DEPTH}")
    if nodes > MAX_NODES:
        yield Fault("", "too_many_nodes", f"{nodes} conditions, at most {MAX_NODES}")
    wrong = [fault for place, node, _ in walk(root) for fault in _word_faults(policy, place, node)]
    yield from wrong
    if all(one.kind == "warning" for one in wrong) and nodes <= MAX_NODES:
        found = list(_never_true(policy, root, selected))
        yield from found or _never_with_filter(policy, root, wanted, selected)


def _word_faults(policy: Policy, place: str, node: ConditionBase) -> Iterator[Fault]:
    match node:
        case AtLeast() if node.at_least.count > len(node.at_least.of):
            yield Fault(f"{place}/at_least/count", "never_true", "`count` is more than `of` has conditions")
        case FieldIs() if node.in_list is not None and node.in_list not in SHIPPED_LISTS:
            detail = "a subscription cannot name a list of a policy, which may change: write its values with `in`"
            yield Fault(f"{place}/in_list", "not_here", detail)
        case FieldIs() if node.field in INSTEAD:
            yield Fault(f"{place}/field", "not_here", f"events have no `{node.field}`: {INSTEAD[node.field]}")
        case FieldIs() if node.field.startswith(OF_EVENT):
            if node.between is not None and node.between[0] > node.between[1]:
                yield Fault(f"{place}/between", "empty_range", "the lower end is above the upper")
        case FieldIs():
            yield from field_faults(policy, place, node)
        case _ if isinstance(node, AROUND | ABOUT_LEAD | ABOUT_STEP):
            pass
        case _:
            yield _not_here(place, node.keyword)


def _never_true(policy: Policy, root: ConditionBase, selected: Selected) -> Iterator[Fault]:
    """A fault of a condition that contradicts itself. What holds for no lead of the present policy, or in a part that
    may fail, is only warned of."""
    told: set[str] = set()
    for always, most in (
        (True, dict.fromkeys(LEDGERS, inf)),
        (False, {one: most_points(policy, one) for one in LEDGERS}),
    ):
        judge = Judge(policy, most, has_several=selected.has_several, subject_in=selected.subject_in)
        never = always and judge.why(root) is not None
        for place, node, _ in walk(root):
            why = judge.told_here(node)
            if why is not None and place not in told:
                told.add(place)
                yield Fault(place, "never_true", f"this can never be true: {why}", "fault" if never else "warning")


def _never_with_filter(
    policy: Policy, root: ConditionBase, wanted: Mapping[str, Sequence[object]], selected: Selected
) -> Iterator[Fault]:
    """A fault of a condition that holds for no event that the filter lets through; values of a filter may be null."""
    read = [read_condition({"field": f"{OF_EVENT}{name}", "in": values}) for name, values in wanted.items()]
    words = [one for one in read if not isinstance(one, list)]
    both = AllOf.model_validate({"all": (*words, root)})
    most = dict.fromkeys(LEDGERS, inf)
    why = Judge(policy, most, has_several=selected.has_several, subject_in=selected.subject_in).why(both)
    if why is not None:
        yield Fault("", "never_true", f"with `filter` this can never be true: {why}")
