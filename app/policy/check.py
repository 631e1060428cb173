"""The checks of a policy document that its types cannot express. Each fault has a JSON pointer to its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from app.policy.actions import TARGETS, Action, Reason
from app.policy.activity_types import unknown_types
from app.policy.check_conditions import condition_faults
from app.policy.check_routes import route_faults
from app.policy.circles import circles
from app.policy.clocks import ATTEMPT
from app.policy.document import Policy
from app.policy.fault import Fault, did_you_mean, unknown
from app.policy.never_true import never_true
from app.policy.opportunity import CATEGORY_OF_CLASS, Benchmark
from app.policy.ways import ways
from app.policy.weak_rule import weak_rule
from app.policy.words import WakeAt

# The only events a policy may name in `emit`; all others are emitted by the code.
EVENTS = frozenset({"lead.recycle_due", "lead.sla_breached"})
WHO = frozenset({"actor", "previous", "nobody"})  # what `assign` can name beside routes
MAX_REASONS = 500
TOO_LARGE = {"too_many_nodes", "too_deep"}  # for checks that take quadratic time
WITHOUT_WAYS = {"unknown_stage", "no_entry"}  # by which stages would seem unreachable that are not


def faults(policy: Policy) -> list[Fault]:
    """Faults and warnings; an empty list for a sound policy."""
    found = [
        *_stages(policy),
        *_milestones(policy),
        *_conversion(policy),
        *condition_faults(policy),
        *_actions(policy),
        *_opportunity(policy),
        *_reasons(policy),
        *_scoring(policy),
        *_clocks(policy),
        *route_faults(policy),
        *_benchmarks(policy),
        *_automation(policy),
    ]
    codes = {one.code for one in found if one.kind == "fault"}
    if codes.isdisjoint(WITHOUT_WAYS):
        found += ways(policy)
    if codes.isdisjoint(TOO_LARGE):
        found += never_true(policy, {one.place for one in found if one.kind == "fault"})
    found += circles(policy)
    if any(one.kind == "fault" for one in found):
        return found  # the remaining checks only warn
    return [*found, *unknown_types(policy), *weak_rule(policy)]


def _duplicates(place: str, names: Iterable[object]) -> Iterator[Fault]:
    seen = set()
    for index, name in enumerate(names):
        if name is not None and name in seen:
            yield Fault(f"{place}/{index}", "duplicate_name", f"`{name}` is used more than once")
        seen.add(name)


def _not_emitted(event: str) -> str:
    return f"a policy cannot emit `{event}`, only {' or '.join(sorted(EVENTS))}{did_you_mean(event, EVENTS)}"


def _stages(policy: Policy) -> Iterator[Fault]:
    yield from _duplicates("/stages", (stage.name for stage in policy.stages))
    yield from _duplicates("/stages", (stage.order for stage in policy.stages))
    for index, stage in enumerate(policy.stages):
        place = f"/stages/{index}"
        if stage.name in TARGETS | {"open"}:
            yield Fault(f"{place}/name", "reserved_name", f"`{stage.name}` is a reserved word: choose another name")
        if stage.kind == "open" and stage.order is None:
            yield Fault(f"{place}/order", "order_missing", "an open stage needs `order`")
        if stage.order is not None and stage.kind not in ("open", "closed"):
            yield Fault(f"{place}/order", "order_not_allowed", f"a stage of kind {stage.kind} cannot have `order`")
        if stage.skippable and stage.kind != "open":
            yield Fault(f"{place}/skippable", "not_skippable", "only an open stage can be skippable")
        if stage.stale_after_days is not None and stage.kind not in ("open", "parked"):
            detail = "only an open or parked stage can have `stale_after_days`"
            yield Fault(f"{place}/stale_after_days", "never_stale", detail)
    if sum(stage.of_conversion for stage in policy.stages) != 1:
        yield Fault("/stages", "conversion_stage", "exactly one closed stage, the conversion stage, must have `order`")


def _milestones(policy: Policy) -> Iterator[Fault]:
    yield from _duplicates("/milestones", (milestone.name for milestone in policy.milestones))
    yield from _duplicates("/milestones", (milestone.stage for milestone in policy.milestones))
    for index, milestone in enumerate(policy.milestones):
        if milestone.stage is None and milestone.of_class is None:
            yield Fault(f"/milestones/{index}", "empty_milestone", "a milestone needs `stage` or `class`")
        if milestone.stage is not None and _kind(policy, milestone.stage) != "open":
            yield _no_open_stage(policy, f"/milestones/{index}/stage", milestone.stage)
    if policy.milestones[0].stage is None:
        yield Fault("/milestones/0", "first_milestone", "the first milestone needs `stage`: it pins the journey")


def _kind(policy: Policy, stage: str | None) -> str | None:
    found = policy.stage_of.get(stage)
    return found.kind if found else None


def _no_open_stage(policy: Policy, place: str, name: str) -> Fault:
    return unknown(place, "stage", name, [one.name for one in policy.stages if one.kind == "open"], "open ")


def _actions(policy: Policy) -> Iterator[Fault]:
    yield from _duplicates("/actions", (action.name for action in policy.actions))
    if not policy.edges[None]:
        yield Fault("/actions", "no_entry", "no action opens a journey: one must have `from: [null]`")
    for index, action in enumerate(policy.actions):
        place = f"/actions/{index}"
        yield from _action(policy, action, place, policy.reasons)
        yield from _sources(policy, action, place)
        yield from _target(policy, action, place)
        yield from _effects(policy, action, place)


def _action(policy: Policy, action: Action, place: str, reasons: Mapping[str, tuple[Reason, ...]]) -> Iterator[Fault]:
    if not action.by.people and not action.by.machines:
        yield Fault(f"{place}/by", "nobody_may", "nobody may do this: name roles in `people` or kinds in `machines`")
    if action.reasons is not None and action.reasons not in reasons:
        yield unknown(f"{place}/reasons", "reasons", action.reasons, reasons, "list of ")
    if "reason_code" in action.inputs and action.reasons is None:
        yield Fault(f"{place}/reasons", "reasons_missing", "`reason_code` is an input, so `reasons` must name a list")
    if action.override is not None and action.guard is None:
        yield Fault(f"{place}/override", "nothing_to_override", "there is no guard to override: remove `override`")
    for name in ("needs", "accepts"):
        yield from _duplicates(f"{place}/{name}", getattr(action, name))
    if both := set(action.needs) & set(action.accepts):
        yield Fault(f"{place}/accepts", "input_twice", f"`{sorted(both)[0]}` is in `needs` already")
    if action.to in ("any_open", "later") and "to" not in action.needs:
        yield Fault(f"{place}/needs", "input_missing", f"`to: {action.to}` requires `to` in `needs`")


def _sources(policy: Policy, action: Action, place: str) -> Iterator[Fault]:
    if action.sources == "open":
        return
    yield from _duplicates(f"{place}/from", action.sources)
    for index, source in enumerate(action.sources):
        if source is not None and source not in policy.stage_of:
            yield unknown(f"{place}/from/{index}", "stage", source, policy.stage_of)
        if action.to == "held" and _kind(policy, source) not in ("closed", None):
            yield Fault(f"{place}/from/{index}", "nothing_held", f"`{source}` is not closed: it has no held stage")
        if _kind(policy, source) in ("merged", "erased"):
            yield Fault(f"{place}/from/{index}", "technical_stage", f"no action can leave `{source}`")
        if fixed := next((stage for stage in policy.between(source, action.to) if not stage.skippable), None):
            yield Fault(f"{place}/from/{index}", "not_skippable", f"`{fixed.name}` lies between and is not skippable")


def _target(policy: Policy, action: Action, place: str) -> Iterator[Fault]:
    targets = [] if action.to in TARGETS - {"later"} else [(f"{place}/to", action.to)]
    targets += [(f"{place}/to_if/{index}/stage", branch.stage) for index, branch in enumerate(action.to_if)]
    for where, to in targets:
        if to not in policy.stage_of:
            yield unknown(where, "stage", to, {*policy.stage_of, *TARGETS} - {"later"})
        elif _kind(policy, to) in ("merged", "erased"):
            yield Fault(where, "technical_stage", f"`{to}` is entered only by merging or erasing a lead")
    if action.to == "same" and (action.by.people or action.by.machines != ("policy",)):
        yield Fault(f"{place}/by", "not_a_move", "`to: same` makes no move: only the policy may do it")
    into = policy.stage_of.get(action.to)
    if into is not None and into.of_conversion != action.converts:
        detail = "an action has `conversion` in `needs` if, and only if, it enters the conversion stage"
        yield Fault(f"{place}/needs", "conversion_stage", detail)


def _effects(policy: Policy, action: Action, place: str) -> Iterator[Fault]:
    for index, effect in enumerate(action.effects):
        where = f"{place}/effects/{index}"
        if effect.assign and effect.assign not in {*WHO, *policy.routing}:
            yield unknown(f"{where}/assign", "route", effect.assign, {*WHO, *policy.routing})
        for name, clock in (("start_clock", effect.start_clock), ("stop_clock", effect.stop_clock)):
            if clock and clock not in policy.clocks and not (name == "stop_clock" and clock == "all"):
                yield unknown(f"{where}/{name}", "clock", clock, policy.clocks)
        if effect.emit and effect.emit not in EVENTS:
            yield Fault(f"{where}/emit", "unknown_event", _not_emitted(effect.emit))
        if effect.convert and action.to not in policy.conversion.classes:
            yield Fault(f"{where}/convert", "not_convertible", f"`conversion.class` does not name `{action.to}`")


def _conversion(policy: Policy) -> Iterator[Fault]:
    for stage in policy.conversion.classes:
        if _kind(policy, stage) != "open":
            yield _no_open_stage(policy, f"/conversion/class/{stage}", stage)
    fast = policy.conversion.fast_track
    for index, stage in enumerate(fast.sources if fast else ()):
        if _kind(policy, stage) != "open":
            yield _no_open_stage(policy, f"/conversion/fast_track/from/{index}", stage)
    for place, action in enumerate(policy.actions):
        if action.converts and _sources_of(policy, action) != set(policy.conversion.classes):
            yield Fault(f"/actions/{place}/from", "class_missing", "`from` must name the stages of `conversion.class`")


def _sources_of(policy: Policy, action: Action) -> set[str | None]:
    """The stages that the action leaves, `open` resolved to its stages."""
    if action.sources == "open":
        return {stage.name for stage in policy.stages if stage.kind == "open"}
    return set(action.sources)


def _opportunity(policy: Policy) -> Iterator[Fault]:
    pipeline = policy.opportunity
    yield from _duplicates("/opportunity/stages", (stage.name for stage in pipeline.stages))
    yield from _duplicates("/opportunity/actions", (action.name for action in pipeline.actions))
    for index, stage in enumerate(pipeline.stages):
        if stage.name in TARGETS:
            yield Fault(f"/opportunity/stages/{index}/name", "reserved_name", f"`{stage.name}` is a reserved word")
        only = CATEGORY_OF_CLASS[stage.of_class] if stage.is_closed else None
        if only not in (None, stage.category) or (only is None and stage.category == "closed"):
            detail = f"an opportunity of class {stage.of_class} cannot be in the category `{stage.category}`"
            yield Fault(f"/opportunity/stages/{index}/forecast_category", "category_of_class", detail)
    made = set(policy.conversion.classes.values())
    for wanted in sorted(made - {stage.of_class for stage in pipeline.stages}):
        yield Fault("/opportunity/stages", "class_missing", f"`conversion.class` uses `{wanted}`, but no stage has it")
    for index, action in enumerate(pipeline.actions):
        place = f"/opportunity/actions/{index}"
        yield from _action(policy, action, place, pipeline.reasons)
        if action.to not in ("later", "held") and action.to not in pipeline.stage_of:
            yield unknown(f"{place}/to", "stage", action.to, {"later", "held", *pipeline.stage_of})
        for number, source in enumerate(action.sources if action.sources != "open" else ("open",)):
            if action.sources == "open" or source not in pipeline.stage_of:
                yield unknown(f"{place}/from/{number}", "stage", source, pipeline.stage_of)
            elif action.to == "held" and not pipeline.stage_of[str(source)].is_closed:
                yield Fault(f"{place}/from/{number}", "nothing_held", f"`{source}` is not closed: it has no held stage")
        for name in ("to_if", "effects"):
            if getattr(action, name):
                yield Fault(f"{place}/{name}", "not_here", f"an action of an opportunity cannot have `{name}`")
        if "conversion" in action.inputs:
            yield Fault(f"{place}/needs", "not_here", "an opportunity cannot be converted")


def _reasons(policy: Policy) -> Iterator[Fault]:
    count = 0
    for place, reasons in (("/reasons", policy.reasons), ("/opportunity/reasons", policy.opportunity.reasons)):
        for name, listed in reasons.items():
            count += len(listed)
            yield from _duplicates(f"{place}/{name}", (reason.code for reason in listed))
            if not any(reason.active for reason in listed):
                yield Fault(f"{place}/{name}", "no_reason", "at least one reason of the list must be active")
    if count > MAX_REASONS:
        yield Fault("/reasons", "too_many", f"{count} reasons in all lists, at most {MAX_REASONS}")


def _scoring(policy: Policy) -> Iterator[Fault]:
    scoring = policy.scoring
    days, percents = [step.to_day for step in scoring.decay], [step.percent for step in scoring.decay]
    if days != sorted(set(days)):
        yield Fault("/scoring/decay", "decay_order", "`to_day` must rise from step to step")
    if percents != sorted(percents, reverse=True):
        yield Fault("/scoring/decay", "decay_order", "`percent` must not rise from step to step")
    fits, engagements = [rule.id for rule in scoring.fit], [rule.id for rule in scoring.engagement]
    yield from _duplicates("/scoring/fit", fits)
    yield from _duplicates("/personas", (persona.name for persona in policy.personas))
    for index, name in enumerate(engagements):
        if name in fits or name in engagements[:index]:
            yield Fault(f"/scoring/engagement/{index}/id", "duplicate_name", f"`{name}` is used more than once")
    groups = {rule.group for rule in scoring.fit} | {rule.group for rule in scoring.engagement}
    for index, cap in enumerate(scoring.caps):
        if cap.rule is not None and cap.rule not in (*fits, *engagements):
            yield unknown(f"/scoring/caps/{index}/rule", "rule", cap.rule, (*fits, *engagements))
        if cap.group is not None and cap.group not in groups:
            yield unknown(f"/scoring/caps/{index}/group", "group", cap.group, groups)
    levels = [rule.level for rule in scoring.levels]
    if levels != list(range(1, len(levels) + 1)):
        yield Fault("/scoring/levels", "level_order", "levels must be 1, 2, 3 … in this order")


def _clocks(policy: Policy) -> Iterator[Fault]:
    for name, clock in policy.clocks.items():
        if clock.met_by != ATTEMPT and clock.met_by not in policy.action_of:
            yield unknown(f"/clocks/{name}/met_by", "action", clock.met_by, {ATTEMPT, *policy.action_of})
        yield from _duplicates(f"/clocks/{name}/on_breach", (reaction.emit for reaction in clock.on_breach))
        for index, reaction in enumerate(clock.on_breach):
            place = f"/clocks/{name}/on_breach/{index}"
            if reaction.emit and reaction.emit not in EVENTS:
                yield Fault(f"{place}/emit", "unknown_event", _not_emitted(reaction.emit))
            if reaction.assign and reaction.assign not in policy.routing:
                yield unknown(f"{place}/assign", "route", reaction.assign, policy.routing)
            if reaction.do:
                yield from _done_by_policy(policy, place, reaction.do, reaction.reason_code)


def _benchmarks(policy: Policy) -> Iterator[Fault]:
    names = {milestone.name for milestone in policy.milestones}
    yield from _duplicates("/benchmarks", (_rate(one) for one in policy.benchmarks))
    for index, benchmark in enumerate(policy.benchmarks):
        for member, name in (("from", benchmark.sources), ("to", benchmark.to)):
            if name not in names:
                yield unknown(f"/benchmarks/{index}/{member}", "milestone", name, names)
        if benchmark.green[0] > benchmark.green[1]:
            yield Fault(f"/benchmarks/{index}/green", "empty_range", "the lower end is above the upper")


def _rate(benchmark: Benchmark) -> str:
    business = f" of {benchmark.business} business" if benchmark.business else ""
    return f"{benchmark.sources} to {benchmark.to}{business}"


def _automation(policy: Policy) -> Iterator[Fault]:
    for index, item in enumerate(policy.automation):
        place = f"/automation/{index}"
        yield from _done_by_policy(policy, place, item.do, item.reason_code)
        action = policy.action_of.get(item.do)
        if action is None or action.to != "same":
            continue
        if not any(isinstance(one, WakeAt) for one in policy.all_conditions(action.guard, item.condition)):
            detail = f"`{item.do}` would repeat at every evaluation: it needs a condition on `wake_at`"
            yield Fault(f"{place}/do", "would_repeat", detail)


def _done_by_policy(policy: Policy, place: str, name: str, reason_code: str | None) -> Iterator[Fault]:
    action = policy.action_of.get(name)
    if action is None:
        yield unknown(f"{place}/do", "action", name, policy.action_of)
        return
    if "policy" not in action.by.machines:
        yield Fault(f"{place}/do", "not_for_the_policy", f"`by.machines` of `{name}` does not include policy")
    if wanted := [one for one in action.needs if one != "reason_code"]:
        yield Fault(f"{place}/do", "input_missing", f"`{name}` needs `{wanted[0]}`, which the policy cannot give")
    codes = {one.code: one for one in policy.reasons.get(action.reasons or "", ()) if one.active}
    if reason_code is None and "reason_code" in action.needs:
        yield Fault(place, "reason_missing", f"`{name}` needs `reason_code`")
    elif reason_code is not None and (reason_code not in codes or codes[reason_code].note):
        hint = "" if reason_code in codes else did_you_mean(reason_code, codes)
        detail = f"`{reason_code}` must be an active reason that requires no note{hint}"
        yield Fault(f"{place}/reason_code", "unknown_reason", detail)
