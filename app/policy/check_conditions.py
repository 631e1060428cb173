"""The checks of conditions: unknown names, cycles, size, and words used where they have no value."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from app.policy.check_fields import field_faults, list_faults
from app.policy.conditions import AtLeast, Named, walk
from app.policy.document import Policy
from app.policy.fault import Fault, unknown
from app.policy.field_word import FieldIs
from app.policy.likelihood import Likelihood
from app.policy.person_words import PersonaIs
from app.policy.view import ConditionBase
from app.policy.words import (
    ActorIs,
    Assignable,
    Bant,
    Engagement,
    EntryIs,
    Fit,
    FromStage,
    HasActivity,
    IntoStage,
    Level,
    Owner,
    ReasonIs,
    Values,
    as_values,
)

MAX_DEPTH, MAX_NODES = 8, 200
Root = tuple[str, ConditionBase, str]


def condition_faults(policy: Policy) -> Iterator[Fault]:
    """Faults of every condition in the document."""
    if len(policy.conditions) > MAX_NODES:  # the checks below take quadratic time
        yield Fault("/conditions", "too_many_nodes", f"{len(policy.conditions)} conditions, at most {MAX_NODES}")
        return
    cycles = list(_cycles(policy))
    yield from cycles
    every = (node for _, root, _ in roots(policy) for _, node, _ in walk(root))
    yield from list_faults(policy, (node for node in every if isinstance(node, FieldIs)))
    sizes: dict[str, int] = {}
    for place, root, purpose in roots(policy):
        for where, node, depth in walk(root, place):
            if depth == MAX_DEPTH + 1:
                yield Fault(where, "too_deep", f"conditions are nested more than {MAX_DEPTH} levels deep")
            yield from _names(policy, where, node)
            yield from _misplaced(where, node, purpose, under_when="/when" in where or "/then" in where)
            if isinstance(node, Named) and node.condition in policy.conditions:
                yield from _misplaced_in(policy, where, node, purpose)
        if not cycles:
            depth, nodes = depth_and_count(policy, root, {})
            part = "/".join(place.split("/")[:2])
            sizes[part] = sizes.get(part, 0) + nodes
            if depth > MAX_DEPTH:
                yield Fault(place, "too_deep", f"{depth} levels with its named conditions, at most {MAX_DEPTH}")
    for part, nodes in sizes.items():
        if nodes > MAX_NODES:
            yield Fault(part, "too_many_nodes", f"{nodes} conditions, at most {MAX_NODES}")


def _misplaced_in(policy: Policy, place: str, named: Named, purpose: str) -> Iterator[Fault]:
    """Words of a named condition that are not allowed where the name is used."""
    waiting, seen = [named.condition], {named.condition}
    while waiting:
        for where, node, _ in walk(policy.conditions[waiting.pop()]):
            under_when = any(part in place + where for part in ("/when", "/then"))
            yield from _misplaced(place, node, purpose, under_when=under_when)
            if isinstance(node, Named) and node.condition in policy.conditions and node.condition not in seen:
                seen.add(node.condition)
                waiting.append(node.condition)


def roots(policy: Policy) -> Iterator[Root]:
    """Every outermost condition of the document as (place, condition, purpose)."""
    for name, root in policy.conditions.items():
        yield f"/conditions/{name}", root, "named"
    for index, persona in enumerate(policy.personas):
        yield f"/personas/{index}/if", persona.condition, "fit"
    for part, actions in (("/actions", policy.actions), ("/opportunity/actions", policy.opportunity.actions)):
        for index, action in enumerate(actions):
            if action.guard is not None:
                yield f"{part}/{index}/guard", action.guard, "guard"
            for number, branch in enumerate(action.to_if):
                yield f"{part}/{index}/to_if/{number}/if", branch.condition, "branch"
            for number, effect in enumerate(action.effects):
                if effect.condition is not None:
                    yield f"{part}/{index}/effects/{number}/if", effect.condition, "branch"
    yield from _other_roots(policy)


def _other_roots(policy: Policy) -> Iterator[Root]:
    for index, item in enumerate(policy.automation):
        if item.condition is not None:
            yield f"/automation/{index}/if", item.condition, "branch"
    for index, rule in enumerate(policy.scoring.fit):
        yield f"/scoring/fit/{index}/if", rule.condition, "fit"
    for index, level in enumerate(policy.scoring.levels):
        yield f"/scoring/levels/{index}/if", level.condition, "scoring"
    yield "/scoring/temperature/hot", policy.scoring.temperature.hot, "scoring"
    yield "/scoring/temperature/warm", policy.scoring.temperature.warm, "scoring"
    for name, clock in policy.clocks.items():
        for index, reaction in enumerate(clock.on_breach):
            if reaction.condition is not None:
                yield f"/clocks/{name}/on_breach/{index}/if", reaction.condition, "branch"
    for name, route in policy.routing.items():
        for index, routing in enumerate(route.rules):
            if routing.condition is not None:
                yield f"/routing/{name}/rules/{index}/if", routing.condition, "routing"
    if policy.conversion.fast_track is not None:
        yield "/conversion/fast_track/if", policy.conversion.fast_track.condition, "guard"


def _cycles(policy: Policy) -> Iterator[Fault]:
    named = {f"/conditions/{name}": (name, root) for name, root in policy.conditions.items()}
    named |= {f"/personas/{index}": (one.name, one.condition) for index, one in enumerate(policy.personas)}
    place_of = {id(root): place for place, (_, root) in named.items()}
    uses = {
        place: [place_of[id(inner)] for _, node, _ in walk(root) for inner in _named_by(policy, node)]
        for place, (_, root) in named.items()
    }
    for place, (name, _) in named.items():
        reached: set[str] = set()
        waiting = [place]
        while waiting:
            new = set(uses[waiting.pop()]) - reached
            reached |= new
            waiting.extend(new)
        if place in reached:
            yield Fault(place, "condition_circle", f"`{name}` refers to itself, directly or indirectly")


def _named_by(policy: Policy, node: ConditionBase) -> list[ConditionBase]:
    """The conditions that a condition refers to by name: a named one, or those of personas."""
    known: Mapping[str, ConditionBase] = {}
    names: tuple[str, ...] = ()
    if isinstance(node, Named):
        known, names = policy.conditions, (node.condition,)
    elif isinstance(node, PersonaIs):
        known, names = policy.persona_conditions, node.persona
    return [known[name] for name in names if name in known]


def depth_and_count(policy: Policy, root: ConditionBase, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """Depth and number of conditions, those that are referred to by name included."""
    deepest = nodes = 0
    for _, node, depth in walk(root):
        inner = [(0, 0)]
        for named in _named_by(policy, node):
            if id(named) not in known:
                known[id(named)] = depth_and_count(policy, named, known)
            inner.append(known[id(named)])
        deepest = max(deepest, depth + max(one[0] for one in inner))
        nodes += 1 + sum(one[1] for one in inner)
    return deepest, nodes


def _names(policy: Policy, place: str, node: ConditionBase) -> Iterator[Fault]:
    match node:
        case Named() if node.condition not in policy.conditions:
            yield unknown(place, "condition", node.condition, policy.conditions)
        case PersonaIs():
            yield from _unknown(f"{place}/persona", "persona", node.persona, policy.persona_conditions)
        case FromStage(stages=values) | IntoStage(stage=values):
            stages = {*policy.stage_of, *policy.opportunity.stage_of}
            yield from _unknown(f"{place}/{node.keyword}", "stage", values, stages)
        case ReasonIs(reason=values):
            lists = (*policy.reasons.values(), *policy.opportunity.reasons.values())
            yield from _unknown(f"{place}/reason", "reason", values, {one.code for listed in lists for one in listed})
        case Assignable() if node.assignable not in policy.routing:
            yield unknown(f"{place}/assignable", "route", node.assignable, policy.routing)
        case AtLeast() if node.at_least.count > len(node.at_least.of):
            yield Fault(f"{place}/at_least/count", "never_true", "`count` is more than `of` has conditions")
        case HasActivity() if node.activity.types is None and node.activity.kind is None:
            yield Fault(f"{place}/activity", "empty_condition", "give `types`, `kind` or both")
        case FieldIs():
            yield from field_faults(policy, place, node)


def _unknown(place: str, what: str, values: Values, known: Collection[str | None]) -> Iterator[Fault]:
    for name in as_values(values):
        if name is not None and name not in known:
            yield unknown(place, what, name, known)


def _misplaced(place: str, node: ConditionBase, purpose: str, *, under_when: bool) -> Iterator[Fault]:
    needs_ask = isinstance(node, ActorIs | Owner | Assignable | ReasonIs) or (
        isinstance(node, Bant) and node.bant.by == "actor"
    )
    needs_move = isinstance(node, FromStage | IntoStage | ReasonIs | EntryIs)
    if purpose in ("scoring", "fit", "routing") and (needs_ask or needs_move):
        detail = f"{'routing' if purpose == 'routing' else 'scoring'} has no request, and `{node.keyword}` is about one"
        yield Fault(place, "not_here", detail)
    elif purpose == "guard" and needs_move and not under_when:
        yield Fault(place, "not_here", f"in a guard `{node.keyword}` is allowed only inside `when`")
    elif purpose in ("scoring", "fit") and isinstance(node, Likelihood):
        yield Fault(place, "not_here", "scoring cannot depend on the likelihood, which changes with each model")
    elif purpose in ("scoring", "fit") and isinstance(node, Level):
        yield Fault(place, "not_here", "scoring cannot depend on the level")
    elif purpose == "fit" and isinstance(node, Fit | Engagement):
        yield Fault(place, "not_here", "a fit rule cannot depend on the score")
