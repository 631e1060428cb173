"""A mapping is bounded: whatever its expressions say and whatever was sent, its work and what it makes are limited.

Work is counted in calls of functions, not in time.
"""

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.sources.budget import CHARACTERS_PER_STEP, MAX_DEPTH, MAX_STEPS, MIN_SIZE, Budget, TooCostly
from app.sources.document import Document
from app.sources.expressions import Context, ExpressionFailed, compiled
from app.sources.functions import MappingFunctions
from app.sources.item import Item
from app.sources.mapping import STEPS_PER_PATTERN, map_request
from app.sources.preset import make_document
from tests.sources.test_mapping import SOURCE, make_request, mapped

CALLS_PER_STEP = 15
PERSON = {"email": "ana@nordsoft.example", "a": "x", "list": ["x", "y"], "object": {"k": "v"}}
TEXT, LIST = "item.a", "item.list"


def doubled(start: str, step: str, times: int = 40) -> str:
    return start + step * times


def in_message(expression: str) -> Document:
    return make_document("generic", {"fields": {"message": expression}})


class Calls:
    """How many functions were called, those of the interpreter included."""

    count = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        self.count += event in ("call", "c_call")


@contextmanager
def counted_calls() -> Iterator[Calls]:
    calls, before = Calls(), sys.getprofile()
    sys.setprofile(calls)
    try:
        yield calls
    finally:
        sys.setprofile(before)


# --- one expression


@pytest.mark.parametrize(
    "expression",
    [
        f"to_string({doubled(TEXT, '|[@,@]')})",
        f"to_string({doubled(TEXT, '|[@,@]', 400)})",
        f"to_string({doubled(TEXT, '|{x: @, y: @}')})",
        f"to_string({doubled(TEXT, '|[[@],[@]]')})",
        f"text({doubled(TEXT, '|[@,@]')})",
        doubled(TEXT, "|[@,@]"),
        doubled("''", "|[@,@]"),
        doubled(TEXT, "|join(@, ['y','y','y'])"),
        doubled(TEXT, "|join('', [@,@])"),
        doubled(TEXT, "|to_string([@,@])"),
        doubled(LIST, "|[@,@][]"),
        doubled(LIST, "|[*].[@,@][]"),
        doubled(LIST, "|map(&[@,@], @)[]"),
        doubled(LIST, "|[@,@][]|reverse(@)"),
        doubled(LIST, "|[@,@][]|sort(@)"),
        doubled(LIST, "|[@,@][]|[::-1]"),
        doubled(LIST, "|[@,@][]|[?@]"),
        doubled(LIST, "|split(join(',', [join(',',@), join(',',@)]), ',')"),
        doubled("item", "|{a: values(@), b: values(@)}"),
        doubled("item", "|merge(@, {z: @, y: @})"),
        doubled("item", "|{object: to_array(@), list: to_array(@)}"),
        doubled("item", "|not_null(missing, [@, @])"),
        doubled("item", "|json(to_string([@,@]))"),
        f"contains({doubled(LIST, '|[@,@]')}, 'z')",
        f"{doubled(LIST, '|[@,@]')} == {doubled(LIST, '|[@,@]')}",
        f"length({doubled(LIST, '|[@,@]')})",
        f"max_by({doubled(LIST, '|[@,@]')}, &to_string(@))",
    ],
)
def test_a_value_that_grows_with_each_step_is_refused_before_it_is_made(expression: str) -> None:
    compiled(expression)
    budget = Budget(len(json.dumps(PERSON)))
    steps = budget.steps
    with counted_calls() as calls, pytest.raises(TooCostly, match="larger than"):
        Context({"item": PERSON}, budget=budget).evaluate(expression)
    assert calls.count < 10_000 + CALLS_PER_STEP * (steps - budget.steps)


@pytest.mark.parametrize(
    "expression", ["[@, @, @]", "to_string([@, @])", "text(to_string(@))", "{x: @, y: [@]}", "[@, @][].answers[]"]
)
def test_an_expression_that_makes_a_small_multiple_of_the_body_is_evaluated(expression: str) -> None:
    body = {"answers": [{"label": "Question", "value": "x" * 900}] * 1_000}
    budget = Budget(len(json.dumps(body)))
    assert budget.size(Context(body, budget=budget).value(expression)) > 900_000


def test_a_loop_in_a_loop_is_refused_before_it_runs() -> None:
    rows = [[n] * 100 for n in range(100)]
    expression = "rows" + "|[*].[@,@,@,@][]" * 5 + "|length(@)"
    budget = Budget(1_000)
    with counted_calls() as calls, pytest.raises(TooCostly):
        Context({"rows": rows}, budget=budget).evaluate(expression)
    assert calls.count < 2_000_000


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 300])
def test_a_value_that_is_nested_too_deeply_is_refused(levels: int) -> None:
    with pytest.raises(TooCostly, match="levels deep"):
        Context({"a": 1}, budget=Budget(100)).evaluate("a" + "|[@]" * levels)
    assert Context({"a": 1}, budget=Budget(100)).evaluate("a" + "|[@]" * (MAX_DEPTH - 1)) is not None


