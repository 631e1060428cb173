"""Everything a policy can get wrong that its types cannot see. Each fault names its place by a JSON pointer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from app.policy.check_conditions import condition_faults
from app.policy.document import TARGETS, Action, Policy, Reason
from app.policy.fault import Fault
from app.policy.weak_rule import weak_rule
from app.policy.words import WakeAt

# What a policy may emit by itself; every other event follows from an act.
EVENTS = frozenset({"lead.recycle_due", "lead.sla_breached"})
MAX_REASONS = 500


def faults(policy: Policy) -> list[Fault]:
    """Faults and warnings, in the order of the document; an empty list for a sound policy."""
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
        *_benchmarks(policy),
    ]
    if found:
        # What follows walks the graph and the named conditions: it needs them sound.
        return found
    return [*_automation(policy), *_unreachable(policy), *weak_rule(policy)]


def _twice(place: str, names: Iterable[object]) -> Iterator[Fault]:
    seen = set()
    for index, name in enumerate(names):
        if name is not None and name in seen:
            yield Fault(f"{place}/{index}", "duplicate_name", f"{name} is there twice")
        seen.add(name)


def _stages(policy: Policy) -> Iterator[Fault]:
    yield from _twice("/stages", (stage.name for stage in policy.stages))
    yield from _twice("/stages", (stage.order for stage in policy.stages))
    for index, stage in enumerate(policy.stages):
        place = f"/stages/{index}"
        if stage.name in TARGETS | {"open"}:
            yield Fault(f"{place}/name", "reserved_name", f"{stage.name} has a meaning of its own")
        if stage.kind == "open" and stage.order is None:
            yield Fault(f"{place}/order", "order_missing", "an open stage needs an order")
        if stage.order is not None and stage.kind not in ("open", "closed"):
            yield Fault(f"{place}/order", "order_not_allowed", f"a stage of kind {stage.kind} has no order")
        if stage.skippable and stage.kind != "open":
            yield Fault(f"{place}/skippable", "not_skippable", "only an open stage can be skipped")
    if sum(stage.of_conversion for stage in policy.stages) != 1:
        yield Fault("/stages", "conversion_stage", "exactly one closed stage, that of conversion, has an order")


def _milestones(policy: Policy) -> Iterator[Fault]:
    yield from _twice("/milestones", (milestone.name for milestone in policy.milestones))
    yield from _twice("/milestones", (milestone.stage for milestone in policy.milestones))
    for index, milestone in enumerate(policy.milestones):
        if milestone.stage is None and milestone.of_class is None:
            yield Fault(f"/milestones/{index}", "empty_milestone", "a milestone needs a stage or a class")
        if milestone.stage is not None and _kind(policy, milestone.stage) != "open":
            yield Fault(f"/milestones/{index}/stage", "unknown_stage", f"{milestone.stage} is no open stage")
    if policy.milestones[0].stage is None:
        yield Fault("/milestones/0", "first_milestone", "the first milestone pins the journey: it needs a stage")


def _kind(policy: Policy, stage: str | None) -> str | None:
    found = policy.stage_of.get(stage)
    return found.kind if found else None


def _actions(policy: Policy) -> Iterator[Fault]:
    yield from _twice("/actions", (action.name for action in policy.actions))
    if not policy.edges[None]:
        yield Fault("/actions", "no_entry", "no action opens a journey (from: [null])")
    for index, action in enumerate(policy.actions):
        place = f"/actions/{index}"
        yield from _action(policy, action, place, policy.reasons)
        yield from _sources(policy, action, place)
        yield from _target(policy, action, place)
        yield from _effects(policy, action, place)


def _action(policy: Policy, action: Action, place: str, reasons: Mapping[str, tuple[Reason, ...]]) -> Iterator[Fault]:
    if not action.by.people and not action.by.machines:
        yield Fault(f"{place}/by", "nobody_may", "nobody may do this")
    if action.reasons is not None and action.reasons not in reasons:
        yield Fault(f"{place}/reasons", "unknown_reasons", f"no reasons {action.reasons}")
    if "reason_code" in action.inputs and action.reasons is None:
        yield Fault(f"{place}/reasons", "reasons_missing", "takes a reason_code without a list of reasons")
    if action.override is not None and action.guard is None:
        yield Fault(f"{place}/override", "nothing_to_override", "there is no guard")
    if both := set(action.needs) & set(action.accepts):
        yield Fault(f"{place}/accepts", "input_twice", f"{sorted(both)[0]} is needed already")
    if action.to in ("any_open", "later") and "to" not in action.needs:
        yield Fault(f"{place}/needs", "input_missing", f"to: {action.to} needs the input to")


def _sources(policy: Policy, action: Action, place: str) -> Iterator[Fault]:
    if action.sources == "open":
        return
    yield from _twice(f"{place}/from", action.sources)
    for index, source in enumerate(action.sources):
        if source is not None and source not in policy.stage_of:
            yield Fault(f"{place}/from/{index}", "unknown_stage", f"no stage {source}")
        if action.to == "held" and _kind(policy, source) not in ("closed", None):
            yield Fault(f"{place}/from/{index}", "nothing_held", f"{source} is not closed: it holds no stage")
        if _kind(policy, source) in ("merged", "erased"):
            yield Fault(f"{place}/from/{index}", "technical_stage", f"nothing leaves {source}")
        if fixed := next((stage for stage in policy.between(source, action.to) if not stage.skippable), None):
            yield Fault(f"{place}/from/{index}", "not_skippable", f"{fixed.name} lies between and is not skippable")


def _target(policy: Policy, action: Action, place: str) -> Iterator[Fault]:
    targets = [] if action.to in TARGETS - {"later"} else [(f"{place}/to", action.to)]
    targets += [(f"{place}/to_if/{index}/stage", branch.stage) for index, branch in enumerate(action.to_if)]
    for where, to in targets:
        if to not in policy.stage_of:
            yield Fault(where, "unknown_stage", f"no stage {to}")
        elif _kind(policy, to) in ("merged", "erased"):
            yield Fault(where, "technical_stage", f"{to} is entered by merging or erasing only")
    if action.to == "same" and (action.by.people or action.by.machines != ("policy",)):
        yield Fault(f"{place}/by", "not_a_move", "an action without a move is for the policy only")
    into = policy.stage_of.get(action.to)
    if into is not None and into.of_conversion != action.converts:
        detail = "the stage of conversion is entered with needs: conversion only"
        yield Fault(f"{place}/needs", "conversion_stage", detail)


def _effects(policy: Policy, action: Action, place: str) -> Iterator[Fault]:
    for index, effect in enumerate(action.effects):
        where = f"{place}/effects/{index}"
        if effect.assign and effect.assign not in {"actor", "previous", "nobody", *policy.routing}:
            yield Fault(f"{where}/assign", "unknown_route", f"no route {effect.assign}")
        for name, clock in (("start_clock", effect.start_clock), ("stop_clock", effect.stop_clock)):
            if clock and clock not in policy.clocks and not (name == "stop_clock" and clock == "all"):
                yield Fault(f"{where}/{name}", "unknown_clock", f"no clock {clock}")
        if effect.emit and effect.emit not in EVENTS:
            yield Fault(f"{where}/emit", "unknown_event", f"a policy cannot emit {effect.emit}")
        if effect.convert and action.to not in policy.conversion.classes:
            yield Fault(f"{where}/convert", "not_convertible", f"no conversion leaves {action.to}")


def _conversion(policy: Policy) -> Iterator[Fault]:
    for stage in policy.conversion.classes:
        if _kind(policy, stage) != "open":
            yield Fault(f"/conversion/class/{stage}", "unknown_stage", f"{stage} is no open stage")
    fast = policy.conversion.fast_track
    for index, stage in enumerate(fast.sources if fast else ()):
        if _kind(policy, stage) != "open":
            yield Fault(f"/conversion/fast_track/from/{index}", "unknown_stage", f"{stage} is no open stage")
    for place, action in enumerate(policy.actions):
        if action.converts and set(action.sources) != set(policy.conversion.classes):
            yield Fault(f"/actions/{place}/from", "class_missing", "from and conversion.class name different stages")


def _opportunity(policy: Policy) -> Iterator[Fault]:
    pipeline = policy.opportunity
    yield from _twice("/opportunity/stages", (stage.name for stage in pipeline.stages))
    yield from _twice("/opportunity/actions", (action.name for action in pipeline.actions))
    for index, stage in enumerate(pipeline.stages):
        if stage.name in TARGETS:
            yield Fault(f"/opportunity/stages/{index}/name", "reserved_name", f"{stage.name} has a meaning of its own")
    made = set(policy.conversion.classes.values())
    for wanted in sorted(made - {stage.of_class for stage in pipeline.stages}):
        yield Fault("/opportunity/stages", "class_missing", f"no stage of class {wanted}")
    for index, action in enumerate(pipeline.actions):
        place = f"/opportunity/actions/{index}"
        yield from _action(policy, action, place, pipeline.reasons)
        if action.to != "later" and action.to not in pipeline.stage_of:
            yield Fault(f"{place}/to", "unknown_stage", f"no stage {action.to}")
        for number, source in enumerate(action.sources if action.sources != "open" else ("open",)):
            if source not in pipeline.stage_of:
                yield Fault(f"{place}/from/{number}", "unknown_stage", f"no stage {source}")
        for name in ("to_if", "effects"):
            if getattr(action, name):
                yield Fault(f"{place}/{name}", "not_here", f"an opportunity's action has no {name}")
        if "conversion" in action.inputs:
            yield Fault(f"{place}/needs", "not_here", "an opportunity is not converted")


def _reasons(policy: Policy) -> Iterator[Fault]:
    count = 0
    for place, reasons in (("/reasons", policy.reasons), ("/opportunity/reasons", policy.opportunity.reasons)):
        for name, listed in reasons.items():
            count += len(listed)
            yield from _twice(f"{place}/{name}", (reason.code for reason in listed))
            if not any(reason.active for reason in listed):
                yield Fault(f"{place}/{name}", "no_reason", "no reason of this list is active")
    if count > MAX_REASONS:
        yield Fault("/reasons", "too_many", f"{count} reasons, at most {MAX_REASONS}")


def _scoring(policy: Policy) -> Iterator[Fault]:
    scoring = policy.scoring
    days, percents = [step.to_day for step in scoring.decay], [step.percent for step in scoring.decay]
    if days != sorted(set(days)):
        yield Fault("/scoring/decay", "decay_order", "the days of the steps must rise")
    if percents != sorted(percents, reverse=True):
        yield Fault("/scoring/decay", "decay_order", "the percentages must not rise")
    fits, engagements = [rule.id for rule in scoring.fit], [rule.id for rule in scoring.engagement]
    yield from _twice("/scoring/fit", fits)
    for index, name in enumerate(engagements):
        if name in fits or name in engagements[:index]:
            yield Fault(f"/scoring/engagement/{index}/id", "duplicate_name", f"{name} is there twice")
    groups = {rule.group for rule in scoring.fit} | {rule.group for rule in scoring.engagement}
    for index, cap in enumerate(scoring.caps):
        if cap.rule is not None and cap.rule not in (*fits, *engagements):
            yield Fault(f"/scoring/caps/{index}/rule", "unknown_rule", f"no rule {cap.rule}")
        if cap.group is not None and cap.group not in groups:
            yield Fault(f"/scoring/caps/{index}/group", "unknown_group", f"no rule of the group {cap.group}")
    levels = [rule.level for rule in scoring.levels]
    if levels != list(range(1, len(levels) + 1)):
        yield Fault("/scoring/levels", "level_order", "levels are 1, 2, 3 … in this order")


def _clocks(policy: Policy) -> Iterator[Fault]:
    for name, clock in policy.clocks.items():
        if clock.met_by != "contact_attempt" and clock.met_by not in policy.action_of:
            yield Fault(f"/clocks/{name}/met_by", "unknown_action", f"no action {clock.met_by}")
        for index, answer in enumerate(clock.on_breach):
            place = f"/clocks/{name}/on_breach/{index}"
            if answer.emit and answer.emit not in EVENTS:
                yield Fault(f"{place}/emit", "unknown_event", f"a policy cannot emit {answer.emit}")
            if answer.do:
                yield from _by_the_policy(policy, place, answer.do, answer.reason_code)


def _benchmarks(policy: Policy) -> Iterator[Fault]:
    names = {milestone.name for milestone in policy.milestones}
    for index, benchmark in enumerate(policy.benchmarks):
        for member, name in (("from", benchmark.sources), ("to", benchmark.to)):
            if name not in names:
                yield Fault(f"/benchmarks/{index}/{member}", "unknown_milestone", f"no milestone {name}")
        if benchmark.green[0] > benchmark.green[1]:
            yield Fault(f"/benchmarks/{index}/green", "empty_range", "the lower end is above the upper")


def _automation(policy: Policy) -> Iterator[Fault]:
    for index, item in enumerate(policy.automation):
        place = f"/automation/{index}"
        yield from _by_the_policy(policy, place, item.do, item.reason_code)
        action = policy.action_of.get(item.do)
        if action is None or action.to != "same":
            continue
        if not any(isinstance(word, WakeAt) for word in policy.words(action.guard, item.condition)):
            detail = f"{item.do} would be done again and again: it waits for no wake_at"
            yield Fault(f"{place}/do", "would_repeat", detail)


def _by_the_policy(policy: Policy, place: str, name: str, reason_code: str | None) -> Iterator[Fault]:
    action = policy.action_of.get(name)
    if action is None:
        yield Fault(f"{place}/do", "unknown_action", f"no action {name}")
        return
    if "policy" not in action.by.machines:
        yield Fault(f"{place}/do", "not_for_the_policy", f"{name} is not open to the policy")
    if wanted := [one for one in action.needs if one != "reason_code"]:
        yield Fault(f"{place}/do", "input_missing", f"{name} needs {wanted[0]}, which the policy cannot give")
    codes = {one.code: one for one in policy.reasons.get(action.reasons or "", ()) if one.active}
    if reason_code is None and "reason_code" in action.needs:
        yield Fault(place, "reason_missing", f"{name} needs a reason_code")
    elif reason_code is not None and (reason_code not in codes or codes[reason_code].note):
        yield Fault(f"{place}/reason_code", "unknown_reason", f"{reason_code} is no active reason without a note")


def _unreachable(policy: Policy) -> Iterator[Fault]:
    """Stages that no edge leads to from the start; what only a correction or an undoing enters does not count."""
    reached: set[str | None] = {None}
    waiting: list[str | None] = [None]
    while waiting:
        for action in policy.edges[waiting.pop()]:
            for to in (action.to, *(branch.stage for branch in action.to_if)):
                if to in policy.stage_of and to not in reached:
                    reached.add(to)
                    waiting.append(to)
    for index, stage in enumerate(policy.stages):
        if stage.name not in reached and stage.kind not in ("merged", "erased"):
            yield Fault(f"/stages/{index}", "unreachable_stage", f"no action leads to {stage.name}")
