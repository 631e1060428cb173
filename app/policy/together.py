"""Whether conditions of one word can be true, or not, at the same time. What cannot be judged may be."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, product
from typing import Any, Final, get_args

from app.policy.attributes import CONSENT_STATES, Attribute, field_attribute
from app.policy.document import Policy
from app.policy.facts import CRITERIA, PEOPLE, Facts
from app.policy.field_word import SHIPPED_LISTS, FieldIs
from app.policy.holding import Said, Way
from app.policy.likelihood import Likelihood
from app.policy.person_words import ConsentIs, HasException, PersonaIs
from app.policy.policy_view import view_of
from app.policy.view import ConditionBase, View
from app.policy.vocabularies import has_codes
from app.policy.words import (
    ActorIs,
    Attempts,
    Bant,
    ClosedFor,
    Contactable,
    Engagement,
    EntryIs,
    Fit,
    FromStage,
    HasActivity,
    Identities,
    IntoStage,
    Level,
    NewestJourney,
    OpportunityClass,
    OpportunityStageClass,
    Owner,
    ReasonIs,
    as_values,
    may,
)

# Who owns a lead, and whether it is in the team of who asks.
SITUATIONS: Final = tuple(product(("nobody", "actor", "other"), (True, False)))
CLASSES: Final = (None, *get_args(OpportunityStageClass))
ANOTHER: Final = "\x00zqx"  # a text that no condition names
Accepts = Callable[[object], bool]
Words = Sequence[tuple[FieldIs, bool]]  # each with whether it is asked to be true
HasSeveral = Callable[[str], bool]
SubjectOf = Callable[[ConditionBase], str]


def is_custom(name: str) -> bool:
    """Whether it is a custom field: of those of a lead only these may hold a list."""
    return name.startswith("custom.")


def subject_of(word: ConditionBase) -> str:
    """The name of what the condition of one word is about."""
    if isinstance(word, FieldIs):
        return word.field
    return f"consent.{word.consent.purpose}" if isinstance(word, ConsentIs) else word.keyword


def clash(
    policy: Policy,
    way: Way,
    *,
    agreed: bool = False,
    has_several: HasSeveral = is_custom,
    subject_of: SubjectOf = subject_of,
) -> str | None:
    """Of which subject the way asks what cannot be; None if there is none.

    `agreed`: what one user has confirmed no other one denies. Each user confirms for himself, so both can be.
    `has_several`: whether a field of this name may have several values at once. `subject_of`: what a word is about,
    with one name for all spellings of a member.
    """
    implied = chain.from_iterable(_implied(one.word, agreed) for one in way if one.true)
    by_subject: dict[str, list[Said]] = defaultdict(list)
    for one in (*way, *implied):
        by_subject[subject_of(one.word)].append(one)
    for subject, said in by_subject.items():
        if not _possible(policy, subject, said, has_several):
            return subject
    least = max((one.word.bant.min for one in way if one.true and isinstance(one.word, Bant)), default=0)
    statuses = [_status(criterion, agreed) for criterion in CRITERIA] if least else []
    asked = [(one.field, [*by_subject.get(one.field, ()), Said(one)]) for one in statuses]
    shut = [name for name, said in asked if not _possible(policy, name, said, has_several)]
    return shut[0] if shut and len(CRITERIA) - len(shut) < least else None


def _status(criterion: str, agreed: bool) -> FieldIs:
    """What a confirmation says of the status: who has confirmed a criterion has said something of it."""
    what = {"is": "confirmed"} if agreed else {"present": True}
    return FieldIs.model_validate({"field": f"bant.{criterion}.status", **what})


def _implied(word: ConditionBase, agreed: bool) -> Iterator[Said]:
    """What holds of the status of criteria of BANT where the word does, by what it has to find of them."""
    if isinstance(word, Bant):
        yield from (Said(_status(criterion, agreed)) for criterion in word.bant.must)
    elif isinstance(word, FieldIs) and word.field.startswith("bant.") and word.present is not False:
        yield Said(_status(word.field.split(".")[1], agreed=False))


def _possible(policy: Policy, subject: str, said: Sequence[Said], has_several: HasSeveral) -> bool:
    denied = [one.word for one in said if not one.true]
    if any(map(_always, denied)) or any(
        one.true and any(_implies(one.word, other) for other in denied) for one in said
    ):
        return False
    if any(isinstance(one.word, FieldIs) for one in said):
        return _field_possible(policy, subject, said, several=has_several(subject))
    judged = [_of_one_value(one.word) for one in said]
    tried = [value for known, _ in judged for value in known]
    return not tried or any(
        all(accepts(value) is one.true for one, (_, accepts) in zip(said, judged, strict=True)) for value in tried
    )


def _implies(one: ConditionBase, other: ConditionBase) -> bool:
    """Whether the other condition, of the same subject, holds wherever the one does."""
    match one, other:
        case ((Fit() | Engagement() | Level() | Likelihood() | Attempts() | Identities()), _):
            return _at_least(one) >= _at_least(other)
        case HasActivity(), HasActivity():
            return _activity_implies(one, other)
        case Bant(bant=asked), Bant(bant=wanted):
            enough = max(asked.min, len({*asked.must})) >= wanted.min and {*asked.must} >= {*wanted.must}
            return enough and _among(asked.by, wanted.by) and _inside(asked.within_days, wanted.within_days)
        case ClosedFor(), ClosedFor():
            return one.closed_for.at_most_days <= other.closed_for.at_most_days
        case PersonaIs(), PersonaIs():
            return {*one.persona} <= {*other.persona}
        case Owner(), Owner():
            return {*one.owner} <= {*other.owner}
        case _:
            return one == other


def _always(word: ConditionBase) -> bool:
    return (isinstance(word, Level) and word.level.at_least <= 0) or (
        isinstance(word, Bant) and word.bant.min == 0 and not word.bant.must
    )


def _at_least(word: ConditionBase) -> float:
    wanted: float = getattr(word, word.keyword).at_least
    return wanted


def _activity_implies(one: HasActivity, other: HasActivity) -> bool:
    asked, wanted = one.activity, other.activity
    return (
        asked.min_count >= wanted.min_count
        and (wanted.types is None or (asked.types is not None and {*asked.types} <= {*wanted.types}))
        and wanted.kind in (None, asked.kind)
        and wanted.since in (None, asked.since)
        and _inside(asked.within_days, wanted.within_days)
    )


def _among(one: str | Sequence[str], other: str | Sequence[str]) -> bool:
    """Whether whoever the one `by` names is named by the other, too. Only people confirm BANT, the actor or others."""
    if one == other or other in ("any", "people"):
        return True
    if isinstance(other, str):
        return False
    return all(may(role, other) for role in PEOPLE if isinstance(one, str) or may(role, one))


def _inside(days: int | None, window: int | None) -> bool:
    return window is None or (days is not None and days <= window)


def _of_one_value(word: ConditionBase) -> tuple[tuple[object, ...], Accepts]:
    """The values to try and which the word accepts, for words about one value; nothing to try for the others."""
    match word:
        case FromStage(stages=values) | IntoStage(stage=values) | ReasonIs(reason=values) | EntryIs(entry=values):
            return (*as_values(values), ANOTHER), as_values(values).__contains__
        case Contactable(contactable=flag) | NewestJourney(newest_journey=flag) | HasException(exception=flag):
            return (True, False), lambda value: value is flag
        case OpportunityClass(opportunity_class=wanted):
            among = CLASSES if wanted.among is None else wanted.among
            return CLASSES, lambda value: value in among and value not in (wanted.not_in or ())
        case ActorIs(actor=actor):
            return (None, *PEOPLE), lambda value: may(None if value is None else str(value), actor.roles)
        case Owner(owner=owners):
            return SITUATIONS, lambda value: not {*_names_of(value)}.isdisjoint(owners)
        case ConsentIs(consent=consent):
            return CONSENT_STATES, lambda value: value in consent.state
        case _:
            return (), lambda _: True


def _names_of(situation: Any) -> Iterator[str]:
    """The values of the word `owner` that hold in the situation."""
    owner, same_team = situation
    if owner == "actor" or (owner == "nobody" and same_team):
        yield owner
    if owner != "nobody" and same_team:
        yield "team"


def _field_possible(policy: Policy, name: str, said: Sequence[Said], *, several: bool) -> bool:
    """Whether one value of the field may be all that is asked; where it may have several, each may be a part."""
    asked = [one for one in said if one.true]
    if several and asked and not _some_value(policy, name, said, (None, "")):
        denied = [one for one in said if not one.true]
        return all(_some_value(policy, name, [one, *denied]) for one in asked if not _is_absence(one.word)) and not any(
            _is_absence(one.word) for one in asked
        )
    return _some_value(policy, name, said)


def _is_absence(word: ConditionBase) -> bool:
    return isinstance(word, FieldIs) and word.present is False


def _accepts(word: ConditionBase, value: object, view: View) -> bool:
    if isinstance(word, FieldIs):
        return word.accepts(value, view)
    return _of_one_value(word)[1](value)  # a word for a step, which is another spelling of the field


def _some_value(policy: Policy, name: str, said: Sequence[Said], tried: Sequence[object] | None = None) -> bool:
    values = list(_candidates(policy, name, said)) if tried is None else tried
    for listed in (True, False):  # whether the lead's address is on the shipped lists
        facts = Facts(fields=dict.fromkeys(SHIPPED_LISTS, listed))
        view = view_of(policy, facts, datetime.min.replace(tzinfo=UTC))
        if any(all(_accepts(one.word, value, view) is one.true for one in said) for value in values):
            return True
    return False


def _candidates(policy: Policy, name: str, said: Sequence[Said]) -> Iterator[object]:
    """Values among which is one that fits, if there is any: those that are named, and those beside them."""
    yield from (None, "")
    attribute = field_attribute(name)
    words = [(one.word, one.true) for one in said if isinstance(one.word, FieldIs)]
    exact: list[Sequence[object]] = [
        _of_one_value(one.word)[0] for one in said if one.true and not isinstance(one.word, FieldIs)
    ]
    lists = exact or [found for word, true in words if true and (found := _listed(policy, word)) is not None]
    if lists:
        listed = min(lists, key=len)
        yield from (one for one in listed if attribute is None or type(one) is not int or attribute.has_number(one))
    elif attribute is not None and attribute.values:
        yield from attribute.values
        if has_codes(name):
            yield from _texts(policy, words)  # what is not read is kept as it was typed
    else:
        kind = attribute.type if attribute else "any"
        if kind in ("flag", "any"):
            yield from (True, False)
        if kind in ("number", "any"):
            yield from _numbers(attribute, words)
        if kind in ("text", "any"):
            yield from _texts(policy, words)


def _listed(policy: Policy, word: FieldIs) -> Sequence[object] | None:
    """The only values for which it holds; None where they are not a list."""
    if word.in_list is not None:
        return None if word.in_list in SHIPPED_LISTS else policy.lists.get(word.in_list)
    return word.values or None


def _numbers(attribute: Attribute | None, words: Words) -> Iterator[object]:
    least = attribute.least if attribute is not None and attribute.least is not None else None
    named: list[Any] = [bound for word, _ in words for bound in word.bounds if bound is not None]
    named += [value for word, _ in words for value in word.values if type(value) is int]
    steps: tuple[Any, ...] = (-1, 0, 1)
    if attribute is None or attribute.name == "bant.budget.amount":
        steps = (*steps, Decimal("-0.5"), Decimal("0.5"))
    for number in dict.fromkeys((least or 0, *(number + step for number in named for step in steps))):
        if attribute is None or attribute.has_number(number):
            yield number


def _texts(policy: Policy, asked: Words) -> Iterator[str]:
    """A text with a word of each `has_word`, of those that nothing else forbids."""
    view = view_of(policy, Facts(), datetime.min.replace(tzinfo=UTC))
    denied = [word for word, true in asked if not true]
    picked = []
    for one, true in asked:
        words = one.has_word if true else None
        if words is not None:
            free = (word for word in words if not any(other.accepts(word, view) for other in denied if other.has_word))
            picked.append(next(free, ""))
    text = " ".join(picked)
    yield from (text, f"{text} {ANOTHER}".strip())