def test_the_size_of_a_value_counts_a_shared_part_as_often_as_it_occurs() -> None:
    budget = Budget(100)
    part = ["x" * 100]
    whole = budget.size([part, part, {"k": part}])
    assert whole == budget.size([["x" * 100], ["x" * 100], {"k": ["x" * 100]}])
    assert whole > 3 * budget.size(part)


def test_the_limits_grow_with_the_body() -> None:
    assert (Budget(0).limit, Budget(1_000).limit) == (MIN_SIZE, MIN_SIZE + 4_000)
    assert Budget(0).steps < Budget(1_000).steps < Budget(10_000_000).steps == MAX_STEPS


LIMITED = """
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (600 * 1024 * 1024,) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
from tests.sources.test_mapping import make_document, mapped
body = json.loads(sys.stdin.readline())
for line in sys.stdin:
    document = make_document("generic", {"fields": {"message": line.strip()}})
    print(*{item.reason for item in mapped(body, document)})
"""


def test_costly_mappings_of_a_large_body_run_in_little_memory() -> None:
    body = {"email": "ana@nordsoft.example", "a": "\U0001f600" * 200_000}
    starts = [f"to_string({doubled(TEXT, step)})" for step in ("|[@,@]", "|{x: @, y: @}", "|to_string([@,@])")]
    starts += [doubled(TEXT, step) for step in ("|join('', [@,@])", "|split(join(',', [@,@]), '')|[0]")]
    starts += [f"split(join({TEXT}, ['a','b','c','d','e','f']), '😀')", f"to_string([{TEXT}, {TEXT}, {TEXT}])"]
    asked = "\n".join([json.dumps(body), *starts])
    ran = subprocess.run([sys.executable, "-c", LIMITED], input=asked, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2_000:]
    assert len(ran.stdout.splitlines()) == len(starts)


# --- every function


LONG = "Łódź, " * 2_000
TEXTS = [f"{number} {LONG}" for number in range(20)]


@pytest.mark.parametrize(
    "call",
    [
        "text(@)",
        "json(@)",
        "urlq(@, 'a')",
        "urlq('https://x.example/?a=1', @)",
        "lines(@, '=')",
        "split(@, ',')",
        "path(`{}`, @)",
        "to_number(@)",
        "contains(@, 'zzz')",
        "starts_with(@, 'a')",
        "reverse(@)",
        "join(@, ['a', 'b'])",
        "to_string([@])",
        "pairs([{k: @, v: `1`}], 'k', 'v')",
        "answer([{k: @, v: `1`}], 'k', 'v', 'a')",
        "answer(@, 'k', 'v', @)",
        "titled([{field: {ref: @}}], [{id: `1`}])",
        "choices({value: [@], options: [{id: `1`}]})",
        "subfields({\"1.1\": @, \"1.2\": 'a'}, ', ')",
        "subfields({\"1.1\": 'a', \"1.2\": 'b'}, @)",
        "[@] == ['a']",
        "@ == 'a'",
        "@ > 'a'",
    ],
)
def test_reading_a_long_text_is_charged_by_its_length(call: str) -> None:
    def steps(text: str) -> int:
        budget = Budget(100_000)
        Context(text, budget=budget).evaluate(call)  # type: ignore[arg-type]
        return Budget(100_000).steps - budget.steps

    assert steps(LONG) - steps("x") >= len(LONG) // CHARACTERS_PER_STEP - 1


@pytest.mark.parametrize(
    "loop",
    [
        "@[*].k",
        "@[?k]",
        "@[?k == 'x'].v",
        "@[]",
        "@[::-1]",
        "@[1:]",
        "@[0].*.a",
        "map(&k, @)",
        "sort_by(@, &v)",
        "rest(@[0])",
    ],
)
def test_a_loop_is_charged_for_each_row(loop: str) -> None:
    def steps(number: int) -> int:
        one_object = [dict.fromkeys(map(str, range(number)), "a long answer")]
        body: Any = one_object if "@[0]" in loop else [{"k": "k", "v": n} for n in range(number)]
        budget = Budget(100_000)
        budget.size(body)  # measured before, so that only the loop is charged
        before = budget.steps
        Context(body, budget=budget).evaluate(loop)
        return before - budget.steps

    assert steps(1_000) - steps(10) >= 990


