"""Conditions that no lead can ever meet: each is told once, at the innermost place that makes it so."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from app.policy.attributes import field_attribute
from app.policy.check_conditions import roots
from app.policy.conditions import Named, walk
from app.policy.document import Policy
from app.policy.facts import CRITERIA, MOST_ACTIVITIES, Ledger
from app.policy.fault import Fault
from app.policy.field_word import SHIPPED_LISTS, FieldIs, comparison_key, words_of
from app.policy.holding import Said, TooMany, Way, ways_to_hold
from app.policy.scoring import FitRule
from app.policy.together import HasSeveral, SubjectOf, clash, is_custom, subject_of
from app.policy.view import ConditionBase
from app.policy.words import Attempts, ClosingReason, Engagement, Fit, HasActivity, Level

SubjectIn = Callable[[Way], SubjectOf]
LEDGERS: tuple[Ledger, ...] = ("fit", "engagement")
BANT_STATUSES = frozenset(f"bant.{criterion}.status" for criterion in CRITERIA)


def never_true(policy: Policy, told: Collection[str]) -> Iterator[Fault]:
    """Faults of conditions that cannot hold. Below `not` and in `when` that does no harm, and is only warned of.

    `told`: the places of faults that are known already; of what is around them nothing more is said.
    """
    most = {ledger: most_points(policy, ledger) for ledger in LEDGERS}
    judge = Judge(policy, most)
    every = (node for _, root, _ in roots(policy) for _, node, _ in walk(root))
    reads_status = any(isinstance(node, FieldIs) and node.field in BANT_STATUSES for node in every)
    where_users_agree = Judge(policy, most, agreed=True) if reads_status else judge
    around = {place[:end] for place in told for end in range(len(place) + 1) if place[end : end + 1] in ("/", "")}
    for place, root, purpose in roots(policy):
        for where, node, _ in walk(root, place):
            why = None if where in around else judge.told_here(node)
            if why is None and where not in around:
                yield from _doubtful(judge, where_users_agree, where, node)
            if why is None or (purpose == "fit" and _empty_list(policy, node)):
                continue  # a fit rule may wait for the names of its list, as the competitors of the shipped policies
            inner = where.removeprefix(place).split("/")
            harmless = not {"not", "when"}.isdisjoint(inner)
            yield Fault(where, "never_true", f"this can never be true: {why}", "warning" if harmless else "fault")


def _doubtful(judge: Judge, where_users_agree: Judge, where: str, node: ConditionBase) -> Iterator[Fault]:
    """Warnings of a condition that may hold: it asks for nothing, or for what users must disagree about."""
    if not node.members() and judge.always(node):
        yield Fault(where, "always_true", "this is always true: correct its value, or leave it out", "warning")
    if judge.why(node) is None and (why := where_users_agree.told_here(node)) is not None:
        yield Fault(where, "never_true", f"this is true only where users disagree about BANT: {why}", "warning")


@dataclass
class Judge:
    """Says of conditions why they cannot hold. `most`: what each ledger can give. Answers are kept by condition.

    `agreed`: users do not disagree about BANT. `has_several`: whether a field may have several values at once.
    `subject_in`: what each word of a way is about.
    """

    policy: Policy
    most: Mapping[Ledger, float]
    agreed: bool = False
    has_several: HasSeveral = is_custom
    subject_in: SubjectIn = lambda _: subject_of
    _known: dict[int, str | None] = field(default_factory=dict)

    def told_here(self, node: ConditionBase) -> str | None:
        """Why the condition cannot hold, unless one inside it cannot by itself; then that is where it is told."""
        why = self.why(node)
        inside = [member for _, member in node.members()]
        if isinstance(node, Named) and node.condition in self.policy.conditions:
            inside.append(self.policy.conditions[node.condition])
        return None if why is None or any(self.why(one) is not None for one in inside) else why

    def why(self, node: ConditionBase) -> str | None:
        """Why the condition cannot hold, and what to do; None if it may, or if it is too large to say."""
        if id(node) not in self._known:
            self._known[id(node)] = None  # while it is judged: one that refers to itself is a fault of its own
            self._known[id(node)] = self._why(node)
        return self._known[id(node)]

    def always(self, node: ConditionBase) -> bool:
        """Whether a condition of one word holds for every lead. No `field` does: a value may be missing, or given."""
        if isinstance(node, Fit | Engagement):
            return getattr(node, node.keyword).at_least <= least_points(self.policy, node.keyword)
        return not isinstance(node, Named | FieldIs) and clash(self.policy, (Said(node, true=False),)) is not None

    def _why(self, node: ConditionBase) -> str | None:
        try:
            clashes = [self._clash(way) for way in ways_to_hold(self.policy, [node])]
        except TooMany:
            return None
        return None if None in clashes else next(iter(clashes), "too few conditions are listed")

    def _clash(self, way: Way) -> str | None:
        for one in way:
            if one.true and (why := impossible(self.policy, one.word, self.most)) is not None:
                return why
        names = self.subject_in(way)
        subject = clash(self.policy, way, agreed=self.agreed, has_several=self.has_several, subject_of=names)
        if subject is None:
            return None
        if len(way) == 1:
            attribute = field_attribute(subject)
            known = f", which is {attribute.range}," if attribute is not None and attribute.least is not None else ""
            return f"nothing that `{subject}`{known} can be fits it: correct its value"
        return f"nothing fits all that is asked of `{subject}`: use `any`, or remove a part of it"


def impossible(policy: Policy, node: ConditionBase, most: Mapping[Ledger, float]) -> str | None:
    """Why a condition of one word cannot hold, and what to do; None if it may. `most`: what each ledger can give."""
    match node:
        case Fit():
            return _beyond("fit", node.fit.at_least, most["fit"])
        case Engagement():
            return _beyond("engagement", node.engagement.at_least, most["engagement"])
        case Level() if node.level.at_least > len(policy.scoring.levels):
            return f"the highest level is {len(policy.scoring.levels)}: ask for less, or add levels"
        case HasActivity() if node.activity.min_count > MOST_ACTIVITIES:
            return _too_many(node.activity.min_count)
        case Attempts() if node.attempts.at_least > MOST_ACTIVITIES:
            return _too_many(node.attempts.at_least)
        case ClosingReason() if not policy.permanent_reasons:
            return "no reason is marked `permanent: true`"
        case FieldIs() if _empty_list(policy, node):
            return f"the list `{node.in_list}` is empty: write its values under `lists`"
        case FieldIs() if node.has_word is not None and not any(map(words_of, node.has_word)):
            return "`has_word` has no letters or digits: write whole words"
        case _:
            return None


def _too_many(wanted: int) -> str:
    return f"rules see the latest {MOST_ACTIVITIES} activities of a lead, and it asks for {wanted}: ask for less"


def most_points(policy: Policy, ledger: Ledger) -> float:
    """The most that the rules and caps of a ledger allow; math.inf where activities may add up without an end."""
    scoring = policy.scoring
    percent = scoring.decay[0].percent
    most: dict[str, float] = {}
    if ledger == "fit":
        for rule in scoring.fit:
            most[rule.id] = most.get(rule.id, 0.0) + max(rule.points, 0)
        for rules, points in _exclusive(policy):
            most = {**most, **dict.fromkeys(rules, 0.0), min(rules): float(points)}
    else:
        for counted in scoring.engagement:
            most[counted.id] = max(most.get(counted.id, 0.0), math.inf if counted.points * percent >= 100 else 0.0)
    for cap, rules in policy.capped_rules:
        covered = (rules if cap.ledger is None else frozenset(most)) & most.keys()
        if cap.ledger in (None, ledger) and covered and sum(most[rule] for rule in covered) > cap.points:
            # Their sum matters, not which of them has it: one stands for all.
            most = {**most, **dict.fromkeys(covered, 0.0), min(covered): float(cap.points)}
    return sum(most.values())


def _exclusive(policy: Policy) -> Iterator[tuple[frozenset[str], int]]:
    """Fit rules for values of one field, of which a lead has one, and the most that they give together.

    Rules that a cap divides are left out: it would be said of the one that stands for all.
    """
    by_field: dict[str, list[tuple[FitRule, frozenset[tuple[str, object]]]]] = defaultdict(list)
    for rule in policy.scoring.fit:
        node = rule.condition
        if rule.points > 0 and isinstance(node, FieldIs) and node.values and not node.field.startswith("custom."):
            by_field[node.field].append((rule, frozenset(map(comparison_key, node.values))))
    for rules in by_field.values():
        names = frozenset(rule.id for rule, _ in rules)
        if all(
            cap.ledger is not None or not covered & names or covered >= names for cap, covered in policy.capped_rules
        ):
            every = frozenset().union(*(keys for _, keys in rules))
            yield names, max(sum(rule.points for rule, keys in rules if key in keys) for key in every)


def least_points(policy: Policy, ledger: str) -> float:
    """The least that the rules of a ledger allow; -math.inf where activities may take away points without an end."""
    if ledger == "fit":
        return sum(min(rule.points, 0) for rule in policy.scoring.fit)
    return -math.inf if any(rule.points < 0 for rule in policy.scoring.engagement) else 0


def _beyond(ledger: str, wanted: int, most: float) -> str | None:
    if wanted <= most:
        return None
    return f"rules and caps give a {ledger} of at most {int(most)}: ask for less, or give more points"


def _empty_list(policy: Policy, node: ConditionBase) -> bool:
    if not isinstance(node, FieldIs) or node.in_list is None or node.in_list in SHIPPED_LISTS:
        return False
    return policy.lists.get(node.in_list) == ()
