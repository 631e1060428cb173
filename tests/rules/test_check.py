"""The check of a policy document: the shipped ones have no faults, and each change that breaks one is located."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.policy.check import faults
from app.policy.document import Policy
from app.policy.facts import Facts
from app.policy.fault import Fault
from app.policy.read import MAX_CHARACTERS, read, read_document
from app.policy.shipped import NAMES, shipped, text
from tests.rules.make import PIPELINE, WATERFALL, altered, document, unmet

Document = dict[str, Any]


def put(pointer: str, value: object) -> Callable[[Document], None]:
    """Set the value at the pointer; `-` appends to a list."""

    def change(changed: Document) -> None:
        *path, last = pointer.strip("/").split("/")
        node: Any = changed
        for step in path:
            node = node[int(step)] if isinstance(node, list) else node[step]
        if isinstance(node, list):
            if last == "-":
                node.append(value)
            else:
                node[int(last)] = value
        else:
            node[last] = value

    return change


def drop(pointer: str) -> Callable[[Document], None]:
    def change(changed: Document) -> None:
        *path, last = pointer.strip("/").split("/")
        node: Any = changed
        for step in path:
            node = node[int(step)] if isinstance(node, list) else node[step]
        del node[int(last) if isinstance(node, list) else last]

    return change


def found(change: Callable[[Document], None]) -> list[tuple[str, str]]:
    changed = document(PIPELINE)
    change(changed)
    answer = read_document(changed)
    return [] if isinstance(answer, Policy) else [(fault.code, fault.place) for fault in answer]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_policy_has_no_faults_and_survives_a_round_trip_through_json(name: str) -> None:
    policy = shipped("pipeline" if name == "pipeline" else "waterfall")
    assert faults(policy) == []
    assert read(policy.model_dump_json(by_alias=True, exclude_unset=True)) == policy
    assert read(text("pipeline" if name == "pipeline" else "waterfall").encode()) == policy


def index_of(action: str) -> int:
    return [one.name for one in PIPELINE.actions].index(action)


NESTED: object = {"fit": {"at_least": 1}}
for _ in range(8):
    NESTED = {"not": NESTED}
MANY = {"all": [{"fit": {"at_least": 1}}] * 201}
GUARD = f"/actions/{index_of('accept')}/guard"
FIT_RULE = {"id": "title", "points": 1, "if": {"fit": {"at_least": 1}}}


@pytest.mark.parametrize(
    ("change", "code", "place"),
    [
        (put("/nonsense", 1), "unknown_member", "/nonsense"),
        (drop("/scoring"), "missing", "/scoring"),
        (put("/schema", 2), "invalid", "/schema"),
        (put("/stages/2/name", "mqx"), "unknown_stage", "/milestones/0/stage"),
        (put("/stages/2/name", "held"), "reserved_name", "/stages/2/name"),
        (put("/stages/2/name", "Mql"), "invalid", "/stages/2/name"),
        (put("/stages/2/kind", "ajar"), "invalid", "/stages/2/kind"),
        (put("/stages/2/order", None), "order_missing", "/stages/2/order"),
        (put("/stages/6/order", 70), "order_not_allowed", "/stages/6/order"),
        (put("/stages/8/order", 70), "conversion_stage", "/stages"),
        (put("/stages/3/order", 20), "duplicate_name", "/stages/3"),
        (put("/stages/-", {"name": "mql", "kind": "parked"}), "duplicate_name", "/stages/11"),
        (put("/stages/-", {"name": "limbo", "kind": "parked"}), "unreachable_stage", "/stages/11"),
        (put("/stages/3/skippable", False), "not_skippable", f"/actions/{index_of('hand_over')}/from/1"),
        (put("/milestones/0/class", "great"), "invalid", "/milestones/0/class"),
        (put("/milestones/4/class", None), "empty_milestone", "/milestones/4"),
        (put("/milestones/0", {"name": "mql", "class": "won"}), "first_milestone", "/milestones/0"),
        (put("/milestones/1/name", "mql"), "duplicate_name", "/milestones/1"),
        (put("/conditions/mql", {"condition": "mql"}), "condition_circle", "/conditions/mql"),
        (put("/conditions/deep", NESTED), "too_deep", "/conditions/deep/not/not/not/not/not/not/not/not"),
        (put("/conditions/many", MANY), "too_many_nodes", "/conditions"),
        (put("/conditions/odd", {"fit": {"at_least": 1}, "level": {"at_least": 1}}), "unknown_word", "/conditions/odd"),
        (put("/conditions/odd", {"regex": ".*"}), "unknown_word", "/conditions/odd"),
        (
            put("/conditions/odd", {"all": [{"fit": {"at_least": "40"}}]}),
            "invalid",
            "/conditions/odd/all/0/fit/at_least",
        ),
        (put("/conditions/odd", {"all": []}), "invalid", "/conditions/odd/all"),
        (
            put("/conditions/odd", {"at_least": {"count": 2, "of": [NESTED]}}),
            "too_deep",
            "/conditions/odd/at_least/of/0" + "/not" * 7,
        ),
        (
            put("/conditions/odd", {"at_least": {"count": 2, "of": [{"level": {"at_least": 1}}]}}),
            "never_true",
            "/conditions/odd/at_least/count",
        ),
        (put("/conditions/odd", {"activity": {}}), "empty_condition", "/conditions/odd/activity"),
        (put("/conditions/odd", {"field": "job_title"}), "invalid", "/conditions/odd"),
        (put("/conditions/odd", {"opportunity_class": {}}), "invalid", "/conditions/odd/opportunity_class"),
        (put("/conditions/odd", {"field": "job_tilte", "present": True}), "unknown_field", "/conditions/odd/field"),
        (put("/conditions/odd", {"field": "employees", "between": [5, 1]}), "empty_range", "/conditions/odd/between"),
        (
            put("/conditions/odd", {"when": {"from": ["mqx"]}, "then": {"level": {"at_least": 1}}}),
            "unknown_stage",
            "/conditions/odd/when/from",
        ),
        (
            put("/conditions/odd", {"when": {"reason": ["cold"]}, "then": {"level": {"at_least": 1}}}),
            "unknown_reason",
            "/conditions/odd/when/reason",
        ),
        (put(GUARD, {"condition": "nobody_knows"}), "unknown_condition", GUARD),
        (put(GUARD, {"from": ["mql"]}), "not_here", GUARD),
        (put(GUARD, {"assignable": "night_shift"}), "unknown_route", f"{GUARD}/assignable"),
        (put("/actions/1/name", "capture"), "duplicate_name", "/actions/1"),
        (put("/actions/0/from", ["inquiry"]), "no_entry", "/actions"),
        (put("/actions/1/from", ["suspekt"]), "unknown_stage", "/actions/1/from/0"),
        (put("/actions/1/from", ["merged"]), "technical_stage", "/actions/1/from/0"),
        (put("/actions/1/to", "merged"), "technical_stage", "/actions/1/to"),
        (put("/actions/1/to", "later"), "unknown_stage", "/actions/1/to"),
        (put("/actions/1/to", "held"), "nothing_held", "/actions/1/from/0"),
        (put("/actions/0/to_if/0/stage", "suspekt"), "unknown_stage", "/actions/0/to_if/0/stage"),
        (put("/actions/1/by", {}), "nobody_may", "/actions/1/by"),
        (put("/actions/1/by/people/0", "boss"), "invalid", "/actions/1/by/people/0"),
        (put("/actions/1/needs", ["luck"]), "invalid", "/actions/1/needs/0"),
        (put("/actions/1/needs", ["reason_code"]), "reasons_missing", "/actions/1/reasons"),
        (put("/actions/1/needs", ["conversion"]), "conversion_stage", "/actions/1/needs"),
        (put("/actions/1/reasons", "excuses"), "unknown_reasons", "/actions/1/reasons"),
        (
            drop(f"/actions/{index_of('qualify')}/guard"),
            "nothing_to_override",
            f"/actions/{index_of('qualify')}/override",
        ),
        (
            put(f"/actions/{index_of('correct')}/needs", ["note"]),
            "input_missing",
            f"/actions/{index_of('correct')}/needs",
        ),
        (
            put(f"/actions/{index_of('recycle')}/accepts", ["reason_code"]),
            "input_twice",
            f"/actions/{index_of('recycle')}/accepts",
        ),
        (put(f"/actions/{index_of('wake')}/by", {"people": ["sdr"]}), "not_a_move", f"/actions/{index_of('wake')}/by"),
        (put(f"/actions/{index_of('wake')}/guard", {"fit": {"at_least": 1}}), "would_repeat", "/automation/2/do"),
        (
            put(f"/actions/{index_of('accept')}/effects/0", {"assign": "hunters"}),
            "unknown_route",
            f"/actions/{index_of('accept')}/effects/0/assign",
        ),
        (
            put(f"/actions/{index_of('accept')}/effects/0", {"start_clock": "egg"}),
            "unknown_clock",
            f"/actions/{index_of('accept')}/effects/0/start_clock",
        ),
        (
            put(f"/actions/{index_of('accept')}/effects/0", {"emit": "lead.erased"}),
            "unknown_event",
            f"/actions/{index_of('accept')}/effects/0/emit",
        ),
        (
            put(f"/actions/{index_of('accept')}/effects/0", {"praise": True}),
            "unknown_member",
            f"/actions/{index_of('accept')}/effects/0/praise",
        ),
        (put(f"/actions/{index_of('accept')}/effects/0", {}), "invalid", f"/actions/{index_of('accept')}/effects/0"),
        (
            put(f"/actions/{index_of('accept')}/effects/0", {"convert": True}),
            "not_convertible",
            f"/actions/{index_of('accept')}/effects/0/convert",
        ),
        (put("/automation/0/do", "dance"), "unknown_action", "/automation/0/do"),
        (put("/automation/0/do", "accept"), "not_for_the_policy", "/automation/0/do"),
        (put("/automation/0/do", "disqualify"), "reason_missing", "/automation/0"),
        (
            put("/automation/0", {"do": "disqualify", "reason_code": "nonsense"}),
            "unknown_reason",
            "/automation/0/reason_code",
        ),
        (put("/automation/0/do", "capture"), "input_missing", "/automation/0/do"),
        (put("/reasons/recycle/1/code", "timing"), "duplicate_name", "/reasons/recycle/1"),
        (put("/reasons/recycle", []), "no_reason", "/reasons/recycle"),
        (put("/reasons/extra", [{"code": f"r{n}"} for n in range(480)]), "too_many", "/reasons"),
        (put("/scoring/decay/1/to_day", 30), "decay_order", "/scoring/decay"),
        (put("/scoring/decay/0/percent", 10), "decay_order", "/scoring/decay"),
        (put("/scoring/fit/0/points", 1.5), "invalid", "/scoring/fit/0/points"),
        (put("/scoring/fit/0/points", True), "invalid", "/scoring/fit/0/points"),
        (put("/scoring/fit/1/id", "title"), "duplicate_name", "/scoring/fit/1"),
        (put("/scoring/fit/0", FIT_RULE), "not_here", "/scoring/fit/0/if"),
        (put("/scoring/fit/0/if", {"condition": "mql"}), "not_here", "/scoring/fit/0/if"),
        (
            put("/scoring/fit/4/if", {"field": "email_domain", "in_list": "foes"}),
            "unknown_list",
            "/scoring/fit/4/if/in_list",
        ),
        (put("/scoring/engagement/0/id", "title"), "duplicate_name", "/scoring/engagement/0/id"),
        (put("/scoring/caps", [{"rule": "luck", "points": 1}]), "unknown_rule", "/scoring/caps/0/rule"),
        (put("/scoring/caps", [{"group": "luck", "points": 1}]), "unknown_group", "/scoring/caps/0/group"),
        (put("/scoring/caps", [{"points": 1}]), "invalid", "/scoring/caps/0"),
        (put("/scoring/levels/0/level", 3), "level_order", "/scoring/levels"),
        (put("/scoring/levels/0/if", {"level": {"at_least": 1}}), "not_here", "/scoring/levels/0/if"),
        (put("/scoring/temperature/warm", {"owner": ["actor"]}), "not_here", "/scoring/temperature/warm"),
        (put("/routing/sdr/method", "dice"), "invalid", "/routing/sdr/method"),
        (drop("/routing/ae"), "unknown_route", f"/actions/{index_of('hand_over')}/guard/all/1/assignable"),
        (put("/clocks/response/met_by", "luck"), "unknown_action", "/clocks/response/met_by"),
        (
            put("/clocks/response/on_breach/0", {"emit": "lead.lost"}),
            "unknown_event",
            "/clocks/response/on_breach/0/emit",
        ),
        (
            put("/clocks/response/on_breach/0", {"do": "accept"}),
            "not_for_the_policy",
            "/clocks/response/on_breach/0/do",
        ),
        (
            put("/clocks/response/on_breach/0", {"assign": "nowhere"}),
            "unknown_route",
            "/clocks/response/on_breach/0/assign",
        ),
        (
            put("/clocks/response/on_breach/0", {"assign": "sdr", "emit": "lead.sla_breached"}),
            "invalid",
            "/clocks/response/on_breach/0",
        ),
        (
            put("/clocks/response/on_breach", [{"emit": "lead.sla_breached"}] * 2),
            "duplicate_name",
            "/clocks/response/on_breach/1",
        ),
        (put("/stages/7/stale_after_days", 3), "never_stale", "/stages/7/stale_after_days"),
        (put("/stages/2/stale_after_days", 0), "invalid", "/stages/2/stale_after_days"),
        (put("/conversion/class/mqx", "qualified"), "unknown_stage", "/conversion/class/mqx"),
        (put("/conversion/class/mql", "qualified"), "class_missing", f"/actions/{index_of('convert')}/from"),
        (
            put("/conversion/fast_track", {"from": ["mqx"], "if": {"level": {"at_least": 4}}}),
            "unknown_stage",
            "/conversion/fast_track/from/0",
        ),
        (put("/opportunity/stages/1/name", "proposal"), "duplicate_name", "/opportunity/stages/2"),
        (put("/opportunity/stages/0/class", "lost"), "class_missing", "/opportunity/stages"),
        (put("/opportunity/actions/0/to", "sql"), "unknown_stage", "/opportunity/actions/0/to"),
        (put("/opportunity/actions/0/from/0", "sql"), "unknown_stage", "/opportunity/actions/0/from/0"),
        (put("/opportunity/actions/0/effects", [{"assign": "ae"}]), "not_here", "/opportunity/actions/0/effects"),
        (put("/opportunity/actions/3/reasons", "excuses"), "unknown_reasons", "/opportunity/actions/3/reasons"),
        (put("/benchmarks/0/from", "mqx"), "unknown_milestone", "/benchmarks/0/from"),
        (put("/benchmarks/0/green", [40, 20]), "empty_range", "/benchmarks/0/green"),
        (
            put("/benchmarks/-", {"from": "sql", "to": "won", "days": 9, "business": "new", "green": [1, 2]}),
            "duplicate_name",
            "/benchmarks/4",
        ),
        (put("/reinquiry/disqualified", "perhaps"), "invalid", "/reinquiry/disqualified"),
    ],
)
def test_a_fault_has_its_code_and_place(change: Callable[[Document], None], code: str, place: str) -> None:
    assert (code, place) in found(change)


@pytest.mark.parametrize(
    ("one", "code"),
    [
        (put("/conditions/odd", {"field": "job_tilte", "present": True}), "unknown_field"),
        (put("/conditions/odd", {"field": "country", "in_list": "nowhere"}), "unknown_list"),
        (put("/conditions/odd", {"all": [{"condition": "unheard"}, {"persona": ["nobody"]}]}), "unknown_condition"),
        (put("/conditions/odd", {"all": [{"condition": "odd"}]}), "condition_circle"),
        (put("/scoring/fit/0/id", "webinar"), "duplicate_name"),
        (put("/clocks/response/met_by", "luck"), "unknown_action"),
        (put("/automation/0/do", "luck"), "unknown_action"),
        (put("/benchmarks/0/green", [40, 20]), "empty_range"),
    ],
)
@pytest.mark.parametrize(
    ("other", "place"),
    [
        (put("/conditions/mql", {"fit": {"at_least": 1_000}}), "/conditions/mql"),
        (put("/conditions/never", {"all": [{"from": ["mql"]}, {"from": ["sal"]}]}), "/conditions/never"),
        (put(f"/actions/{index_of('wake')}/guard", {"fit": {"at_least": 1}}), "/automation/2/do"),
        (put("/stages/-", {"name": "limbo", "kind": "parked"}), "/stages/11"),
    ],
)
def test_all_faults_are_told_at_once_and_none_twice(
    one: Callable[[Document], None], code: str, other: Callable[[Document], None], place: str
) -> None:
    def both(changed: Document) -> None:
        one(changed)
        other(changed)

    told = found(both)
    assert {*found(one), *found(other)} == set(told)
    assert code in [found_code for found_code, _ in told]
    assert place in [where for _, where in told]
    assert len(told) == len(set(told))


@pytest.mark.parametrize(
    ("rule", "weak"),
    [
        ({"engagement": {"at_least": 30}}, True),
        ({"fit": {"at_least": 39}}, True),
        ({"fit": {"at_least": 40}}, False),
        ({"level": {"at_least": 2}}, False),
        ({"any": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 90}}]}, True),
        ({"all": [{"level": {"at_least": 3}}, {"engagement": {"at_least": 90}}]}, False),
    ],
)
def test_a_threshold_that_may_hold_below_level_2_is_a_warning_and_no_fault(rule: object, weak: bool) -> None:
    changed = document(PIPELINE)
    changed["conditions"]["mql"] = rule
    policy = read_document(changed)
    assert isinstance(policy, Policy)
    place = f"/actions/{index_of('qualify')}/guard"
    expected = [Fault(place, "weak_rule", "the guard may hold for a lead below level 2", "warning")]
    assert faults(policy) == (expected if weak else [])


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        ("", "invalid"),
        ("[]", "invalid"),
        ("{", "unreadable"),
        ('{"schema": 1, "schema": 1}', "unreadable"),
        ("schema: 1\nschema: 1", "unreadable"),
        ("a: &x [1]\nb: *x", "unreadable"),
        ("a: !!python/object/apply:os.system [ls]", "unreadable"),
        ("a: 2026-13-45", "unreadable"),
        ("a: 2026-01-01", "invalid"),
        ("? [1]\n: 2", "unreadable"),
        ("1: 2", "invalid"),
        ("null: 2", "invalid"),
        ("a: .nan", "missing"),
        ("[" * 100_000, "unreadable"),
        ("- " * 100_000, "unreadable"),
        ('{"a":' * 50_000, "unreadable"),
        ("[" * 60 + "]" * 60, "too_deep"),
        ('{"name": "\\ud800"}', "invalid"),
        ('{"schema": ' + "9" * 5000 + "}", "unreadable"),
        (b"\xff\xfe\x00", "unreadable"),
        ("x" * 300_000, "too_large"),
        ("x" * (MAX_CHARACTERS + 1), "too_large"),
        (b"x" * (MAX_CHARACTERS + 1), "too_large"),
        (("ß" * (MAX_CHARACTERS + 1)).encode(), "too_large"),
    ],
)
def test_reading_an_invalid_text_returns_faults_and_never_raises(broken: str | bytes, code: str) -> None:
    answer = read(broken)
    assert isinstance(answer, list)
    assert code in {fault.code for fault in answer}


@pytest.mark.parametrize("letter", ["x", "ß", "€", "😀"])
def test_the_size_of_a_document_is_counted_in_characters(letter: str) -> None:
    text = "# " + letter * (MAX_CHARACTERS - 2)
    for given_as in (text, text.encode()):
        answer = read(given_as)
        assert isinstance(answer, list)
        assert "too_large" not in {fault.code for fault in answer}


@pytest.mark.parametrize("policy", [PIPELINE, WATERFALL], ids=["pipeline", "waterfall"])
def test_a_conversion_may_leave_every_open_stage(policy: Policy) -> None:
    opened = [stage.name for stage in policy.stages if stage.kind == "open"]

    def convert_from_open(changed: dict[str, Any]) -> None:
        next(one for one in changed["actions"] if one["name"] == "convert")["from"] = "open"
        changed["conversion"]["class"] = dict.fromkeys(opened, "qualified")

    assert altered(policy, convert_from_open).conversion.classes.keys() == set(opened)
    changed = document(policy)
    convert_from_open(changed)
    del changed["conversion"]["class"][opened[0]]
    answer = read_document(changed)
    assert isinstance(answer, list)
    assert [fault.code for fault in answer] == ["class_missing"]


def test_an_action_of_an_opportunity_names_its_stages() -> None:
    changed = document(PIPELINE)
    changed["opportunity"]["stages"][0]["name"] = "open"
    changed["opportunity"]["actions"][0]["from"] = "open"
    answer = read_document(changed)
    assert isinstance(answer, list)
    assert ("unknown_stage", "/opportunity/actions/0/from/0") in {(fault.code, fault.place) for fault in answer}


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["mql", "all", "fit"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(anything, st.data())
def test_reading_a_changed_document_never_raises_and_places_resolve(value: object, data: st.DataObject) -> None:
    changed = document(PIPELINE)
    node: Any = changed
    for _ in range(data.draw(st.integers(0, 5))):
        steps = list(node) if isinstance(node, dict) else list(range(len(node)))
        step = data.draw(st.sampled_from(steps))
        if not isinstance(node[step], dict | list) or not node[step]:
            node[step] = value
            break
        node = node[step]
    answer = read_document(changed)
    if isinstance(answer, list):
        for fault in answer:
            assert fault.code
            assert resolves(changed, fault)


def resolves(changed: Document, fault: Fault) -> bool:
    """Whether the place exists in the document; its last member may be missing."""
    node: Any = changed
    steps = [step.replace("~1", "/").replace("~0", "~") for step in fault.place.split("/")[1:]]
    for index, step in enumerate(steps):
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        else:
            return index == len(steps) - 1
    return True


@given(st.text(max_size=200))
def test_reading_random_text_returns_faults(broken: str) -> None:
    assert isinstance(read(broken), list)


def test_renaming_any_declaration_is_a_fault() -> None:
    """Stages, conditions, lists of reasons, routes and clocks, each renamed only where it is declared."""
    unfound = []
    whole = document(PIPELINE)
    declared = [
        ("stages", index) for index, stage in enumerate(whole["stages"]) if stage["kind"] not in ("merged", "erased")
    ]
    for part, index in declared:
        changed = json.loads(json.dumps(whole))
        changed[part][index]["name"] += "_x"
        if isinstance(read_document(changed), Policy):
            unfound.append((part, index))
    for part in ("conditions", "reasons", "routing", "clocks"):
        for name in whole[part]:
            changed = json.loads(json.dumps(whole))
            changed[part][f"{name}_x"] = changed[part].pop(name)
            if isinstance(read_document(changed), Policy):
                unfound.append((part, name))
    assert unfound == []


def doubled_conditions(levels: int, width: int, leaf: object, word: str) -> dict[str, object]:
    """Named conditions of which each refers to the next one `width` times."""
    conditions: dict[str, object] = {
        f"c{level}": {word: [{"condition": f"c{level + 1}"}] * width} for level in range(levels)
    }
    return {**conditions, f"c{levels}": leaf}


class CountedFields(dict[str, Any]):
    """The fields of a lead, with the number of times that one was read."""

    reads = 0

    def get(self, name: str, default: Any = None) -> Any:
        self.reads += 1
        return super().get(name, default)


@given(st.integers(1, 30), st.integers(1, 4), st.sampled_from(["all", "any"]))
def test_named_conditions_that_multiply_are_refused_or_are_read_at_most_two_hundred_times(
    levels: int, width: int, word: str
) -> None:
    changed = document(PIPELINE)
    changed["conditions"] |= doubled_conditions(levels, width, {"field": "job_title", "present": True}, word)
    policy = read_document(changed)
    if not isinstance(policy, Policy):
        assert {fault.code for fault in policy} & {"too_deep", "too_many_nodes"}
        return
    fields = CountedFields()
    unmet({"condition": "c0"}, Facts(fields=fields), policy)
    assert 1 <= fields.reads <= 200


@pytest.mark.parametrize("number", [201, 2_000])
def test_a_long_chain_of_named_conditions_is_a_fault_and_not_an_exception(number: int) -> None:
    changed = document(PIPELINE)
    changed["conditions"] |= doubled_conditions(number, 1, {"fit": {"at_least": 1}}, "all")
    answer = read_document(changed)
    assert isinstance(answer, list)
    assert ("too_many_nodes", "/conditions") in [(fault.code, fault.place) for fault in answer]


def test_has_word_reads_the_first_ten_thousand_characters() -> None:
    condition = {"field": "message", "has_word": ["budget"]}
    assert unmet(condition, Facts(fields={"message": "x " * 4_990 + "budget"})) == []
    assert unmet(condition, Facts(fields={"message": "x " * 5_000 + "budget"})) != []