def test_measuring_a_value_is_charged_once() -> None:
    budget, rows = Budget(100_000), [1] * 1_600
    before = budget.steps
    budget.size(rows)
    assert before - budget.steps == 100
    budget.size(rows)
    assert before - budget.steps == 100


def test_a_joined_text_is_measured_before_it_is_made() -> None:
    body = {"mark": "x" * 20_000, "parts": ["a"] * 2_000}
    tracemalloc.start()
    with pytest.raises(TooCostly):
        Context(body, budget=Budget(30_000)).evaluate("join(mark, parts)")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_each_pattern_of_a_time_is_charged_for_each_item() -> None:
    def steps(formats: list[str]) -> int:
        document = make_document("generic", {"occurred_at": {"expr": "item.at", "formats": formats}})
        budget = Budget(0)
        map_request(document, make_request(PERSON), SOURCE, budget)
        return Budget(0).steps - budget.steps

    assert steps(["iso", "%d.%m.%Y", "%Y/%m/%d"]) == steps(["iso"]) + 2 * STEPS_PER_PATTERN


ATOMS = st.sampled_from(
    ["@", "a", "t", "rows", "rows[*]", "rows[*].k", "rows[0]", "rows[].l[]", "`1`", "'x'", "`[1, 2]`", '`{"k": 1}`']
)
FUNCTIONS = {
    name: [argument["types"] for argument in found["signature"]]
    for name, found in MappingFunctions.FUNCTION_TABLE.items()
}


def calls_of(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def call(name: str, arguments: list[str]) -> str:
        texts = [f"&{text}" if "expref" in types else text for types, text in zip(FUNCTIONS[name], arguments)]  # noqa: B905
        return f"{name}({', '.join(texts)})"

    return st.builds(call, st.sampled_from(sorted(FUNCTIONS)), st.lists(inner, min_size=4, max_size=4))


def compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    two: list[Callable[[str, str], str]] = [
        lambda a, b: f"[{a}, {b}]",
        lambda a, b: f"{{x: {a}, y: {b}}}",
        lambda a, b: f"({a}) | ({b})",
        lambda a, b: f"({a}) || ({b})",
        lambda a, b: f"({a}) && ({b})",
        lambda a, b: f"({a}) == ({b})",
        lambda a, b: f"({a}) < ({b})",
        lambda a, b: f"({a})[?{b}]",
        lambda a, b: f"({a})[*].[{b}, {b}]",
        lambda a, b: f"({a}).*.[{b}]",
        lambda a, b: f"map(&{b}, [{a}, {a}][])",
        lambda a, b: f"!({a})",
        lambda a, b: f"({a})[]",
        lambda a, b: f"({a})[::-1]",
        lambda a, b: f"({a}) | [@, @] | [@, @] | [@, @] | [@, @]",
    ]
    return st.builds(lambda make, a, b: make(a, b), st.sampled_from(two), inner, inner) | calls_of(inner)


EXPRESSIONS = st.recursive(ATOMS, compound, max_leaves=12)
ROWS = [{"k": "k", "v": n, "l": [n, [n]]} for n in range(60)]


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(EXPRESSIONS, st.sampled_from([0, 30, 60]))
def test_the_work_of_any_expression_is_in_proportion_to_the_steps_that_are_charged(expression: str, rows: int) -> None:
    body = {"a": "x", "t": "a=1, ą\n" * 40, "rows": ROWS[:rows]}
    try:
        compiled(expression)
    except ValueError:
        return
    budget = Budget(len(json.dumps(body)), 60_000)
    steps = budget.steps
    with counted_calls() as calls:
        try:
            value = Context(body, budget=budget).value(expression)
        except TooCostly:
            value = None
        except ExpressionFailed:
            raise AssertionError("`value` reports a failed expression in `failed`") from None
    assert budget.size(value) <= budget.limit
    assert calls.count < 10_000 + CALLS_PER_STEP * (steps - budget.steps)


# --- a whole mapping


def first_costly(document: Document, body: Any) -> Item:
    return next(item for item in mapped(body, document) if item.reason == "mapping_too_costly")


BOMB = doubled("item.a", "|[@,@]")


@pytest.mark.parametrize(
    ("overrides", "place"),
    [
        ({"items": doubled("body", "|[@,@]")}, "/items"),
        ({"route": [{"when": "`false`", "do": "spam"}, {"when": BOMB, "do": "ignore"}]}, "/route/1/when"),
        ({"submission_key": BOMB}, "/submission_key"),
        ({"activity": {"type": f"to_string({BOMB})"}}, "/activity/type"),
        ({"occurred_at": {"expr": BOMB}}, "/occurred_at"),
        ({"fields": {"message": f"to_string({BOMB})"}}, "/fields/message"),
        ({"external_ids": {"crm:id": BOMB}}, "/external_ids/crm:id"),
        ({"external_ids": BOMB}, "/external_ids"),
        ({"attribution": {"campaign": BOMB}}, "/attribution/campaign"),
        ({"consent": [{"purpose": "phone", "expr": BOMB}]}, "/consent/0"),
        ({"consent": [{"purpose": "phone", "expr": "item.a", "text": f"text({BOMB})"}]}, "/consent/0/text"),
        ({"custom": f"{{x: {BOMB}}}"}, "/custom"),
        ({"entry": BOMB}, "/entry"),
        ({"spam": {"honeypot": ["item.trap", BOMB]}}, "/spam/honeypot/1"),
        ({"spam": {"rendered_at": BOMB}}, "/spam/rendered_at"),
    ],
)
def test_a_costly_expression_anywhere_in_a_document_quarantines_the_item_and_is_named(
    overrides: dict[str, Any], place: str
) -> None:
    item = first_costly(make_document("generic", overrides), PERSON)
    assert item.verdict == "quarantined"
    assert str(item.unmet[0]["have"]).startswith(f"{place}: ")


def test_an_item_whose_expression_makes_too_much_does_not_hold_up_the_others() -> None:
    overrides = {"items": "body", "fields": {"message": "item.bomb && to_string(item.rows[*].[@,@,@,@][*].[@,@,@,@])"}}
    good = {"email": "ana@nordsoft.example"}
    bad = {"email": "ion@nordsoft.example", "bomb": True, "rows": [["x" * 40] * 10] * 20}
    reasons = [item.reason for item in mapped([good, bad, good], make_document("generic", overrides))]
    assert reasons == [None, "mapping_too_costly", None]


def test_the_items_of_a_submission_share_one_budget() -> None:
    overrides = {"items": "body.rows", "fields": {"message": "length(body.rows[*].[@,@][])"}}
    document = make_document("generic", overrides)

    def reasons(number: int) -> list[str | None]:
        rows = [{"email": f"u{n}@nordsoft.example"} for n in range(number)]
        return [item.reason for item in mapped({"rows": rows}, document)]

    assert set(reasons(50)) == {None}
    many = reasons(1_000)
    spent = many.index("mapping_too_costly")
    assert 0 < spent < 1_000
    assert set(many[:spent]) == {None}
    assert set(many[spent:]) == {"mapping_too_costly"}


def test_a_long_text_that_every_item_reads_is_charged_each_time() -> None:
    overrides = {"items": "body.rows", "fields": {"message": "body.text"}}
    items = mapped({"rows": [1] * 1_000, "text": "ł" * 100_000}, make_document("generic", overrides))
    assert [item.reason for item in items].count("mapping_too_costly") > 500


@pytest.mark.parametrize("preset", ["generic", "html-form", "hubspot-workflow", "tally", "typeform"])
def test_a_full_request_is_within_the_budget_of_every_preset(preset: str) -> None:
    row = {"email": "ana@nordsoft.example", "name": "Ana Z", "company": "Nordsoft", "note": "x" * 900}
    items = mapped([row] * 1_000, make_document(preset, {"items": "body", "parse": {"formats": ["json"]}}))
    assert "mapping_too_costly" not in {item.reason for item in items}
    tiny = mapped([1] * 1_000, make_document(preset, {"items": "body", "parse": {"formats": ["json"]}}))
    assert "mapping_too_costly" not in {item.reason for item in tiny}


@pytest.mark.parametrize("content", ["ł", "x", '"', "\\u0001"])
def test_a_body_of_a_mebibyte_in_one_answer_is_within_the_budget(content: str) -> None:
    text = f'{{"email": "ana@nordsoft.example", "note": "{content * (1_000_000 // len(content.encode()))}"}}'
    [item] = mapped(text.replace('"""', '"').encode()) if content != '"' else mapped({**PERSON, "note": '"' * 500_000})
    assert item.verdict == "lead"
    assert len(item.custom["note"]) > 100_000


def test_rows_with_one_label_are_paired_in_linear_work() -> None:
    rows = [{"k": "a", "v": n} for n in range(3_000)]
    with counted_calls() as calls:
        answers = Context({"rows": rows}, budget=Budget(60_000)).evaluate("pairs(rows, 'k', 'v')")
    assert list(answers)[:3] == ["a", "a (2)", "a (3)"]
    assert len(answers) == 3_000
    assert calls.count < 200_000


def test_a_number_that_no_column_holds_is_kept_as_text() -> None:
    document = make_document("generic", {"custom": "{n: to_number(item.n), s: sum(item.l)}"})
    [item] = mapped({**PERSON, "n": "9" * 30, "l": [2**63 - 1, 2**63 - 1]}, document)
    assert item.custom == {"n": "9" * 30, "s": str(2**64 - 2)}
